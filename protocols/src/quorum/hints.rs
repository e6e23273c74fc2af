//! Hinted handoff (Dynamo, section 4.6): what a replica keeps for others that were not there.
//!
//! A hint is a write and the replica that it is meant for. It lies apart from the registers, on the
//! log and in memory, until that replica has it durably. Of two hints for one register of one replica
//! the newer one is kept. To each replica one batch of hints is under way at a time; one that did not
//! answer last time is sent a single hint, to see whether it is there again.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::protocol::{Hints as Counts, Register};
use crate::registers::items::Entry;
use crate::types::{REPLICAS_MAX, ReplicaId, Tag, Time};

/// Bytes of hints that a replica keeps at most, with what each costs beside its value. With no room it
/// stands in for nobody.
const BYTES_MAX: usize = 64 << 20;

/// What a hint costs beside its value.
const HINT_BYTES: usize = 128;

/// Bytes of a batch of hints, but for its last one.
const BATCH_BYTES: usize = 32 << 10;

/// A write that is meant for another replica. Its bytes are its own: it may stay for hours, and would
/// keep a block of the arena from being used again.
#[derive(Debug)]
struct Hint {
    tag: Tag,
    deleted: bool,
    value: Box<[u8]>,
    /// The batch in which it is under way; 0 for none.
    batch: u64,
}

impl Hint {
    fn register(&self) -> Register<'_> {
        Register { tag: self.tag, deleted: self.deleted, value: &self.value }
    }
}

/// What is under way to one replica.
#[derive(Clone, Copy, Default, Debug)]
struct Handoff {
    /// The number of the batch; 0 for none.
    batch: u64,
    /// The keys between which its hints lie.
    first: u64,
    last: u64,
    /// Whether the replica has acknowledged the batch before this one.
    answers: bool,
}

/// All hints of a replica.
#[derive(Debug)]
pub(super) struct Hints {
    /// By whom they are meant for, and by key.
    kept: BTreeMap<(ReplicaId, u64), Hint>,
    bytes: usize,
    handoffs: [Handoff; REPLICAS_MAX],
    batches: u64,
    retry_ns: u64,
    retry_at: Time,
    taken: u64,
    handed_off: u64,
}

impl Hints {
    pub(super) fn new(retry_ns: u64) -> Self {
        Self {
            kept: BTreeMap::new(),
            bytes: 0,
            handoffs: [Handoff::default(); REPLICAS_MAX],
            batches: 0,
            retry_ns,
            retry_at: Time::NEVER,
            taken: 0,
            handed_off: 0,
        }
    }

    /// Whether entries of so many bytes can be kept.
    pub(super) const fn have_room(&self, bytes: usize) -> bool {
        // An entry is no shorter than a quarter of what its hint costs.
        self.bytes + bytes * (HINT_BYTES / 32) <= BYTES_MAX
    }

    /// Keeps a write for another replica, unless a newer one is kept.
    pub(super) fn keep(&mut self, meant_for: ReplicaId, key: u64, register: &Register<'_>) {
        let Register { tag, deleted, value } = *register;
        let present = self.kept.get(&(meant_for, key));
        if present.is_some_and(|present| present.tag >= tag) {
            return;
        }
        self.taken += 1;
        self.bytes += HINT_BYTES + value.len();
        let hint = Hint { tag, deleted, value: value.into(), batch: 0 };
        if let Some(older) = self.kept.insert((meant_for, key), hint) {
            self.bytes -= HINT_BYTES + older.value.len();
        }
    }

