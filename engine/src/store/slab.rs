//! Values that do not fit into a table entry, in size classes of powers of two.
//!
//! A class hands out places from chunks that never move, so growing copies nothing. A place that is
//! given back serves its class again; memory per class stays at its peak.

use std::fmt;
use synod_protocols::bytes::{index, length_u32};

/// Bytes of a place in the smallest class.
const PLACE_BYTES_MIN: usize = 64;

/// Classes of 64 B, 128 B, ... 16 MiB: enough for every value that a command can carry.
const CLASSES: usize = 19;

/// Chunks have this size, or that of one place if it is larger.
const CHUNK_BYTES: usize = 1 << 20;

const _: () = assert!(
    PLACE_BYTES_MIN << (CLASSES - 1) > synod_protocols::command::VALUE_BYTES_MAX,
    "largest class"
);

/// Where a value lies: the class and the place in it. Meaningful only for the slab that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    fn new(class: usize, number: u32) -> Self {
        Self((class as u64) << 32 | u64::from(number))
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    fn class(self) -> usize {
        index(self.0 >> 32)
    }

    fn number(self) -> usize {
        index(self.0 & u64::from(u32::MAX))
    }
}

#[derive(Default)]
struct Class {
    chunks: Vec<Box<[u8]>>,
    /// Invariant: below the places that `chunks` have room for.
    places_used: u32,
    free: Vec<u32>,
}

/// The slab.
pub(super) struct Slab {
    classes: [Class; CLASSES],
    live_bytes: usize,
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").field("live_bytes", &self.live_bytes).finish_non_exhaustive()
    }
}

impl Slab {
    pub(super) fn new() -> Self {
        Self { classes: std::array::from_fn(|_| Class::default()), live_bytes: 0 }
    }

    /// Bytes of all places in use. Depends only on the values held, never on their history, so that
    /// it is the same at every replica that holds the same values.
    pub(super) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes that a value of this length counts for in [`Self::live_bytes`].
    pub(super) fn place_bytes(value_bytes: usize) -> usize {
        PLACE_BYTES_MIN << class_of(value_bytes)
    }

    pub(super) fn insert(&mut self, value: &[u8]) -> Place {
        let class_index = class_of(value.len());
        let per_chunk = places_per_chunk(class_index);
        let class = &mut self.classes[class_index];
        let number = class.free.pop().unwrap_or(class.places_used);
        if number == class.places_used {
            if index(u64::from(number)) == class.chunks.len() * per_chunk {
                let chunk_bytes = per_chunk * (PLACE_BYTES_MIN << class_index);
                class.chunks.push(vec![0; chunk_bytes].into_boxed_slice());
            }
            class.places_used += 1;
        }
        self.live_bytes += PLACE_BYTES_MIN << class_index;
        let place = Place::new(class_index, number);
        self.bytes_mut(place, value.len()).copy_from_slice(value);
        place
    }

    pub(super) fn get(&self, place: Place, value_bytes: usize) -> &[u8] {
        assert_eq!(place.class(), class_of(value_bytes));
        let per_chunk = places_per_chunk(place.class());
        let chunk = &self.classes[place.class()].chunks[place.number() / per_chunk];
        let start = place.number() % per_chunk * (PLACE_BYTES_MIN << place.class());
        &chunk[start..start + value_bytes]
    }

    /// Gives the place of a value of this length back.
    pub(super) fn remove(&mut self, place: Place, value_bytes: usize) {
        assert_eq!(place.class(), class_of(value_bytes));
        self.live_bytes -= PLACE_BYTES_MIN << place.class();
        self.classes[place.class()].free.push(length_u32(place.number()));
    }

    fn bytes_mut(&mut self, place: Place, value_bytes: usize) -> &mut [u8] {
        let per_chunk = places_per_chunk(place.class());
        let chunk = &mut self.classes[place.class()].chunks[place.number() / per_chunk];
        let start = place.number() % per_chunk * (PLACE_BYTES_MIN << place.class());
        &mut chunk[start..start + value_bytes]
    }
}

fn class_of(value_bytes: usize) -> usize {
    let place_bytes = value_bytes.max(PLACE_BYTES_MIN).next_power_of_two();
    index(u64::from(place_bytes.ilog2() - PLACE_BYTES_MIN.ilog2()))
}

fn places_per_chunk(class: usize) -> usize {
    (CHUNK_BYTES / (PLACE_BYTES_MIN << class)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_apart_and_places_are_used_again() {
        let mut slab = Slab::new();
        let lengths = [41, 64, 65, 1000, 1 << 20, (1 << 20) + 1];
        let places: Vec<_> =
            (0_u8..).zip(lengths).map(|(fill, n)| slab.insert(&vec![fill; n])).collect();
        for ((fill, length), &place) in (0_u8..).zip(lengths).zip(&places) {
            assert_eq!(slab.get(place, length), vec![fill; length]);
        }
        assert_eq!(slab.live_bytes(), 64 + 64 + 128 + 1024 + (1 << 20) + (1 << 21));
        slab.remove(places[0], 41);
        assert_eq!(slab.insert(&[9; 50]), places[0]);
        assert_eq!(slab.get(places[1], 64), [1; 64]);
    }

    #[test]
    fn chunks_are_added_when_full() {
        let mut slab = Slab::new();
        let places: Vec<_> = (0..40_000_u32).map(|n| slab.insert(&n.to_le_bytes())).collect();
        for (n, &place) in (0..40_000_u32).zip(&places) {
            assert_eq!(slab.get(place, 4), n.to_le_bytes());
        }
        assert_eq!(slab.live_bytes(), 40_000 * 64);
    }
}
