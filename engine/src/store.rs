//! The replicated table: a key, its version and its value, one cache line per key.
//!
//! Open addressing with linear probing. An entry fills one 64-byte line and holds values of up to
//! 40 bytes itself; longer ones lie in a slab. A deleted key keeps its entry: the tombstone carries
//! the version and the 8-byte id of the deletion, which both replay and register protocols need.
//!
//! Memory is taken up front for the expected number of keys. The table doubles when it is three
//! quarters full; that moves every entry at once (tens of milliseconds per million keys), so a run
//! states how many keys it expects and never pays for it.
//!
//! Applying never fails and never refuses: what every replica must do alike cannot depend on memory.
//! The limits are kept by whoever orders commands, who asks [`Store::room`] before.

mod slab;

#[cfg(test)]
pub(crate) mod model;

use slab::{Place, Slab};
use synod_protocols::bytes::{index, leading_u64, length_u32};
use synod_protocols::command::{Command, Op, Status};

/// Longest value that lies in the entry itself.
pub const INLINE_BYTES_MAX: usize = 40;

/// Most keys in one [`Store::touch`]: more would push one another out of the first-level cache.
pub const TOUCH_KEYS_MAX: usize = 64;

const TOUCH_PASSES: usize = 2;

/// What the table may hold.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Keys for which memory is taken at creation.
    pub keys_expected: usize,
    /// Most keys, those with a tombstone included.
    pub keys_max: usize,
    /// Most bytes in values longer than [`INLINE_BYTES_MAX`], each rounded up to a power of two.
    pub large_bytes_max: usize,
}

/// What is left of the limits. Commands in flight must fit, too: who orders them subtracts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Further keys.
    pub keys: usize,
    /// Further bytes of large values.
    pub large_bytes: usize,
}

/// The result of a command, borrowed from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// [`Status::Ok`], [`Status::Absent`] or [`Status::Mismatch`].
    pub status: Status,
    /// Get: the value, or the id of the tombstone. Add: the sum. Mismatch: the first 8 bytes of
    /// what was seen. Otherwise empty.
    pub value: &'a [u8],
}

