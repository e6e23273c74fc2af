#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| synod::fuzzing::log_open(bytes));
