//! What a replica applies commands to, and whether it has been made whole from a snapshot yet.

use synod_protocols::types::{Slot, Tag, VERSION_INDEX_BITS, version_of};

use crate::apply::{Tally, apply_batch};
use crate::sessions::Sessions;
use crate::snapshot::{Capture, Install, Progress, Restored, SnapshotIdentity};
use crate::store::{Store, StoreLimits, Tagged};
use synod_protocols::command::{Reply, SessionId};

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
    /// was made whole from, so nothing is left to do; that happens when the log is replayed.
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

    /// Takes over a snapshot that covers everything below `next`.
    pub(super) fn restore(&mut self, restored: Restored, next: Slot) {
        self.next = next;
        if version_before(next) >= restored.end() {
            (self.store, self.sessions) = restored.finish();
        } else {
            self.restoring = Some(restored);
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
