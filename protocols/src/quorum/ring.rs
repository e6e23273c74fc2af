//! Who holds a key: its preference list on the ring of replicas (Dynamo, section 4.3).

use crate::types::{ReplicaId, Replicas};

/// The ring. A key is held by so many replicas one after the other, from the one that it names.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    replicas: usize,
    copies: usize,
}

impl Ring {
    /// Keys on `copies` of the replicas each; on all of them if that is 0.
    #[must_use]
    pub fn new(replicas: usize, copies: u64) -> Self {
        let copies = usize::try_from(copies).map_or(replicas, |copies| copies.min(replicas));
        Self { replicas, copies: if copies == 0 { replicas } else { copies } }
    }

    /// How many different preference lists there are: one, if every replica holds every key.
    #[must_use]
    pub const fn lists(&self) -> usize {
        if self.copies == self.replicas { 1 } else { self.replicas }
    }

    /// The preference list of a key, by its first replica.
    #[must_use]
    pub fn list_of(&self, key: u64) -> usize {
        usize::try_from(key % self.lists() as u64).expect("replicas are few")
    }

    /// The replicas of a preference list: those that hold its keys.
    #[must_use]
    pub fn preferred(&self, list: usize) -> Replicas {
        let mut preferred = Replicas::NONE;
        for place in 0..self.copies {
            preferred.insert(self.at(list + place));
        }
        preferred
    }

    /// The others, in the order of the ring behind the list: who may stand in for its replicas.
    pub fn fallbacks(&self, list: usize) -> impl Iterator<Item = ReplicaId> + Clone {
        (self.copies..self.replicas).map(move |place| self.at(list + place))
    }

    fn at(&self, place: usize) -> ReplicaId {
        ReplicaId(u8::try_from(place % self.replicas).expect("replicas are few"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn ids(replicas: impl Iterator<Item = ReplicaId>) -> Vec<u8> {
        replicas.map(|replica| replica.0).collect()
    }

    #[test]
    fn a_list_goes_round_the_ring_and_fallbacks_come_behind_it() {
        let ring = Ring::new(5, 3);
        assert_eq!((ring.lists(), ring.list_of(9)), (5, 4));
        assert_eq!(ids(ring.preferred(4).iter()), [0, 1, 4]);
        assert_eq!(ids(ring.fallbacks(4)), [2, 3]);
    }

    #[test]
    fn without_a_number_every_replica_holds_every_key() {
        let ring = Ring::new(3, 0);
        assert_eq!((ring.lists(), ring.list_of(7)), (1, 0));
        assert_eq!(ring.preferred(0), Replicas::first(3));
        assert_eq!(ring.fallbacks(0).count(), 0);
    }
}