    /// The newest write of a key that is kept for anybody.
    pub(super) fn newest(&self, key: u64) -> Option<Register<'_>> {
        let of = |id| self.kept.get(&(ReplicaId(id), key));
        if self.kept.is_empty() {
            return None;
        }
        (0..).take(REPLICAS_MAX).filter_map(of).map(Hint::register).max_by_key(|hint| hint.tag)
    }

    /// All that is kept.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ReplicaId, u64, Register<'_>)> {
        self.kept.iter().map(|(&(meant_for, key), hint)| (meant_for, key, hint.register()))
    }

    /// Appends to `out` what is handed off to a replica now: the batch that is under way, as long as it
    /// is not acknowledged, or the next one. Returns the batch's number, which no other has in this
    /// life; `None` if nothing is kept for that replica.
    pub(super) fn hand_off(&mut self, to: ReplicaId, life: u16, out: &mut Vec<u8>) -> Option<u64> {
        let handoff = &mut self.handoffs[to.index()];
        for (&(_, key), hint) in self.kept.range((to, handoff.first)..=(to, handoff.last)) {
            if hint.batch > 0 {
                Entry::push(key, 0, &hint.register(), out);
            }
        }
        if !out.is_empty() {
            return Some(handoff.batch);
        }
        let bytes_max = if handoff.answers { BATCH_BYTES } else { 1 };
        let batch = u64::from(life) << 48 | (self.batches + 1);
        let mut keys = None;
        for (&(_, key), hint) in self.kept.range_mut((to, 0)..=(to, u64::MAX)) {
            if out.len() >= bytes_max {
                break;
            }
            Entry::push(key, 0, &hint.register(), out);
            hint.batch = batch;
            keys = Some((keys.map_or(key, |(first, _)| first), key));
        }
        let (first, last) = keys?;
        self.batches += 1;
        *handoff = Handoff { batch, first, last, answers: false };
        Some(batch)
    }

    /// A replica has a batch durably, which is dropped. False if that was not under way to it.
    pub(super) fn end(&mut self, to: ReplicaId, batch: u64) -> bool {
        let handoff = &mut self.handoffs[to.index()];
        if handoff.batch != batch || batch == 0 {
            return false;
        }
        let Handoff { first, last, .. } = *handoff;
        *handoff = Handoff { answers: true, ..Handoff::default() };
        // What came since then is newer, and was not in the batch.
        let range = self.kept.range((to, first)..=(to, last));
        let sent = range.filter(|(_, hint)| hint.batch == batch);
        let sent: Vec<(ReplicaId, u64)> = sent.map(|(&place, _)| place).collect();
        for place in sent {
            let hint = self.kept.remove(&place).expect("just seen");
            self.bytes -= HINT_BYTES + hint.value.len();
            self.handed_off += 1;
        }
        true
    }

    /// There are hints: they are handed off after a while.
    pub(super) fn wake_by(&mut self, now: Time) {
        self.retry_at = self.retry_at.min(now + self.retry_ns);
    }

    /// When to try again.
    pub(super) const fn retry_at(&self) -> Time {
        self.retry_at
    }

    /// Hints are being handed off: next in a while, if there are any.
    pub(super) fn rest(&mut self, now: Time) {
        self.retry_at = if self.kept.is_empty() { Time::NEVER } else { now + self.retry_ns };
    }

    /// What is told to people.
    pub(super) fn counts(&self) -> Counts {
        Counts { kept: self.kept.len(), taken: self.taken, handed_off: self.handed_off }
    }

    /// Asserts that what is counted is so.
    pub(super) fn check(&self, id: ReplicaId) {
        let bytes = self.kept.values().map(|hint| HINT_BYTES + hint.value.len()).sum::<usize>();
        assert_eq!(bytes, self.bytes);
        assert!(self.kept.keys().all(|&(meant_for, _)| meant_for != id), "a hint for oneself");
        assert!(self.kept.is_empty() || self.retry_at < Time::NEVER, "hints that nobody delivers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ReplicaId = ReplicaId(1);

    fn register(timestamp: u64, value: &[u8]) -> Register<'_> {
        Register { tag: Tag::new(timestamp, 1, ReplicaId(0)), deleted: false, value }
    }

    #[test]
    fn the_newest_of_two_hints_is_kept() {
        let mut hints = Hints::new(1);
        for (timestamp, value) in [(2, b"new"), (1, b"old")] {
            hints.keep(ONE, 7, &register(timestamp, value));
        }
        assert_eq!(hints.newest(7).map(|newest| newest.value), Some(&b"new"[..]));
        assert_eq!(hints.counts(), Counts { kept: 1, taken: 1, handed_off: 0 });
        hints.wake_by(Time(0));
        hints.check(ReplicaId(0));
    }

    #[test]
    fn what_replaced_a_hint_under_way_is_not_dropped_with_it() {
        let mut hints = Hints::new(1);
        hints.keep(ONE, 7, &register(1, b"old"));
        let batch = hints.hand_off(ONE, 1, &mut Vec::new()).expect("there is a hint");
        hints.keep(ONE, 7, &register(2, b"new"));
        assert!(hints.end(ONE, batch));
        assert_eq!(hints.counts().kept, 1);
        assert_eq!(hints.newest(7).map(|newest| newest.value), Some(&b"new"[..]));
    }

    #[test]
    fn a_replica_that_does_not_answer_is_sent_one_hint_at_a_time() {
        let mut hints = Hints::new(1);
        (0..9).for_each(|key| hints.keep(ONE, key, &register(1, b"value")));
        let sent = |hints: &mut Hints| {
            let mut batch = Vec::new();
            let number = hints.hand_off(ONE, 1, &mut batch).expect("there are hints");
            (number, batch.len())
        };
        let (first, one) = sent(&mut hints);
        assert_eq!(sent(&mut hints), (first, one), "it was not acknowledged");
        assert!(hints.end(ONE, first));
        assert!(!hints.end(ONE, first), "it is over");
        let (third, rest) = sent(&mut hints);
        assert_eq!(rest, 8 * one);
        assert!(hints.end(ONE, third));
        assert_eq!(hints.counts(), Counts { kept: 0, taken: 9, handed_off: 9 });
    }
}
