//! Little-endian fields at fixed offsets, shared by every byte layout of the engine.

/// Every layout that is read in place keeps its items on multiples of this.
pub const ALIGNMENT_BYTES: usize = 8;

/// The smallest multiple of `multiple` that is at least `bytes`. `multiple` is a power of two.
pub const fn round_up(bytes: usize, multiple: usize) -> usize {
    assert!(multiple.is_power_of_two());
    (bytes + multiple - 1) & !(multiple - 1)
}

/// A position or length read from bytes, as an index.
pub fn index(value: u64) -> usize {
    usize::try_from(value).expect("the engine runs where usize has 64 bits")
}

/// A length that a limit keeps below 4 GiB, in the width that it has in a header.
pub fn length_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("limits keep every length below 4 GiB")
}

/// The u16 at `offset`.
pub fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, offset))
}

/// The u32 at `offset`.
pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}

/// The u64 at `offset`.
pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}

/// Overwrites `field.len()` bytes at `offset`.
pub fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes[offset..offset + field.len()].copy_from_slice(field);
}

/// The first eight bytes as a number; a shorter slice counts as padded with zeros.
pub fn leading_u64(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(chunk)
        }
    }
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    *bytes[offset..].first_chunk::<N>().expect("callers read inside a layout they measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_put() {
        let mut bytes = [0; 24];
        put(&mut bytes, 3, &0x0102_0304_0506_0708_u64.to_le_bytes());
        put(&mut bytes, 12, &7_u32.to_le_bytes());
        put(&mut bytes, 20, &9_u16.to_le_bytes());
        assert_eq!(u64_at(&bytes, 3), 0x0102_0304_0506_0708);
        assert_eq!(bytes[3], 8, "the lowest byte comes first");
        assert_eq!((u32_at(&bytes, 12), u16_at(&bytes, 20)), (7, 9));
    }

    #[test]
    fn short_slices_are_padded_with_zeros() {
        assert_eq!(leading_u64(&[]), 0);
        assert_eq!(leading_u64(&[1, 2]), 0x0201);
        assert_eq!(leading_u64(&[0, 0, 0, 0, 0, 0, 0, 1, 9]), 1 << 56);
    }

    #[test]
    fn rounding_up() {
        assert_eq!([0, 1, 8, 9].map(|bytes| round_up(bytes, 8)), [0, 8, 8, 16]);
    }
}
