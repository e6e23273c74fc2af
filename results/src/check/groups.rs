//! Every value with the earliest end and the latest start of the operations on it.

use super::explain::Rule;
use super::fault::{Fault, Role, Wrong};
use super::record::{
    ABSENT, AS_EXPECTED, DELETE, FLAGS, FOUND, NEVER, NO_VALUE, Record, SWAP, TIME_SHIFT,
    UNANSWERED, WRITER, WRITTEN,
};

/// No group.
pub(super) const NONE: u32 = u32::MAX;

/// A compare-and-swap replaced the value. The flag means something else in a record.
const REPLACED: u64 = NO_VALUE;
const SEEN: u64 = FOUND | ABSENT | AS_EXPECTED | REPLACED;

/// A value and what happened to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) key: u64,
    pub(super) value: u64,
    /// The earliest end of its operations.
    pub(super) first_end: u64,
    /// The latest start of its operations.
    pub(super) last_start: u64,
    /// When its writer started, and below that the flags.
    writer: u64,
    /// The group whose value replaced this one by compare-and-swap.
    pub(super) successor: u32,
    pub(super) key_number: u32,
}

const _: () = assert!(size_of::<Group>() == 48);

impl Group {
    pub(super) const fn writer_start(&self) -> u64 {
        self.writer >> TIME_SHIFT
    }

    pub(super) const fn has(&self, flags: u64) -> bool {
        self.writer & flags != 0
    }

    pub(super) const fn set(&mut self, flags: u64) {
        self.writer |= flags;
    }

    pub(super) const fn is_seen(&self) -> bool {
        self.has(SEEN)
    }

    /// Whether the value was current at some time, for all that is known.
    pub(super) const fn counts(&self) -> bool {
        self.has(WRITTEN) || self.is_seen()
    }
}

/// A write does not begin a group: its value is written twice, or is that of a key never written.
#[cold]
fn not_unique(record: &Record) -> Box<Fault> {
    let writer = Role::Writer(record.value);
    if record.value == 0 {
        let words = "it writes 0, which stands for a key never written";
        return Fault::malformed(record.key, words, writer);
    }
    let roles = vec![writer, Role::SecondWriter(record.value)];
    Box::new(Fault { key: record.key, wrong: Wrong::WrittenTwice, roles })
}

/// Memory for a group and its zone.
const GROUP_BYTES: usize = size_of::<Group>() + 16;

/// A key of the groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// How many groups it has.
    pub(super) groups: u32,
    pub(super) is_counter: bool,
}

/// The groups of some keys, found by key and value in a table with open addressing.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) all: Vec<Group>,
    pub(super) keys: Vec<Key>,
    /// Compare-and-swaps without an answer: their groups, and what they expected.
    pub(super) unanswered_swaps: Vec<(u32, u64)>,
    pub(super) counters: u32,
    /// How many records there was to be room for.
    records: usize,
    /// Numbers of groups, each one more than it is, and 0 where there is none.
    slots: Vec<u32>,
    /// How many groups there may be until the table grows.
    groups_max: usize,
    /// How far a hash is shifted to become the number of a line of `slots`.
    shift: u32,
    last_key: u64,
    last_key_number: u32,
}

/// Slots of a line, a cache line of them. The values that a session writes one after another
/// share a line, so that the lines in use at one time are few even if the table is large.
const LINE_BITS: u32 = 4;
const LINE_MASK: u64 = (1 << LINE_BITS) - 1;

impl Groups {
    /// Forgets everything and makes room for what `records` records can name.
    pub(super) fn reset(&mut self, records: usize) {
        // As many as in the partition before, because partitions are alike; in the first one about
        // half of the records may write.
        let groups = match self.records {
            0 => records / 2,
            before => records * (self.all.len() + 16) / before,
        };
        self.records = records;
        self.all.clear();
        self.keys.clear();
        self.unanswered_swaps.clear();
        self.counters = 0;
        self.last_key_number = NONE;
        // Not more than two thirds of the slots may fill up.
        self.reset_slots((groups + groups / 2).next_power_of_two().max(4 << LINE_BITS));
    }

    fn reset_slots(&mut self, slots: usize) {
        self.groups_max = slots / 3 * 2;
        self.shift = u64::BITS - (slots.trailing_zeros() - LINE_BITS);
        self.slots.clear();
        self.slots.resize(slots, 0);
    }

    /// Doubles the table.
    #[cold]
    fn grow(&mut self) {
        self.reset_slots(2 * self.slots.len());
        for at in 0..self.all.len() {
            let slot = self.slot_of(self.all[at].key, self.all[at].value).0;
            self.slots[slot] = u32::try_from(at + 1).expect("it had a number");
        }
    }

    /// Takes in records, of which the last is not the first of two.
    pub(super) fn fold(&mut self, records: &[Record]) -> Result<(), Box<Fault>> {
        let mut rest = records.iter();
        while let Some(record) = rest.next() {
            if record.flags() & (SWAP | NO_VALUE) == 0 {
                self.fold_plain(record)?;
            } else {
                let second = if record.is_first_of_two() { rest.next() } else { None };
                self.fold_rare(record, second)?;
            }
        }
        Ok(())
    }

    /// Takes in a record that is not one of two.
    #[inline]
    pub(super) fn fold_one(&mut self, record: &Record) -> Result<(), Box<Fault>> {
        if record.flags() & NO_VALUE == 0 {
            self.fold_plain(record).map(|_| ())
        } else {
            self.fold_rare(record, None)
        }
    }

