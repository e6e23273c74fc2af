//! Timestamps of a coordinator's own clock, none of which it gives to one key twice.

use alloc::boxed::Box;
use alloc::vec;

use crate::types::Time;

/// Bits of a moment that a timestamp leaves out: a tick is 65.5 microseconds.
const TICK_BITS: u32 = 16;

/// Ticks after which timestamps only count: 417 days. A tag has room for as many again.
const TICKS_MAX: u64 = 1 << 39;

/// Classes of keys, each of which counts for itself: only a key whose class is written more than
/// once in a tick runs ahead of the clock.
const CLASSES: usize = 256;

#[derive(Debug)]
pub(super) struct Clock {
    /// The last timestamp of each class of keys.
    last: Box<[u64]>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { last: vec![0; CLASSES].into_boxed_slice() }
    }

    /// The present, or just after the last timestamp for this key; above `floor`.
    pub(super) fn stamp(&mut self, key: u64, now: Time, floor: u64) -> u64 {
        let class = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - CLASSES.ilog2());
        let last = &mut self.last[usize::try_from(class).expect("8 bits")];
        let ticks = (now.0 >> TICK_BITS).min(TICKS_MAX);
        *last = ticks.max(*last + 1).max(floor + 1);
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_gets_a_timestamp_twice() {
        let mut clock = Clock::new();
        let tick = Time(1 << TICK_BITS);
        assert_eq!([0, 0, 7].map(|floor| clock.stamp(5, tick, floor)), [1, 2, 8]);
        assert_eq!(clock.stamp(6, tick, 0), 1, "of another class");
        assert_eq!(clock.stamp(5, Time(1 << 40), 0), 1 << 24);
        assert_eq!(clock.stamp(5, Time(0), 0), (1 << 24) + 1, "a clock that goes back");
        assert_eq!(clock.stamp(5, Time::NEVER, 0), TICKS_MAX);
    }
}
