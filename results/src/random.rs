//! A small seeded generator, for resampling and for the tests and benches of this crate:
//! splitmix64.

/// The state of the generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    #[cfg(test)]
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An index into so many.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "it is below a count")]
        let index = (self.next() % count as u64) as usize;
        index
    }
}
