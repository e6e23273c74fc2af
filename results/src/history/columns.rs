//! Columns of numbers, bit-packed: each value is stored as its distance from the column's
//! smallest, in as many bits as the largest distance needs.

/// The most bits that are packed; wider columns are stored as whole words. A value of 56 bits
/// that begins anywhere in a byte still lies within eight bytes, so one load or store reaches it.
const PACKED_BITS_MAX: u32 = 56;

/// Bytes of a column before its values: the smallest value, and the width in bits.
const COLUMN_HEADER_BYTES: usize = 9;

/// Bytes that follow the last column, so that a load of eight bytes stays inside.
pub(super) const PADDING_BYTES: usize = 8;

/// Appends `values` as one column to `out`.
pub(super) fn encode(values: &[u64], out: &mut Vec<u8>) {
    let (mut smallest, mut largest) = (u64::MAX, 0);
    for &value in values {
        smallest = smallest.min(value);
        largest = largest.max(value);
    }
    let smallest = smallest.min(largest);
    let width = width_for(largest - smallest);
    out.extend_from_slice(&smallest.to_le_bytes());
    out.push(u8::try_from(width).expect("a width is at most 64"));
    if width == 0 {
        return;
    }
    let begin = out.len();
    let packed_bytes = packed_bytes(values.len(), width);
    out.resize(begin + packed_bytes + PADDING_BYTES, 0);
    let target = &mut out[begin..];
    if width == u64::BITS {
        for (word, &value) in target.chunks_exact_mut(8).zip(values) {
            word.copy_from_slice(&value.wrapping_sub(smallest).to_le_bytes());
        }
    } else {
        pack(values, smallest, width, target);
    }
    out.truncate(begin + packed_bytes);
}

fn pack(values: &[u64], smallest: u64, width: u32, target: &mut [u8]) {
    let (mut gathered, mut gathered_bits, mut at) = (0_u64, 0_u32, 0_usize);
    for &value in values {
        gathered |= value.wrapping_sub(smallest) << gathered_bits;
        gathered_bits = gathered_bits.wrapping_add(width);
        target[at..at + 8].copy_from_slice(&gathered.to_le_bytes());
        let whole_bits = gathered_bits & !7;
        at = at.wrapping_add((whole_bits >> 3) as usize);
        gathered >>= whole_bits;
        gathered_bits &= 7;
    }
}

/// Reads a column of `values.len()` numbers that begins at `at` of `bytes`; returns where the
/// next one begins, or `None` if the column is malformed or reaches into the padding.
pub(super) fn decode(bytes: &[u8], at: usize, values: &mut [u64]) -> Option<usize> {
    let header = bytes.get(at..at.checked_add(COLUMN_HEADER_BYTES)?)?;
    let smallest = word_at(header, 0);
    let width = u32::from(header[8]);
    if width > PACKED_BITS_MAX && width != u64::BITS {
        return None;
    }
    let begin = at + COLUMN_HEADER_BYTES;
    let end = begin.checked_add(packed_bytes(values.len(), width))?;
    let source = bytes.get(begin..end.checked_add(PADDING_BYTES)?)?;
    if width == 0 {
        values.fill(smallest);
    } else if width == u64::BITS {
        for (value, word) in values.iter_mut().zip(source.chunks_exact(8)) {
            *value = smallest.wrapping_add(word_at(word, 0));
        }
    } else {
        let mask = (1_u64 << width) - 1;
        let mut bit = 0_usize;
        for value in values {
            let word = word_at(source, bit >> 3) >> (bit & 7);
            *value = smallest.wrapping_add(word & mask);
            bit = bit.wrapping_add(width as usize);
        }
    }
    Some(end)
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

const fn width_for(largest: u64) -> u32 {
    let width = u64::BITS - largest.leading_zeros();
    if width > PACKED_BITS_MAX { u64::BITS } else { width }
}

const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back() {
        for width in 0..=64_u32 {
            let top = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            for smallest in [0, 7, u64::MAX - top] {
                let values: Vec<u64> = (0..100_u64)
                    .map(|i| smallest.saturating_add(top.wrapping_mul(i * i) & top))
                    .chain([smallest.saturating_add(top)])
                    .collect();
                let mut bytes = vec![0xaa; 3];
                encode(&values, &mut bytes);
                let end = bytes.len();
                bytes.extend_from_slice(&[0xff; PADDING_BYTES]);
                let mut back = vec![0; values.len()];
                assert_eq!(decode(&bytes, 3, &mut back), Some(end));
                assert_eq!(back, values, "width {width}");
            }
        }
    }

    #[test]
    fn a_column_cut_short_is_refused() {
        let mut bytes = Vec::new();
        encode(&[1, 1000, 5], &mut bytes);
        bytes.extend_from_slice(&[0; PADDING_BYTES]);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], 0, &mut [0; 3]), None);
        }
        bytes[8] = 60;
        assert_eq!(decode(&bytes, 0, &mut [0; 3]), None);
    }
}
