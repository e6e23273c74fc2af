//! What a replica applies commands to, and whether it has been made whole from a snapshot yet.

use synod_protocols::types::{Slot, Tag, VERSION_INDEX_BITS, version_of};

use crate::apply::{Tally, apply_batch};
use crate::sessions::Sessions;
use crate::snapshot::{Capture, Install, Progress, Restored, SnapshotIdentity};
use crate::store::{Store, StoreLimits, Tagged, mix};
use synod_protocols::command::{Commands, Op, Reply, SessionId, Status};

/// The replicated table and the sessions.
#[derive(Debug)]
pub(super) struct State {
    store: Store,
    sessions: Sessions,
    /// A snapshot over which commands are still being replayed; the other two are then unused.
    restoring: Option<Restored>,
    /// The first slot that was not applied.
    next: Slot,
    limits: StoreLimits,
    identity: SnapshotIdentity,
}

impl State {
    pub(super) fn new(
        identity: SnapshotIdentity,
        limits: StoreLimits,
        sessions_max: usize,
    ) -> Self {
        Self {
            store: Store::new(limits),
            sessions: Sessions::new(sessions_max),
            restoring: None,
            next: Slot(0),
            limits,
            identity,
        }
    }

    /// Applies the batch of the next slot. A batch below it is in the snapshot that this replica
    /// was made whole from, so nothing is left to do; that happens when the log is replayed, or was
    /// fetched for others.
    #[inline]
    pub(super) fn apply(
        &mut self,
        slot: Slot,
        batch: &[u8],
        on_reply: impl FnMut(SessionId, &Reply<'_>),
    ) -> Tally {
        if slot < self.next {
            return Tally::default();
        }
        assert_eq!(slot, self.next, "slots are applied in order, once each");
        self.next = slot.next();
        let base = version_of(slot, 0);
        if let Some(mut restored) = self.restoring.take() {
            restored.replay(base, batch);
            self.restore(restored, self.next);
            return Tally::default();
        }
        apply_batch(base, batch, &mut self.store, &mut self.sessions, on_reply)
    }

    /// Answers a batch of gets from the table as it is now. Their version is the last that the table
    /// can hold. While commands are being replayed over a snapshot the table is that of no moment,
    /// and the clients have to ask again.
    pub(super) fn serve(&self, gets: &[u8], mut on_reply: impl FnMut(SessionId, &Reply<'_>)) {
        let version = version_before(self.next);
        for get in Commands::new(gets) {
            assert_eq!(get.op, Op::Get);
            let (status, value): (Status, &[u8]) = match self.store.tagged(get.key) {
                _ if !self.is_whole() => (Status::Busy, &[]),
                None => (Status::Absent, &[]),
                Some(held) if held.tombstone => (Status::Absent, held.value),
                Some(held) => (Status::Ok, held.value),
            };
            let (sequence, session_index) = (get.sequence, get.session.index());
            on_reply(get.session, &Reply { sequence, session_index, status, version, value });
        }
    }

    /// Takes over a snapshot that covers everything below `next`, also from an older one over which
    /// commands are still being replayed.
    pub(super) fn restore(&mut self, restored: Restored, next: Slot) {
        self.next = next;
        if version_before(next) >= restored.end() {
            self.restoring = None;
            (self.store, self.sessions) = restored.finish();
        } else {
            self.restoring = Some(restored);
        }
    }

    /// Takes from another replica's registers those with a larger tag.
    pub(super) fn merge(&mut self, restored: Restored) {
        let (store, _no_sessions) = restored.finish();
        for (key, tagged) in (0..store.slots()).filter_map(|slot| store.tagged_at(slot)) {
            self.store.put_tagged(key, tagged);
        }
    }

    /// The first slot that was not applied.
    pub(super) fn next(&self) -> Slot {
        self.next
    }

    /// Whether the table is the state of one moment.
    pub(super) fn is_whole(&self) -> bool {
        self.restoring.is_none()
    }

    /// Visits every key with its version and the id that its value or tombstone begins with; a value
    /// too short for that has none, which is 0.
    pub(super) fn for_each_key(&self, mut visit: impl FnMut(u64, u64, u64)) {
        for (key, tagged) in self.entries() {
            let id = tagged.value.first_chunk().map_or(0, |id| u64::from_le_bytes(*id));
            visit(key, tagged.version, id);
        }
    }

    fn entries(&self) -> impl Iterator<Item = (u64, Tagged<'_>)> {
        (0..self.store.slots()).filter_map(|slot| self.store.tagged_at(slot))
    }

    /// A checksum of the table, whatever the order of its entries.
    pub(super) fn checksum(&self) -> u64 {
        self.entries().fold(0, |sum: u64, (key, tagged)| {
            let value = crc32c::crc32c_append(u32::from(tagged.tombstone), tagged.value);
            sum.wrapping_add(mix(mix(mix(key) ^ tagged.version) ^ u64::from(value)))
        })
    }

    /// Begins a snapshot of everything applied so far.
    pub(super) fn capture(&self) -> Capture {
        assert!(self.is_whole());
        Capture::begin(self.identity, version_before(self.next), &self.store, &self.sessions)
    }

    /// Adds the next piece of a snapshot to `out`.
    pub(super) fn continue_capture(
        &self,
        capture: &mut Capture,
        budget_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Progress {
        let applied = version_before(self.next);
        capture.step(&self.store, &self.sessions, applied, budget_bytes, out)
    }

    /// Something to install another replica's snapshot with.
    pub(super) fn install(&self) -> Install {
        Install::new(self.identity, self.limits, self.sessions.count_max())
    }

    pub(super) fn register(&self, key: u64) -> Option<Tagged<'_>> {
        self.store.tagged(key)
    }

    pub(super) fn write_register(&mut self, key: u64, tag: Tag, deleted: bool, value: &[u8]) {
        self.store.put_tagged(key, Tagged { version: tag.0, value, tombstone: deleted });
    }
}

/// The version of the last command that any slot below `next` can have.
fn version_before(next: Slot) -> u64 {
    ((next.0 + 1) << VERSION_INDEX_BITS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Installing;
    use synod_protocols::command::{Command, Op};

    const IDENTITY: SnapshotIdentity = SnapshotIdentity { cluster: 1, group: 0 };
    const LIMITS: StoreLimits =
        StoreLimits { keys_expected: 100, keys_max: 1000, large_bytes_max: 1 << 20 };

    fn state() -> State {
        State::new(IDENTITY, LIMITS, 10)
    }

    fn apply(state: &mut State, slots: std::ops::Range<u64>) {
        for slot in slots {
            let mut batch = Vec::new();
            let value = slot.to_le_bytes();
            let (session, sequence) = (SessionId(1), slot + 1);
            Command { session, sequence, key: slot, op: Op::Put, expected: 0, value: &value }
                .encode(&mut batch);
            state.apply(Slot(slot), &batch, |_, _| {});
        }
    }

    /// A snapshot of `of`, during which it applies `meanwhile`.
    fn snapshot(of: &mut State, meanwhile: std::ops::Range<u64>) -> (Restored, Slot) {
        let (mut capture, slot) = (of.capture(), of.next());
        let mut install = Some(of.install());
        let mut meanwhile = Some(meanwhile);
        loop {
            let mut chunk = Vec::new();
            of.continue_capture(&mut capture, 1 << 20, &mut chunk);
            apply(of, meanwhile.take().unwrap_or(0..0));
            match install.take().unwrap().chunk(&chunk).unwrap() {
                Installing::More(more) => install = Some(more),
                Installing::Done(restored) => return (restored, slot),
            }
        }
    }

    #[test]
    fn a_whole_snapshot_ends_the_replay_over_an_older_one() {
        let mut ahead = state();
        apply(&mut ahead, 0..10);
        let (fuzzy, fuzzy_slot) = snapshot(&mut ahead, 10..20);
        let (whole, whole_slot) = snapshot(&mut ahead, 0..0);

        let mut behind = state();
        behind.restore(fuzzy, fuzzy_slot);
        assert!(!behind.is_whole());
        behind.restore(whole, whole_slot);
        assert!(behind.is_whole());
        apply(&mut ahead, 20..30);
        apply(&mut behind, 20..30);
        for key in 0..30 {
            assert_eq!(behind.register(key), ahead.register(key));
            assert!(behind.register(key).is_some());
        }
    }
}