    /// What it takes to hold the groups and to judge them.
    pub(super) fn memory_bytes(&self) -> u64 {
        let slots = self.slots.len() * size_of::<u32>();
        (self.all.len() * GROUP_BYTES + slots) as u64
    }

    /// Takes in a record that stands for itself; returns the number of its group.
    #[inline(always)]
    fn fold_plain(&mut self, record: &Record) -> Result<u32, Box<Fault>> {
        let number = self.find_or_add(record.key, record.value);
        let group = &mut self.all[number as usize];
        group.first_end = group.first_end.min(record.end);
        group.last_start = group.last_start.max(record.start());
        let before = group.writer;
        // Without a branch, because whether it writes is not to be foreseen: the start belongs
        // into the group only if it does.
        let is_writer = (record.start_and_flags & WRITER).wrapping_neg();
        group.writer |= record.start_and_flags & (is_writer | FLAGS);
        if before & record.start_and_flags & WRITER != 0 {
            return Err(not_unique(record));
        }
        Ok(number)
    }

    #[inline(never)]
    fn fold_rare(&mut self, record: &Record, second: Option<&Record>) -> Result<(), Box<Fault>> {
        let flags = record.flags();
        if flags & NO_VALUE != 0 {
            let initial = self.find_or_add(record.key, 0);
            if flags & WRITER != 0 {
                let key = &mut self.keys[self.all[initial as usize].key_number as usize];
                self.counters += u32::from(!key.is_counter);
                key.is_counter = true;
            }
            return Ok(());
        }
        let own = self.fold_plain(record)?;
        let expected = second.expect("a pair is whole").value;
        if flags & WRITTEN == 0 {
            self.unanswered_swaps.push((own, expected));
            return Ok(());
        }
        let expected = self.find_or_add(record.key, expected);
        self.replace(expected, own)
    }

    /// Ties the group of a compare-and-swap to that of the value which it replaced.
    pub(super) fn replace(&mut self, expected: u32, own: u32) -> Result<(), Box<Fault>> {
        let group = &mut self.all[expected as usize];
        group.set(REPLACED);
        if group.successor == NONE {
            group.successor = own;
            return Ok(());
        }
        let (key, value, rival) = (group.key, group.value, group.successor);
        let mut roles = vec![Role::Writer(value)];
        for number in [rival, own] {
            let swap = &self.all[number as usize];
            roles.push(Role::Writer(swap.value));
            // Without an answer, only somebody who saw its value proves that it happened.
            if swap.has(UNANSWERED) {
                roles.push(Role::Finder(swap.value));
            }
        }
        Err(Fault::rule(key, Rule::TwoSwapsOfOneValue, &roles))
    }

    /// The number of the key, which is that of a new one if it has none.
    fn key_number(&mut self, key: u64) -> u32 {
        if self.last_key != key || self.last_key_number == NONE {
            let initial = self.find_or_add(key, 0);
            self.last_key = key;
            self.last_key_number = self.all[initial as usize].key_number;
        }
        self.last_key_number
    }

    /// Whether there are adds on the key.
    pub(super) fn is_counter(&self, key: u64) -> bool {
        self.find(key, 0).is_some_and(|initial| {
            self.keys[self.all[initial as usize].key_number as usize].is_counter
        })
    }

    /// The group of a value, if there is one.
    pub(super) fn find(&self, key: u64, value: u64) -> Option<u32> {
        self.slot_of(key, value).1.checked_sub(1)
    }

    #[inline(always)]
    fn find_or_add(&mut self, key: u64, value: u64) -> u32 {
        match self.slot_of(key, value) {
            (slot, 0) => self.add(slot, key, value),
            (_, number) => number.wrapping_sub(1),
        }
    }

    /// Where the group of a value is, or would be, and what is there.
    #[inline(always)]
    fn slot_of(&self, key: u64, value: u64) -> (usize, u32) {
        let mask = self.slots.len().wrapping_sub(1);
        let mixed = (value >> LINE_BITS ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let line = mixed.wrapping_shr(self.shift);
        #[expect(clippy::cast_possible_truncation, reason = "the shift leaves an index of slots")]
        let mut at = (line << LINE_BITS | value & LINE_MASK) as usize & mask;
        loop {
            let number = self.slots[at];
            if number == 0 {
                return (at, 0);
            }
            let group = &self.all[number.wrapping_sub(1) as usize];
            if group.value == value && group.key == key {
                return (at, number);
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    #[inline(never)]
    fn add(&mut self, mut slot: usize, key: u64, value: u64) -> u32 {
        if self.all.len() >= self.groups_max {
            self.grow();
            slot = self.slot_of(key, value).0;
        }
        let number = self.all.len();
        let next = u32::try_from(number + 1).expect("groups do not fill that much memory");
        self.slots[slot] = next;
        let mut group = Group { key, value, first_end: NEVER, successor: NONE, ..Group::default() };
        if value == 0 {
            // Written before everything else.
            group.first_end = 0;
            group.writer = WRITER | WRITTEN | DELETE;
            group.key_number = u32::try_from(self.keys.len()).expect("fewer keys than groups");
            self.keys.push(Key { groups: 1, is_counter: false });
            self.all.push(group);
        } else {
            self.all.push(group);
            // This may add the group of the initial value.
            let key_number = self.key_number(key);
            self.all[number].key_number = key_number;
            let key = &mut self.keys[key_number as usize];
            key.groups = key.groups.wrapping_add(1);
        }
        next.wrapping_sub(1)
    }
}
