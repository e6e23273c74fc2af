//! How many operations are under way and for how long, counted on the clock as time passes. What
//! is recorded of operations that ended must add up to the same (Little 1961).

/// The operations of one load thread that are under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InFlight {
    count: u64,
    /// When they were meant to start, added up. Sums go round at 2^64; only differences count.
    intended_ns: u64,
    /// Time that operations have been under way, added up.
    passed_ns: u64,
    now_ns: u64,
}

/// The operations under way at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    at_ns: u64,
    passed_ns: u64,
    /// How long those of this moment have been under way, added up.
    age_ns: u64,
}

/// What passed between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The time between them.
    pub for_ns: u64,
    /// Time that operations were under way, added up over all of them.
    pub in_flight_ns: u64,
    /// By how much longer those at the end had been under way than those at the beginning.
    pub older_ns: i64,
}

impl InFlight {
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// An operation starts that was meant to start at `intended_ns`: it has been under way since.
    #[inline]
    pub(super) fn begin(&mut self, intended_ns: u64, now_ns: u64) {
        self.pass(now_ns);
        self.count += 1;
        self.intended_ns = self.intended_ns.wrapping_add(intended_ns);
        self.passed_ns = self.passed_ns.wrapping_add(now_ns.saturating_sub(intended_ns));
    }

    /// One that was meant to start at `intended_ns` ends.
    #[inline]
    pub(super) fn end(&mut self, intended_ns: u64, now_ns: u64) {
        self.pass(now_ns);
        self.count -= 1;
        self.intended_ns = self.intended_ns.wrapping_sub(intended_ns);
    }

    #[inline]
    fn pass(&mut self, now_ns: u64) {
        let length = now_ns.saturating_sub(self.now_ns);
        self.passed_ns = self.passed_ns.wrapping_add(self.count.wrapping_mul(length));
        self.now_ns = self.now_ns.max(now_ns);
    }

    pub(super) fn mark(&mut self, now_ns: u64) -> Mark {
        self.pass(now_ns);
        let age_ns = self.count.wrapping_mul(self.now_ns).wrapping_sub(self.intended_ns);
        Mark { at_ns: self.now_ns, passed_ns: self.passed_ns, age_ns }
    }
}

impl Mark {
    /// What passed since an earlier moment.
    pub(super) const fn since(&self, earlier: &Self) -> Passed {
        Passed {
            for_ns: self.at_ns.saturating_sub(earlier.at_ns),
            in_flight_ns: self.passed_ns.wrapping_sub(earlier.passed_ns),
            older_ns: self.age_ns.wrapping_sub(earlier.age_ns).cast_signed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_and_time_under_way_are_the_same() {
        let mut flight = InFlight::default();
        flight.begin(1000, 1000);
        flight.begin(1050, 1060);
        let from = flight.mark(1100);
        // Those that end until the second mark take 150 and 160.
        flight.end(1000, 1150);
        flight.begin(1120, 1200);
        flight.end(1050, 1210);
        let passed = flight.mark(1300).since(&from);
        assert_eq!(flight.count(), 1);
        assert_eq!(passed.for_ns, 200);
        assert_eq!(passed.in_flight_ns, 50 + 110 + 180);
        assert_eq!(passed.older_ns, 180 - (100 + 50));
        assert_eq!(passed.in_flight_ns.cast_signed(), 150 + 160 + passed.older_ns);
    }
}
