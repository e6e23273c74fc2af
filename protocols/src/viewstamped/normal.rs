//! Normal operation (section 4.1): the primary proposes, backups acknowledge in order, and the next
//! message tells what is committed.

use super::{Message, Status, Viewstamped};
use crate::catch_up::Early;
use crate::protocol::Context;
use crate::types::{Payload, Reign, ReplicaId, Replicas, Slot};

impl Viewstamped {
    pub(super) fn on_requests<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        if !self.leads {
            let primary = self.primary().filter(|&primary| {
                primary != self.id && self.status == Status::Normal && self.wanted == self.view
            });
            cx.redirect(batch, primary);
            return;
        }
        let op = self.log.end();
        let prepare = Message::Prepare { view: self.view, op, commit: self.commit };
        for to in self.others().filter(|&to| self.takes_part(to)) {
            // Asking is no promise: the primary's own acknowledgement is a message of its own.
            cx.send_now(to, prepare, batch);
        }
        let added = self.take(Early { slot: op, reign: self.view, batch }, cx);
        assert!(added, "room() keeps proposals inside the log");
        self.acknowledge(self.id, cx);
    }

    /// Tells `primary` how far the log goes, once it is durable.
    pub(super) fn acknowledge<C: Context<Self>>(&self, primary: ReplicaId, cx: &mut C) {
        let prepare_ok = Message::PrepareOk { view: self.view, op: self.log.end() };
        cx.send(primary, prepare_ok, Payload::EMPTY);
    }

    pub(super) fn on_prepare<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        op: Slot,
        commit: Slot,
        batch: Payload,
        cx: &mut C,
    ) {
        if !self.hear_primary(from, view, cx) {
            return;
        }
        self.take(Early { slot: op, reign: view, batch }, cx);
        if op < self.log.end() {
            self.acknowledge(from, cx);
        } else {
            // Something before it is missing.
            self.get_state(from, cx);
        }
        self.advance(commit, false, cx);
    }

    pub(super) fn on_commit<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        commit: Slot,
        cx: &mut C,
    ) {
        if !self.hear_primary(from, view, cx) {
            return;
        }
        // The paper's backups are silent here. The primary wants to know that a majority lives, and
        // what was acknowledged before may have got lost.
        self.acknowledge(from, cx);
        self.advance(commit, false, cx);
        if self.log.end() < commit && !self.is_witness(self.id) {
            self.get_state(from, cx);
        }
    }

    /// Whether the sender leads this replica's view, and this replica has that view's log.
    fn hear_primary<C: Context<Self>>(&mut self, from: ReplicaId, view: Reign, cx: &mut C) -> bool {
        if from == self.id
            || view < self.view
            || self.primary_of(view) != Some(from)
            || self.lost.is_some()
        {
            return false;
        }
        if view > self.view {
            // The view began without this replica: `DoViewChange` brings it the `StartView`.
            self.move_to(view, cx);
            self.send_do_view_change(cx);
        }
        self.await_primary(cx);
        self.loyal_until = cx.now() + self.view_change_timeout_ns;
        self.withdraw_wish();
        self.status == Status::Normal
    }

    pub(super) fn on_prepare_ok<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        op: Slot,
        cx: &mut C,
    ) {
        if !self.leads || view != self.view || op > self.log.end() {
            return;
        }
        self.heard.insert(from);
        self.acks.note(from, op);
        let commit = self.acks.reached_by(self.quorum);
        if commit > self.commit {
            self.advance(commit, true, cx);
        }
    }

    /// The primary's timer: shows that it lives, repeats what was not answered, and stands down when
    /// no majority answers any more.
    pub(super) fn on_primary_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        let now = cx.now();
        if now >= self.resign_at {
            self.heard.insert(self.id);
            if self.heard.len() < self.quorum {
                self.leads = false;
                self.suspect(cx);
                return;
            }
            self.heard = Replicas::NONE;
            self.resign_at = now + self.view_change_timeout_ns;
        }
        self.repeat_at = now + self.heartbeat_ns;
        self.look_at_active(cx);
        for to in self.others() {
            if self.acks.present().contains(to) {
                let commit = Message::Commit { view: self.view, commit: self.commit };
                // Promises nothing about the disk: the view began with its log on disk.
                cx.send_now(to, commit, Payload::EMPTY);
                self.tell_stable(to, cx);
                self.repeat_prepares(to, cx);
            } else {
                self.send_start_view(to, cx);
            }
        }
    }

    /// Sends again what a backup has not acknowledged, unless it is moving. What is committed it asks
    /// for by itself.
    fn repeat_prepares<C: Context<Self>>(&mut self, to: ReplicaId, cx: &mut C) {
        let stalled_at = self.acks.stalled_at(to).filter(|_| self.takes_part(to));
        let Some(stalled_at) = stalled_at else { return };
        let from = stalled_at.max(self.commit);
        for (op, entry) in self.log.entries(from).take(self.page_slots) {
            let prepare = Message::Prepare { view: self.view, op, commit: self.commit };
            assert_eq!(entry.reign, self.view, "who acknowledges has what the view began with");
            // Asking is no promise.
            cx.send_now(to, prepare, entry.batch);
        }
    }
}
