//! Which keys are locked: exclusively by one transaction, or shared by those that only read.
//!
//! Strict two-phase locking (Eswaran et al. 1976) without waiting: whoever does not get a lock at once
//! votes no, so nobody waits for anybody and there is no deadlock. A table with open addressing, whose
//! memory is as large as there were ever locks at one time.

use alloc::vec;
use alloc::vec::Vec;

/// Held by one transaction alone.
const EXCLUSIVE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Lock {
    key: u64,
    /// Transactions that read it, or [`EXCLUSIVE`]; 0 for a free place.
    holders: u32,
}

const FREE: Lock = Lock { key: 0, holders: 0 };

/// Places of a new table; a power of two, as all later ones.
const PLACES: usize = 1 << 10;

/// All locks of a resource manager.
#[derive(Debug)]
pub struct Locks {
    places: Vec<Lock>,
    keys: usize,
}

impl Default for Locks {
    fn default() -> Self {
        Self { places: vec![FREE; PLACES], keys: 0 }
    }
}

impl Locks {
    /// Keys that are locked.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.keys
    }

    /// Locks a key; false when others hold it in a way that does not allow it.
    pub fn lock(&mut self, key: u64, exclusive: bool) -> bool {
        if 2 * self.keys >= self.places.len() {
            self.grow();
        }
        let place = self.find(key);
        let lock = &mut self.places[place];
        match (lock.holders, exclusive) {
            (0, _) => {
                *lock = Lock { key, holders: if exclusive { EXCLUSIVE } else { 1 } };
                self.keys += 1;
                true
            }
            (EXCLUSIVE, _) | (_, true) => false,
            (_, false) => {
                lock.holders += 1;
                true
            }
        }
    }

    /// Gives back one lock of a key.
    pub fn unlock(&mut self, key: u64) {
        let place = self.find(key);
        let lock = &mut self.places[place];
        assert!(lock.holders > 0, "key {key} is not locked");
        if lock.holders != EXCLUSIVE && lock.holders > 1 {
            lock.holders -= 1;
            return;
        }
        self.keys -= 1;
        self.remove(place);
    }

    /// Where a key lies, or is to lie.
    fn find(&self, key: u64) -> usize {
        let mut place = self.home(key);
        while self.places[place].holders > 0 && self.places[place].key != key {
            place = (place + 1) % self.places.len();
        }
        place
    }

    /// The first place where a key is looked for.
    fn home(&self, key: u64) -> usize {
        let bits = self.places.len().ilog2();
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits);
        usize::try_from(hash).expect("as many bits as the table has")
    }

    /// Frees a place, and moves up those behind it that would not be found any more.
    fn remove(&mut self, mut hole: usize) {
        let mask = self.places.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let lock = self.places[place];
            if lock.holders == 0 {
                break;
            }
            let home = self.home(lock.key);
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.places[hole] = lock;
                hole = place;
            }
        }
        self.places[hole] = FREE;
    }

    fn grow(&mut self) {
        let larger = vec![FREE; 2 * self.places.len()];
        for lock in core::mem::replace(&mut self.places, larger) {
            if lock.holders > 0 {
                let place = self.find(lock.key);
                self.places[place] = lock;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[test]
    fn readers_share_and_writers_do_not() {
        let mut locks = Locks::default();
        assert!(locks.lock(1, false) && locks.lock(1, false));
        assert!(!locks.lock(1, true), "two read it");
        locks.unlock(1);
        assert!(!locks.lock(1, true), "one still reads it");
        locks.unlock(1);
        assert!(locks.lock(1, true));
        assert!(!locks.lock(1, false) && !locks.lock(1, true));
        assert!(locks.lock(2, true), "another key");
        locks.unlock(1);
        assert_eq!(locks.keys(), 1);
    }

    #[test]
    fn a_table_that_grows_and_shrinks_agrees_with_a_map() {
        let mut locks = Locks::default();
        let mut model = BTreeMap::<u64, u32>::new();
        let mut state = 1_u64;
        for step in 0..200_000_u64 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (key, exclusive) = ((state >> 33) % 3000, state >> 63 == 1);
            // More and more locks at first, then fewer.
            if (state >> 40) % 100 < if step < 100_000 { 70 } else { 30 } {
                let held = model.entry(key).or_default();
                let may = *held == 0 || (*held != EXCLUSIVE && !exclusive);
                assert_eq!(locks.lock(key, exclusive), may);
                if may {
                    *held = if exclusive { EXCLUSIVE } else { *held + 1 };
                }
            } else if let Some(held) = model.get_mut(&key).filter(|held| **held > 0) {
                locks.unlock(key);
                *held = if *held == EXCLUSIVE { 0 } else { *held - 1 };
            }
            if model.get(&key) == Some(&0) {
                model.remove(&key);
            }
            assert_eq!(locks.keys(), model.len());
        }
        assert!(locks.places.len() > PLACES, "it grew");
    }
}
