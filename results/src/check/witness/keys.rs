//! What each key holds in a replay, found by a table with open addressing.

use super::super::record::key_hash;

/// A key at some place in its order.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    key: u64,
    /// The id of its value or tombstone, 0 if it was never written; its sum if it is a counter.
    pub(super) value: u64,
    /// The place of the last operation.
    pub(super) version: u64,
    /// The latest start of the operations before, but for the reads at the same place, which may
    /// come in any order.
    pub(super) latest_start_ns: u64,
    /// The latest start of the reads at this place.
    pub(super) read_start_ns: u64,
    pub(super) is_absent: bool,
}

impl State {
    /// Goes on to another place: the reads at this one are before it.
    pub(super) fn go_on(&mut self, version: u64) {
        self.version = version;
        self.started(self.read_start_ns);
        self.read_start_ns = 0;
    }

    /// Something that started then comes before all that follows.
    pub(super) fn started(&mut self, start_ns: u64) {
        self.latest_start_ns = self.latest_start_ns.max(start_ns);
    }
}

/// Slots of an empty table, a power of two.
const SLOTS_MIN: usize = 1 << 10;

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    states: Vec<State>,
    /// Numbers of states, each one more than it is, and 0 where there is none. Half of them at
    /// most are taken.
    slots: Vec<u32>,
}

impl Keys {
    pub(super) fn clear(&mut self) {
        self.states.clear();
        self.slots.clear();
        self.slots.resize(SLOTS_MIN, 0);
    }

    /// The state of a key, which was never written if it is new.
    #[inline]
    pub(super) fn of(&mut self, key: u64) -> &mut State {
        let mut slot = self.slot_of(key);
        if self.slots[slot] == 0 {
            if self.states.len() * 2 >= self.slots.len() {
                self.grow();
                slot = self.slot_of(key);
            }
            self.states.push(State {
                key,
                value: 0,
                version: 0,
                latest_start_ns: 0,
                read_start_ns: 0,
                is_absent: true,
            });
            self.slots[slot] = u32::try_from(self.states.len()).expect("memory ends before that");
        }
        &mut self.states[self.slots[slot] as usize - 1]
    }

    /// Where a key is, or would be.
    #[inline]
    fn slot_of(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = (key_hash(key) >> 16) as usize & mask;
        while self.slots[slot] != 0 && self.states[self.slots[slot] as usize - 1].key != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    #[cold]
    fn grow(&mut self) {
        let slots = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(slots, 0);
        for number in 1..=self.states.len() {
            let slot = self.slot_of(self.states[number - 1].key);
            self.slots[slot] = u32::try_from(number).expect("memory ends before that");
        }
    }
}