/// What a key holds, as register protocols see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// Version of the write that left this; never 0.
    pub version: u64,
    /// The value, or the id of the tombstone.
    pub value: &'a [u8],
    /// Whether the key was deleted.
    pub tombstone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum State {
    Free = 0,
    Value = 1,
    Tombstone = 2,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Entry {
    key: u64,
    /// Invariant: 0 exactly if the entry is free.
    version: u64,
    value_bytes: u32,
    state: State,
    /// The value, or, if it is longer than this, the place of it in the slab in the first 8 bytes.
    inline: [u8; INLINE_BYTES_MAX],
}

const _: () = assert!(size_of::<Entry>() == 64, "one cache line per key");

const FREE: Entry =
    Entry { key: 0, version: 0, value_bytes: 0, state: State::Free, inline: [0; INLINE_BYTES_MAX] };

/// The table. See the module's description.
#[derive(Debug)]
pub struct Store {
    /// Invariant: a power of two long, and at least a quarter of it free.
    entries: Box<[Entry]>,
    slab: Slab,
    limits: StoreLimits,
    keys: usize,
    rehashes: u64,
}

impl Store {
    /// An empty table.
    pub fn new(limits: StoreLimits) -> Self {
        assert!(limits.keys_expected <= limits.keys_max);
        let entries = (limits.keys_expected / 3 * 4 + 8).next_power_of_two();
        Self {
            entries: vec![FREE; entries].into_boxed_slice(),
            slab: Slab::new(),
            limits,
            keys: 0,
            rehashes: 0,
        }
    }

    /// Keys in the table, those with a tombstone included.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The limits given at creation.
    pub fn limits(&self) -> StoreLimits {
        self.limits
    }

    /// What is left of the limits. The same at every replica that applied the same commands.
    pub fn room(&self) -> Room {
        Room {
            keys: self.limits.keys_max.saturating_sub(self.keys),
            large_bytes: self.limits.large_bytes_max.saturating_sub(self.slab.live_bytes()),
        }
    }

    /// Bytes that a value counts for in [`Room::large_bytes`].
    pub fn large_bytes(value_bytes: usize) -> usize {
        if value_bytes <= INLINE_BYTES_MAX { 0 } else { Slab::place_bytes(value_bytes) }
    }

    /// Loads the cache lines of up to [`TOUCH_KEYS_MAX`] keys at once. Their misses overlap, which
    /// those of [`Self::apply`], one command after the other, cannot.
    ///
    /// The loops are short and free of branches, so that the processor sees many rounds ahead. Each
    /// pass moves on the keys that are not where the pass before looked: of a table that is half
    /// full, two passes reach 9 keys of 10. A third would reach half of the rest, and was measured to
    /// cost as much as it saves.
    #[inline]
    pub fn touch(&self, keys: &[u64]) {
        assert!(keys.len() <= TOUCH_KEYS_MAX);
        let mut slots = [0; TOUCH_KEYS_MAX];
        for (slot, &key) in slots.iter_mut().zip(keys) {
            *slot = self.home(key);
        }
        for _ in 0..TOUCH_PASSES {
            for (slot, &key) in slots.iter_mut().zip(keys) {
                let elsewhere = usize::from(self.entries[*slot].key != key);
                *slot = (*slot + elsewhere) & (self.entries.len() - 1);
            }
        }
        std::hint::black_box(&slots);
    }

    /// Executes one command. `version` is its place in the order of all commands, from 1.
    ///
    /// Returns `None`, having changed nothing, if the entry already has this version or a later
    /// one: the entry comes from a snapshot that has seen this command.
    #[inline]
    pub fn apply(&mut self, version: u64, command: &Command<'_>) -> Option<Outcome<'_>> {
        assert!(version > 0);
        let slot = self.find(command.key);
        if self.entries[slot].version >= version {
            return None;
        }
        match command.op {
            Op::Get => Some(self.read(slot)),
            Op::Put => {
                self.write(slot, command.key, version, State::Value, command.value);
                Some(Outcome { status: Status::Ok, value: &[] })
            }
            Op::Delete => {
                self.write(slot, command.key, version, State::Tombstone, command.value);
                Some(Outcome { status: Status::Ok, value: &[] })
            }
            Op::CompareAndSwap => Some(self.compare_and_swap(slot, version, command)),
            Op::Add => Some(self.add(slot, version, command)),
            Op::Transact => unreachable!("protocols for transactions look into them"),
        }
    }

    /// Reads a key without ordering the read: a value with its version, a tombstone, or nothing.
    pub fn tagged(&self, key: u64) -> Option<Tagged<'_>> {
        self.tagged_at(self.find(key)).map(|(_, tagged)| tagged)
    }

    /// Writes a key for a register protocol or from a snapshot: of two versions the larger stays.
    /// Returns whether this was it. `version` is from 1; a tombstone's value is its 8-byte id.
    pub fn put_tagged(&mut self, key: u64, written: Tagged<'_>) -> bool {
        assert!(written.version > 0);
        let slot = self.find(key);
        let newer = written.version > self.entries[slot].version;
        if newer {
            let state = if written.tombstone { State::Tombstone } else { State::Value };
            self.write(slot, key, written.version, state, written.value);
        }
        newer
    }

    /// How often entries have moved. A walk over slots sees every key only if this did not change.
    pub(crate) fn rehashes(&self) -> u64 {
        self.rehashes
    }

    /// Places that a walk with [`Self::tagged_at`] has to visit.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// The key and its content at a slot, if the slot is taken.
    pub(crate) fn tagged_at(&self, slot: usize) -> Option<(u64, Tagged<'_>)> {
        let entry = &self.entries[slot];
        let tagged = Tagged {
            version: entry.version,
            value: self.value(entry),
            tombstone: entry.state == State::Tombstone,
        };
        (entry.state != State::Free).then_some((entry.key, tagged))
    }

    fn read(&self, slot: usize) -> Outcome<'_> {
        let entry = &self.entries[slot];
        let status = if entry.state == State::Value { Status::Ok } else { Status::Absent };
        Outcome { status, value: self.value(entry) }
    }

    fn compare_and_swap(
        &mut self,
        slot: usize,
        version: u64,
        command: &Command<'_>,
    ) -> Outcome<'_> {
        let entry = &self.entries[slot];
        let matches = match entry.state {
            // Expecting 0 means expecting a key that was never written, so what has id 0 is never
            // the expected one. What a delete left can be expected by its id.
            State::Value | State::Tombstone => {
                command.expected != 0 && leading_u64(self.value(entry)) == command.expected
            }
            State::Free => command.expected == 0,
        };
        if !matches {
            return match entry.state {
                State::Value => self.mismatch(slot),
                State::Tombstone | State::Free => self.read(slot),
            };
        }
        self.write(slot, command.key, version, State::Value, command.value);
        Outcome { status: Status::Ok, value: &[] }
    }

    fn add(&mut self, slot: usize, version: u64, command: &Command<'_>) -> Outcome<'_> {
        let entry = &self.entries[slot];
        let before = match entry.state {
            State::Value if entry.value_bytes != 8 => return self.mismatch(slot),
            State::Value => leading_u64(&entry.inline),
            State::Free | State::Tombstone => 0,
        };
        // Two's complement makes the sum of u64 that of i64.
        let sum = before.wrapping_add(leading_u64(command.value));
        let slot = self.write(slot, command.key, version, State::Value, &sum.to_le_bytes());
        Outcome { status: Status::Ok, value: &self.entries[slot].inline[..8] }
    }

    fn mismatch(&self, slot: usize) -> Outcome<'_> {
        let entry = &self.entries[slot];
        let seen: &[u8] = if entry.state == State::Value { self.value(entry) } else { &[] };
        Outcome { status: Status::Mismatch, value: &seen[..seen.len().min(8)] }
    }

    fn value<'a>(&'a self, entry: &'a Entry) -> &'a [u8] {
        let value_bytes = index(u64::from(entry.value_bytes));
        if value_bytes <= INLINE_BYTES_MAX {
            &entry.inline[..value_bytes]
        } else {
            self.slab.get(place(entry), value_bytes)
        }
    }

    /// Fills the entry at `slot`, where [`Self::find`] found `key` or its free place, and returns
    /// where the entry is now.
    #[inline]
    fn write(&mut self, slot: usize, key: u64, version: u64, state: State, value: &[u8]) -> usize {
        let slot =
            if self.entries[slot].state == State::Free { self.claim(slot, key) } else { slot };
        let entry = &mut self.entries[slot];
        assert!(entry.version < version, "versions of a key only grow");
        let old_bytes = index(u64::from(entry.value_bytes));
        if old_bytes > INLINE_BYTES_MAX {
            self.slab.remove(place(entry), old_bytes);
        }
        entry.key = key;
        entry.version = version;
        entry.state = state;
        entry.value_bytes = length_u32(value.len());
        if value.len() <= INLINE_BYTES_MAX {
            entry.inline[..value.len()].copy_from_slice(value);
        } else {
            entry.inline[..8].copy_from_slice(&self.slab.insert(value).to_bytes());
        }
        slot
    }

    /// Counts a new key and returns where it goes, after making the table larger if it must be.
    fn claim(&mut self, slot: usize, key: u64) -> usize {
        self.keys += 1;
        if self.keys <= self.entries.len() / 4 * 3 {
            return slot;
        }
        let larger = vec![FREE; self.entries.len() * 2].into_boxed_slice();
        let smaller = std::mem::replace(&mut self.entries, larger);
        for entry in smaller.iter().filter(|entry| entry.state != State::Free) {
            let slot = self.find(entry.key);
            assert_eq!(self.entries[slot].state, State::Free, "a key has one entry");
            self.entries[slot] = *entry;
        }
        self.rehashes += 1;
        self.find(key)
    }

    /// Where `key` is, or the free slot where it would go.
    #[inline]
    fn find(&self, key: u64) -> usize {
        let mut slot = self.home(key);
        loop {
            let entry = &self.entries[slot];
            if entry.key == key && entry.state != State::Free || entry.state == State::Free {
                return slot;
            }
            slot = (slot + 1) & (self.entries.len() - 1);
        }
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        index(mix(key)) & (self.entries.len() - 1)
    }
}

