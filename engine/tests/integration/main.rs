//! The engine and its program from outside: one program of tests, because each is linked for long.
//!
//! `runs` is another, so that nothing else runs beside its clusters, and so is `allocations`, which
//! counts those of every thread.

mod command_line;
mod counts;
mod fuzzing;
mod shipped;
mod simulated;
mod suites;
#[path = "../support/program.rs"]
mod support;
mod wire;
