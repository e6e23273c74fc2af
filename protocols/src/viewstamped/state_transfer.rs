//! State transfer (section 5.2): entries of a view's log, page by page, or a snapshot.

use super::{Message, Record, Status, Viewstamped};
use crate::catch_up::Early;
use crate::protocol::Context;
use crate::types::{Payload, Reign, ReplicaId, Slot};

impl Viewstamped {
    /// Asks for the next page, unless one is on its way.
    pub(super) fn get_state<C: Context<Self>>(&mut self, of: ReplicaId, cx: &mut C) {
        if self.catch_up.asks(self.page_slots, cx.now(), self.heartbeat_ns) {
            let get_state = Message::GetState { view: self.view, op: self.catch_up.verified() };
            // A question promises nothing, but the log should have room for the answer: it waits until what came
            // before is on disk.
            cx.send(of, get_state, Payload::EMPTY);
        }
    }

    pub(super) fn on_get_state<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        op: Slot,
        cx: &mut C,
    ) {
        // Before the view begins only its primary may ask, which has chosen this log.
        let answers = self.status == Status::Normal || self.primary() == Some(from);
        if view != self.view || !answers || self.lost.is_some() || from == self.id {
            return;
        }
        if self.is_witness(from) && op < self.stable {
            self.send_stable(from, true, cx);
            return;
        }
        if op < self.log.base() {
            if !self.is_witness(self.id) {
                self.tell_stable(from, cx);
                cx.send_snapshot(from);
            }
            return;
        }
        for (op, entry) in self.log.entries(op).take(self.page_slots) {
            let new_state = Message::NewState { view, op, reign: entry.reign, commit: self.commit };
            // It says what the view's log has, not that it is on this disk.
            cx.send_now(from, new_state, entry.batch);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_new_state<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        op: Slot,
        reign: Reign,
        commit: Slot,
        batch: Payload,
        cx: &mut C,
    ) {
        let wanted = match self.status {
            // The primary's log is what the others want.
            Status::Normal => self.primary() != Some(self.id),
            Status::ViewChange => self.source.is_some_and(|source| source.from == from),
        };
        if view != self.view || !wanted {
            return;
        }
        if !self.take(Early { slot: op, reign, batch }, cx) {
            return;
        }
        self.advance(commit, false, cx);
        if self.status == Status::ViewChange {
            self.go_on(cx);
            return;
        }
        // Whoever answers, the primary waits for it.
        if let Some(primary) = self.primary() {
            self.acknowledge(primary, cx);
        }
        if self.catch_up.has_page() {
            self.get_state(from, cx);
        }
    }

    /// Takes in an entry of the view's log; whether it was the next one.
    pub(super) fn take<C: Context<Self>>(&mut self, entry: Early, cx: &mut C) -> bool {
        let stable = self.stable;
        let prepared = |Early { slot: op, reign, .. }, applied| Record::Prepared {
            reign,
            op,
            applied,
            stable,
        };
        self.catch_up.take(&mut self.log, entry, prepared, cx)
    }

    /// The store holds everything below `applied`.
    pub(super) fn on_installed<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        // Witnesses may need the entries of what is not stable: applying those again changes nothing.
        let applied = if self.has_witnesses() { applied.min(self.stable) } else { applied };
        if applied <= self.log.applied() {
            return;
        }
        self.install(applied, cx);
        cx.append(Record::Installed { applied }, Payload::EMPTY);
        self.advance(applied, self.leads, cx);
        if self.source.is_some() {
            self.go_on(cx);
        }
    }

    /// Forgets what a snapshot covers.
    pub(super) fn install<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        self.log.skip_to(applied, cx);
        self.commit = self.commit.max(applied);
        self.catch_up.skip_to(applied, cx);
    }
}
