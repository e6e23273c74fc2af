//! Phase 3: the leader proposes, followers acknowledge in order, and what a majority has is committed.

use super::{Message, Phase, Zab};
use crate::catch_up::Early;
use crate::protocol::Context;
use crate::types::{Payload, Reign, ReplicaId, Replicas, Slot, Time};

impl Zab {
    /// A majority has the epoch's initial history, which is thereby committed.
    pub(super) fn begin_broadcast<C: Context<Self>>(&mut self, cx: &mut C) {
        self.phase = Phase::Broadcast;
        self.attempts = 0;
        self.heard = Replicas::NONE;
        self.suspect_at = Time::NEVER;
        self.resign_at = cx.now() + self.election_timeout_ns;
        self.repeat_at = cx.now() + self.heartbeat_ns;
        self.advance(self.acks.reached_by(self.quorum), true, cx);
        for to in self.acks.present().iter() {
            self.send_commit_ld(to, cx);
        }
    }

    pub(super) fn on_requests<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        if !self.leads() {
            let leader =
                self.leader.filter(|&leader| leader != self.id && self.phase == Phase::Broadcast);
            cx.redirect(batch, leader);
            return;
        }
        let (epoch, zxid) = (self.current_epoch, self.log.end());
        let committed = if self.piggybacks_commits { self.committed } else { Slot(0) };
        let propose = Message::Propose { epoch, zxid, committed };
        let me = self.id;
        for to in self.acks.present().iter().filter(|&to| to != me) {
            // A proposal is no promise: the leader's own acknowledgement is a message of its own.
            cx.send_now(to, propose, batch);
        }
        let added = self.take(Early { slot: zxid, reign: epoch, batch }, cx);
        assert!(added, "room() keeps proposals inside the log");
        self.acknowledge(self.id, cx);
    }

    /// Tells the leader how far the history goes, once it is durable.
    ///
    /// An observer says by the same that it is there.
    pub(super) fn acknowledge<C: Context<Self>>(&self, leader: ReplicaId, cx: &mut C) {
        let ack = Message::Ack { epoch: self.current_epoch, zxid: self.log.end() };
        cx.send(leader, ack, Payload::EMPTY);
    }

    pub(super) fn on_propose<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        zxid: Slot,
        committed: Slot,
        batch: Payload,
        cx: &mut C,
    ) {
        if !self.hear_leader(from, epoch, cx) {
            return;
        }
        self.take(Early { slot: zxid, reign: epoch, batch }, cx);
        if zxid < self.log.end() {
            self.acknowledge(from, cx);
        } else {
            // Something before it is missing.
            self.fetch(from, cx);
        }
        self.advance(committed, false, cx);
    }

    pub(super) fn on_commit<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        committed: Slot,
        cx: &mut C,
    ) {
        if self.hear_leader(from, epoch, cx) {
            self.advance(committed, false, cx);
            if self.log.end() < committed {
                self.fetch(from, cx);
            }
        }
    }

    pub(super) fn on_ping<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        committed: Slot,
        cx: &mut C,
    ) {
        if self.phase == Phase::Election && self.owner_of(epoch) == from && from != self.id {
            self.follow(from, cx);
        } else if self.turns_to(from, epoch, cx) {
            // It answers once it follows.
        } else if self.hear_leader(from, epoch, cx) {
            // What was acknowledged before may have got lost.
            self.acknowledge(from, cx);
            self.on_commit(from, epoch, committed, cx);
        }
    }

    /// Whether the sender leads the epoch whose history this replica has. A leader that is followed is
    /// waited for, whatever the epoch.
    pub(super) fn hear_leader<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        cx: &mut C,
    ) -> bool {
        if from == self.id || self.leader != Some(from) || epoch < self.accepted_epoch {
            return false;
        }
        self.await_leader(cx);
        if self.phase != Phase::Discovery && epoch > self.accepted_epoch {
            // It has opened another epoch without this replica.
            self.follow(from, cx);
        }
        self.phase == Phase::Broadcast && epoch == self.current_epoch
    }

    pub(super) fn on_ack<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        zxid: Slot,
        cx: &mut C,
    ) {
        if !self.leads() || epoch != self.current_epoch || zxid > self.log.end() {
            return;
        }
        if self.is_observer(from) {
            self.observers.insert(from);
            return;
        }
        self.heard.insert(from);
        self.acks.note(from, zxid);
        self.commit_reached(cx);
    }

    /// Commits what a majority has acknowledged.
    pub(super) fn commit_reached<C: Context<Self>>(&mut self, cx: &mut C) {
        let committed = self.acks.reached_by(self.quorum);
        if committed <= self.committed {
            return;
        }
        self.inform(committed, cx);
        self.advance(committed, true, cx);
        if self.piggybacks_commits {
            return;
        }
        let (me, epoch) = (self.id, self.current_epoch);
        for to in self.acks.present().iter().filter(|&to| to != me) {
            // That something is committed rests on a majority's disks, not on this one.
            cx.send_now(to, Message::Commit { epoch, zxid: committed }, Payload::EMPTY);
        }
    }

    /// The leader's timer: shows that it lives, repeats what was not answered, and steps down when no
    /// majority answers any more.
    pub(super) fn on_leader_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        let now = cx.now();
        if now >= self.resign_at {
            self.heard.insert(self.id);
            if self.heard.len() < self.quorum {
                self.look(cx);
                return;
            }
            self.heard = Replicas::NONE;
            self.resign_at = now + self.election_timeout_ns;
        }
        self.repeat_at = now + self.heartbeat_ns;
        let ping = Message::Ping { epoch: self.current_epoch, zxid: self.committed };
        for to in self.others() {
            // Promises nothing about the disk: the epoch began with its history on disk.
            cx.send_now(to, ping, Payload::EMPTY);
            self.repeat_proposals(to, cx);
        }
    }

    /// Sends again what a follower has not acknowledged, unless it is moving. What is committed it
    /// fetches by itself.
    fn repeat_proposals<C: Context<Self>>(&mut self, to: ReplicaId, cx: &mut C) {
        let Some(stalled_at) = self.acks.stalled_at(to) else { return };
        let from = stalled_at.max(self.committed);
        let (epoch, committed) = (self.current_epoch, Slot(0));
        for (zxid, entry) in self.log.entries(from).take(self.page_slots) {
            assert_eq!(entry.reign, epoch, "who acknowledges has what the epoch began with");
            // A proposal is no promise.
            cx.send_now(to, Message::Propose { epoch, zxid, committed }, entry.batch);
        }
    }
}
