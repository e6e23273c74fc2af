//! The integers of others as ids, and back.
//!
//! An id is any 64 bits but 0, which is a key never written. An integer of others is one of 64 bits
//! with a sign. Positive ones are ids as they are and negative ones in two's complement; 0 takes
//! the place that is left, which is that of the smallest integer.

const ZERO: u64 = 1 << 63;

/// The id for an integer, unless it is the one that has none.
pub(super) const fn id(integer: i64) -> Option<u64> {
    match integer {
        0 => Some(ZERO),
        i64::MIN => None,
        _ => Some(integer.cast_unsigned()),
    }
}

/// The integer for an id, which is not 0.
pub(crate) const fn external(id: u64) -> i64 {
    if id == ZERO { 0 } else { id.cast_signed() }
}

/// Whether an id is an integer of others rather than a session and a number: no session of a run
/// is that high, and 0 only counts from 1.
pub(crate) const fn is_external(id: u64) -> bool {
    id >> 32 == 0 || id >= ZERO
}
