//! Witnesses (section 6.1): f + 1 active replicas hold the state and execute; the others, at most f,
//! vote and do not.
//!
//! The paper says no more of their log than that they fill in for active replicas that do not answer.
//! Here they stand by: a witness takes part in views, and is sent no `Prepare` as long as, from one
//! heartbeat to the next, as many active replicas as make a quorum have all that there was. When they
//! have not, and at first in each view, it is sent each one and counts as any backup does. So a heartbeat
//! should be longer than the way to an active replica, its disk and back, or witnesses are always called.
//!
//! **What a witness keeps.** It can make no snapshot, so its log is all that it has. It drops an entry
//! when that is *stable*: on the disks of a quorum of active replicas, in their logs or snapshots. The
//! primary knows that from their acknowledgements and tells all. Called after it has stood by, a witness
//! begins with what is stable, as if that were a snapshot. It acknowledges that it has what is stable or
//! in its log.
//!
//! **Why nothing is lost.** What a quorum has acknowledged is at first on the disks of a quorum, and stays
//! so: active replicas forget nothing, and what a witness drops or skips is on a quorum of them alone. So
//! of every `DoViewChange` quorum one has it, and the best log is found as without witnesses. If that is
//! a witness's, what lies before its first entry was stable, so an active replica of the same quorum has
//! it, and the best log of an active one has it, by the same argument. The new primary takes that one
//! as far as the witness's begins, and then the witness's. State comes only from active replicas.
//!
//! **What it costs.** Active replicas keep what is not stable as well, in memory and beyond each
//! checkpoint and snapshot, so that whoever leads can call a witness. While so many active replicas are
//! away that nothing becomes stable, all logs grow; when they are full the group waits for one of those.

use super::{Message, Record, Viewstamped};
use crate::protocol::Context;
use crate::types::{Payload, Reign, ReplicaId, Slot};

impl Viewstamped {
    /// Whether a replica votes and does not execute: the last ones do.
    pub(super) const fn is_witness(&self, replica: ReplicaId) -> bool {
        !self.active.contains(replica)
    }

    /// Whether anybody keeps anything because it is not stable.
    pub(super) const fn has_witnesses(&self) -> bool {
        self.active.len() < self.replicas
    }

    /// Primary: whether a replica is sent what is proposed.
    pub(super) const fn takes_part(&self, replica: ReplicaId) -> bool {
        self.calls_witnesses || self.active.contains(replica)
    }

    /// Primary, once in each heartbeat: whether a quorum of active replicas has what there was at the
    /// last one, or witnesses must fill in.
    pub(super) fn look_at_active<C: Context<Self>>(&mut self, cx: &mut C) {
        let reached = self.acks.reached_among(self.active, self.quorum);
        self.note_stable(reached, cx);
        self.calls_witnesses = reached < self.due;
        self.due = self.log.end();
    }

    /// All below `stable` is on the disks of a quorum of active replicas.
    pub(super) fn note_stable<C: Context<Self>>(&mut self, stable: Slot, cx: &mut C) {
        self.stable = self.stable.max(stable);
        self.log.hold_from(self.stable, cx);
    }

    /// Tells what need not be kept any more.
    pub(super) fn tell_stable<C: Context<Self>>(&self, to: ReplicaId, cx: &mut C) {
        if self.has_witnesses() {
            self.send_stable(to, self.calls_witnesses, cx);
        }
    }

    pub(super) fn send_stable<C: Context<Self>>(&self, to: ReplicaId, called: bool, cx: &mut C) {
        // It rests on what acknowledgements said that were held for disks, the own one, too.
        cx.send_now(
            to,
            Message::Stable { view: self.view, op: self.stable, called },
            Payload::EMPTY,
        );
    }

    /// What need not be kept is forgotten; a witness that is called and lacks some of it goes on from there.
    pub(super) fn on_stable<C: Context<Self>>(
        &mut self,
        view: Reign,
        op: Slot,
        called: bool,
        cx: &mut C,
    ) {
        if view != self.view {
            return;
        }
        self.note_stable(op, cx);
        if !self.is_witness(self.id) || op <= self.catch_up.verified() {
            return;
        }
        if !called {
            // What came before its turn will not be needed.
            self.catch_up.forget_early(cx);
            return;
        }
        // What a snapshot is to others.
        self.install(op, cx);
        cx.append(Record::Installed { applied: op }, Payload::EMPTY);
        self.advance(op, false, cx);
        if self.source.is_some() {
            self.go_on(cx);
        } else if let Some(primary) = self.primary() {
            self.get_state(primary, cx);
        }
    }
}
