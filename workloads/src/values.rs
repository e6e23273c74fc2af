//! What is written: how long a value is, and bytes that can be checked when they come back.

use crate::random::{Concern, GOLDEN, Random, scramble};
use crate::spec::Values;

/// Bytes of the id at the start of a value, and so the length of the shortest value.
pub const VALUE_ID_BYTES: usize = 8;

/// Draws the sizes of values.
#[derive(Debug, Clone)]
pub struct ValueGenerator {
    sizes: Sizes,
    random: Random,
}

#[derive(Debug, Clone)]
enum Sizes {
    Fixed(u32),
    Uniform {
        min: u32,
        span: u64,
    },
    /// Sizes with the sum of the weights up to and including each.
    List {
        sums: Box<[(u32, u64)]>,
        total: u64,
    },
}

impl ValueGenerator {
    /// A generator of sizes as `values` says.
    #[must_use]
    pub fn new(values: &Values, seed: u64) -> Self {
        let sizes = match values {
            Values::Fixed(bytes) => Sizes::Fixed(*bytes),
            Values::Uniform { min, max } => {
                assert!(min <= max, "a range of sizes is not empty");
                Sizes::Uniform { min: *min, span: u64::from(max - min) + 1 }
            }
            Values::List(sizes) => {
                let mut total = 0;
                let sums = sizes.iter().map(|(bytes, weight)| {
                    total += u64::from(*weight);
                    (*bytes, total)
                });
                let sums = sums.collect();
                assert!(total > 0, "some size has a weight");
                Sizes::List { sums, total }
            }
        };
        Self { sizes, random: Random::new(seed, Concern::Values) }
    }

    /// The size of the next value, in bytes.
    #[inline]
    pub fn next_size(&mut self) -> u32 {
        match &self.sizes {
            Sizes::Fixed(bytes) => *bytes,
            #[expect(clippy::cast_possible_truncation, reason = "below a span of 32-bit sizes")]
            Sizes::Uniform { min, span } => min + self.random.below(*span) as u32,
            Sizes::List { sums, total } => {
                let draw = self.random.below(*total);
                sums[sums.partition_point(|(_, sum)| *sum <= draw)].0
            }
        }
    }
}

/// Makes `value` the value called `id`: the id in its first 8 bytes, little-endian, and a pattern
/// that follows from the id in the rest. `value` must have at least [`VALUE_ID_BYTES`].
#[inline]
pub fn fill(id: u64, value: &mut [u8]) {
    let (head, rest) = value.split_at_mut(VALUE_ID_BYTES);
    head.copy_from_slice(&id.to_le_bytes());
    let mut pattern = Pattern::new(id);
    let (words, tail) = rest.as_chunks_mut();
    for word in words {
        *word = pattern.next_bytes();
    }
    tail.copy_from_slice(&pattern.next_bytes()[..tail.len()]);
}

/// The id of a value that [`fill`] made, or none if any byte is not as it made them.
#[inline]
#[must_use]
pub fn verify(value: &[u8]) -> Option<u64> {
    let (head, rest) = value.split_first_chunk::<VALUE_ID_BYTES>()?;
    let id = u64::from_le_bytes(*head);
    let mut pattern = Pattern::new(id);
    let (words, tail) = rest.as_chunks();
    // Differences gather instead of ending the loop: nearly every value is whole.
    let mut difference = 0;
    for word in words {
        difference |= u64::from_le_bytes(*word) ^ u64::from_le_bytes(pattern.next_bytes());
    }
    let whole = difference == 0 && *tail == pattern.next_bytes()[..tail.len()];
    whole.then_some(id)
}

/// Eight bytes after eight, different at every place and for every id: a scrambled id and then one
/// addition per word, which the compiler does for several words at a time.
struct Pattern {
    state: u64,
}

impl Pattern {
    fn new(id: u64) -> Self {
        Self { state: scramble(id ^ GOLDEN) }
    }

    #[inline]
    fn next_bytes(&mut self) -> [u8; 8] {
        self.state = self.state.wrapping_add(GOLDEN);
        self.state.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_gives_its_id_back() {
        for length in 8..200 {
            let mut value = vec![0; length];
            for id in [0, 1, u64::MAX, 0x0102_0304_0506_0708] {
                fill(id, &mut value);
                assert_eq!(verify(&value), Some(id));
            }
        }
    }

    #[test]
    fn any_flipped_bit_shows() {
        let mut value = [0; 37];
        fill(77, &mut value);
        for bit in 0..value.len() * 8 {
            value[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&value), None, "bit {bit}");
            value[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(verify(&value[..7]), None);
        assert_eq!(verify(&[]), None);
        assert_eq!(verify(&[0; 64]), None);
    }

    #[test]
    fn sizes_come_out() {
        let mut fixed = ValueGenerator::new(&Values::Fixed(16), 1);
        assert_eq!(fixed.next_size(), 16);

        let mut uniform = ValueGenerator::new(&Values::Uniform { min: 8, max: 11 }, 1);
        let mut counts = [0_u32; 4];
        (0..40_000).for_each(|_| counts[uniform.next_size() as usize - 8] += 1);
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");

        let sizes = Values::List(vec![(16, 0), (100, 9), (1000, 1)]);
        let mut list = ValueGenerator::new(&sizes, 1);
        let large = (0..100_000).filter(|_| match list.next_size() {
            1000 => true,
            100 => false,
            other => panic!("{other} has no weight"),
        });
        assert!(large.count().abs_diff(10_000) < 400);
        assert_eq!(sizes.max_bytes(), 1000);
    }

    #[test]
    fn a_seed_makes_the_same_for_ever() {
        let mut uniform = ValueGenerator::new(&Values::Uniform { min: 8, max: 1000 }, 1);
        assert_eq!(
            std::array::from_fn::<u32, 5, _>(|_| uniform.next_size()),
            [573, 696, 285, 631, 81]
        );
        let mut value = [0; 20];
        fill(1, &mut value);
        assert_eq!(value[8..], [53, 168, 175, 154, 48, 235, 16, 131, 74, 36, 250, 25]);
    }
}