/// Spreads keys over all 64 bits, one to one, so that neither runs nor strides of keys collide.
#[inline]
pub(crate) fn mix(key: u64) -> u64 {
    let key = (key ^ (key >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let key = (key ^ (key >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    key ^ (key >> 32)
}

fn place(entry: &Entry) -> Place {
    Place::from_bytes(*entry.inline.first_chunk().expect("an entry has 40 bytes"))
}

#[cfg(test)]
mod tests {
    use super::model::{Model, Random, random_command};
    use super::*;
    use synod_protocols::command::SessionId;

    const LIMITS: StoreLimits =
        StoreLimits { keys_expected: 4, keys_max: 1000, large_bytes_max: 1 << 20 };

    fn command(op: Op, expected: u64, value: &[u8]) -> Command<'_> {
        Command { session: SessionId(1), sequence: 1, key: 5, op, expected, value }
    }

    #[test]
    fn agrees_with_a_simple_model() {
        for seed in 1..=100 {
            let mut random = Random::new(seed);
            let (mut store, mut model) = (Store::new(LIMITS), Model::default());
            let mut value = Vec::new();
            for version in 1..2000 {
                let command = random_command(&mut random, version, &mut value);
                let (status, expected) = model.apply(version, &command);
                let outcome = store.apply(version, &command).unwrap();
                assert_eq!((outcome.status, outcome.value), (status, expected.as_slice()));
            }
            model.check(&store);
            assert!(store.rehashes() > 0, "the test grows the table");
        }
    }

    #[test]
    fn a_version_that_the_entry_has_seen_changes_nothing() {
        let mut store = Store::new(LIMITS);
        store.apply(7, &command(Op::Put, 0, b"seven")).unwrap();
        assert_eq!(store.apply(7, &command(Op::Put, 0, b"again")), None);
        assert_eq!(store.apply(6, &command(Op::Add, 0, &[1; 8])), None);
        assert_eq!(store.tagged(5).unwrap().value, b"seven");
    }

    #[test]
    fn the_larger_tag_stays_whatever_the_order() {
        let tagged = |version, value| Tagged { version, value, tombstone: version == 2 };
        let mut store = Store::new(LIMITS);
        assert!(store.put_tagged(5, tagged(2, &[2; 8])));
        assert!(store.tagged(5).unwrap().tombstone);
        assert!(store.put_tagged(5, tagged(3, &[3; 100])));
        assert!(!store.put_tagged(5, tagged(1, &[1; 8])));
        assert!(!store.put_tagged(5, tagged(3, &[9; 8])));
        assert_eq!(store.tagged(5), Some(tagged(3, &[3; 100])));
        assert_eq!(store.tagged(6), None);
    }

    #[test]
    fn compare_and_swap_and_add_say_what_they_saw() {
        let mut store = Store::new(LIMITS);
        let mut run = |version, command: Command<'_>| {
            let outcome = store.apply(version, &command).unwrap();
            (outcome.status, outcome.value.to_vec())
        };
        let id = |id: u64| id.to_le_bytes().to_vec();
        assert_eq!(run(1, command(Op::CompareAndSwap, 9, b"x")), (Status::Absent, vec![]));
        assert_eq!(run(2, command(Op::CompareAndSwap, 0, &id(4))), (Status::Ok, vec![]));
        assert_eq!(run(3, command(Op::CompareAndSwap, 0, b"x")), (Status::Mismatch, id(4)));
        assert_eq!(
            run(4, command(Op::Add, 0, &(-5_i64).to_le_bytes())),
            (Status::Ok, id(u64::MAX))
        );
        assert_eq!(run(5, command(Op::Put, 0, &[1; 9])), (Status::Ok, vec![]));
        assert_eq!(run(6, command(Op::Add, 0, &id(1))), (Status::Mismatch, vec![1; 8]));
        assert_eq!(run(7, command(Op::Delete, 0, &id(77))), (Status::Ok, vec![]));
        assert_eq!(run(8, command(Op::Get, 0, b"")), (Status::Absent, id(77)));
        assert_eq!(run(9, command(Op::CompareAndSwap, 0, b"x")), (Status::Absent, id(77)));
        assert_eq!(run(10, command(Op::CompareAndSwap, 77, &id(78))), (Status::Ok, vec![]));
        assert_eq!(run(11, command(Op::Delete, 0, &id(79))), (Status::Ok, vec![]));
        assert_eq!(run(12, command(Op::Add, 0, &id(3))), (Status::Ok, id(3)));
    }

    #[test]
    fn room_counts_keys_and_large_values() {
        let mut store = Store::new(LIMITS);
        assert_eq!(store.room(), Room { keys: 1000, large_bytes: 1 << 20 });
        store.apply(1, &command(Op::Put, 0, &[1; 1000])).unwrap();
        assert_eq!(store.room(), Room { keys: 999, large_bytes: (1 << 20) - 1024 });
        assert_eq!((Store::large_bytes(1000), Store::large_bytes(40)), (1024, 0));
        store.apply(2, &command(Op::Delete, 0, &[1; 8])).unwrap();
        assert_eq!(store.room(), Room { keys: 999, large_bytes: 1 << 20 });
    }
}
