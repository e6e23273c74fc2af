//! Phase 2: the leader, and then its followers, come to have the epoch's initial history; pages and
//! snapshots, for them and for whoever joins or lags later.

use super::{Message, Phase, Record, Source, Zab};
use crate::acks::Acks;
use crate::catch_up::Early;
use crate::protocol::Context;
use crate::types::{Payload, Reign, ReplicaId, Replicas, Slot};

impl Zab {
    /// Takes over the history if it is there; otherwise asks for more of it.
    pub(super) fn go_on<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(Source { from, until }) = self.source else { return };
        let verified = self.catch_up.verified();
        if verified < until {
            self.fetch(from, cx);
            return;
        }
        let Some(leader) = self.leader else { return };
        // The history lies before this record, which is what makes it the epoch's.
        let epoch = self.accepted_epoch;
        self.log.truncate(verified, cx);
        cx.append(Record::NewLeader { epoch, zxid: verified }, Payload::EMPTY);
        self.current_epoch = epoch;
        self.source = None;
        if leader == self.id {
            self.phase = Phase::Synchronization;
            self.acks = Acks::NONE;
            self.observers = Replicas::NONE;
            self.advance(self.committed, false, cx);
            for to in self.followers.iter() {
                self.send_new_leader(to, cx);
            }
        } else {
            self.phase = Phase::Broadcast;
            self.attempts = 0;
            self.await_leader(cx);
            self.repeat(cx);
            self.advance(self.committed, false, cx);
        }
        self.send_ack_ld(leader, cx);
    }

    /// Tells who follows what history to have. It promises nothing: the leader acknowledges it as
    /// others do.
    pub(super) fn send_new_leader<C: Context<Self>>(&self, to: ReplicaId, cx: &mut C) {
        if to != self.id {
            let (epoch, zxid) = (self.current_epoch, self.log.end());
            let proposed_in = self.log.last_reign();
            cx.send_now(to, Message::NewLeader { epoch, zxid, proposed_in }, Payload::EMPTY);
        }
    }

    fn send_ack_ld<C: Context<Self>>(&self, leader: ReplicaId, cx: &mut C) {
        let (epoch, zxid) = (self.current_epoch, self.log.end());
        cx.send(leader, Message::AckLd { epoch, zxid }, Payload::EMPTY);
    }

    /// The prospective leader repeats itself to who has not answered.
    pub(super) fn repeat_to_followers<C: Context<Self>>(&mut self, cx: &mut C) {
        for to in self.followers.without(self.acks.present()).iter() {
            if self.phase == Phase::Synchronization {
                self.send_new_leader(to, cx);
            }
        }
    }

    pub(super) fn on_new_leader<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        zxid: Slot,
        proposed_in: Reign,
        cx: &mut C,
    ) {
        let follows = self.leader == Some(from) && from != self.id;
        if !follows || epoch != self.accepted_epoch || self.owner_of(epoch) != from {
            return;
        }
        self.await_leader(cx);
        if self.current_epoch == epoch {
            // It has the history, and may have acknowledged more than what the leader had then.
            self.phase = Phase::Broadcast;
            self.catch_up.verify(self.log.end());
            self.advance(self.committed, false, cx);
            self.send_ack_ld(from, cx);
            return;
        }
        if self.source.is_none() {
            self.phase = Phase::Synchronization;
            self.source = Some(Source { from, until: zxid });
            self.catch_up.compare(&self.log, zxid, proposed_in);
        }
        self.advance(self.committed, false, cx);
        self.go_on(cx);
    }

    pub(super) fn on_ack_ld<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        zxid: Slot,
        cx: &mut C,
    ) {
        let synchronizes = matches!(self.phase, Phase::Synchronization | Phase::Broadcast);
        let leads = self.leader == Some(self.id) && self.epoch == Some(epoch);
        if !synchronizes || !leads || zxid > self.log.end() {
            return;
        }
        if self.is_observer(from) {
            if self.phase == Phase::Broadcast {
                // It has the epoch's history, and all that was committed until now.
                self.observers.insert(from);
                self.send_commit_ld(from, cx);
            }
            return;
        }
        self.heard.insert(from);
        self.acks.note(from, zxid);
        if self.phase == Phase::Broadcast {
            self.commit_reached(cx);
            self.send_commit_ld(from, cx);
        } else if self.acks.present().len() >= self.quorum {
            self.begin_broadcast(cx);
        }
    }

    pub(super) fn send_commit_ld<C: Context<Self>>(&self, to: ReplicaId, cx: &mut C) {
        if to != self.id {
            let commit_ld = Message::CommitLd { epoch: self.current_epoch, zxid: self.committed };
            // That something is committed rests on a majority's disks, not on this one.
            cx.send_now(to, commit_ld, Payload::EMPTY);
        }
    }

    /// Asks for the next page, unless one is on its way.
    pub(super) fn fetch<C: Context<Self>>(&mut self, of: ReplicaId, cx: &mut C) {
        if self.catch_up.asks(self.page_slots, cx.now(), self.heartbeat_ns) {
            let (epoch, zxid) = (self.accepted_epoch, self.catch_up.verified());
            // A question promises nothing, but the log should have room for the answer: it waits until what came
            // before is on disk.
            cx.send(of, Message::Fetch { epoch, zxid }, Payload::EMPTY);
        }
    }

    pub(super) fn on_fetch<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        zxid: Slot,
        cx: &mut C,
    ) {
        // The leader has chosen this history, or this is the leader that has it.
        let answers = self.leader == Some(from) || self.current_epoch == epoch;
        if epoch != self.accepted_epoch || !answers || from == self.id {
            return;
        }
        if zxid < self.log.base() {
            cx.send_snapshot(from);
            return;
        }
        let committed = self.committed;
        for (zxid, entry) in self.log.entries(zxid).take(self.page_slots) {
            let diff = Message::Diff { epoch, zxid, proposed_in: entry.reign, committed };
            // It says what the epoch's history has, not that it is on this disk.
            cx.send_now(from, diff, entry.batch);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_diff<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        zxid: Slot,
        proposed_in: Reign,
        committed: Slot,
        batch: Payload,
        cx: &mut C,
    ) {
        let wanted = match self.phase {
            Phase::Election => false,
            Phase::Discovery | Phase::Synchronization => {
                self.source.is_some_and(|source| source.from == from)
            }
            // The leader's history is what the others want.
            Phase::Broadcast => self.leader != Some(self.id),
        };
        if !wanted || epoch != self.accepted_epoch {
            return;
        }
        if !self.take(Early { slot: zxid, reign: proposed_in, batch }, cx) {
            return;
        }
        self.advance(committed, false, cx);
        if self.phase != Phase::Broadcast {
            self.await_leader(cx);
            self.go_on(cx);
        } else if let Some(leader) = self.leader {
            self.acknowledge(leader, cx);
            if self.catch_up.has_page() {
                self.fetch(from, cx);
            }
        }
    }

    /// Takes in a transaction of the epoch's history; whether it was the next one.
    pub(super) fn take<C: Context<Self>>(&mut self, entry: Early, cx: &mut C) -> bool {
        let proposed = |Early { slot: zxid, reign: epoch, .. }, applied| Record::Proposed {
            epoch,
            zxid,
            applied,
        };
        self.catch_up.take(&mut self.log, entry, proposed, cx)
    }

    /// The store holds everything below `applied`.
    pub(super) fn on_installed<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        if applied <= self.log.applied() {
            return;
        }
        self.install(applied, cx);
        cx.append(Record::Installed { applied }, Payload::EMPTY);
        self.advance(applied, self.leads(), cx);
        self.go_on(cx);
    }

    /// Forgets what a snapshot covers.
    pub(super) fn install<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        self.log.skip_to(applied, cx);
        self.catch_up.forget_early(cx);
        self.committed = self.committed.max(applied);
        self.catch_up.verify(applied);
    }
}
