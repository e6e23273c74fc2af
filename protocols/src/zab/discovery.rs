//! Phase 1: a leader that a majority follows opens an epoch, and finds the best history.
//!
//! Why the best history has everything committed. A transaction is committed in epoch e when a
//! majority has it whose current epoch was e, and none of them ever cuts it off:
//! [`catch_up`](crate::catch_up) cuts only what contradicts a history that has everything committed
//! before. A majority of `AckE`s names one of them, so the best by (current epoch, zxid) is that one,
//! or one with a later current epoch, or has more of the same history.

use super::{History, Message, Phase, Record, Source, Zab};
use crate::protocol::Context;
use crate::types::{Payload, Reign, ReplicaId};

impl Zab {
    pub(super) fn send_c_epoch<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repeat_at = cx.now() + self.heartbeat_ns;
        let Some(leader) = self.leader else { return };
        // It is held: it tells an epoch that was accepted.
        let c_epoch = Message::CEpoch { accepted_epoch: self.accepted_epoch };
        cx.send(leader, c_epoch, Payload::EMPTY);
    }

    pub(super) fn on_c_epoch<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        accepted_epoch: Reign,
        cx: &mut C,
    ) {
        if self.leader != Some(self.id) {
            return;
        }
        if self.is_observer(from) {
            if self.leads() {
                self.send_new_epoch(from, self.current_epoch, cx);
            }
            return;
        }
        self.followers.insert(from);
        self.latest_accepted = self.latest_accepted.max(accepted_epoch);
        match self.epoch {
            Some(epoch) if accepted_epoch > epoch => self.look(cx),
            Some(epoch) => self.send_new_epoch(from, epoch, cx),
            None if self.followers.len() >= self.quorum => self.open_epoch(cx),
            None => {}
        }
    }

    /// The smallest own epoch above all that followers have accepted.
    fn open_epoch<C: Context<Self>>(&mut self, cx: &mut C) {
        let mut epoch = self.latest_accepted.max(self.accepted_epoch).next();
        while self.owner_of(epoch) != self.id {
            epoch = epoch.next();
        }
        self.epoch = Some(epoch);
        self.accepted_epoch = epoch;
        cx.append(Record::NewEpoch { epoch }, Payload::EMPTY);
        self.send_ack_e(self.id, cx);
        let me = self.id;
        for to in self.followers.iter().filter(|&to| to != me) {
            self.send_new_epoch(to, epoch, cx);
        }
    }

    /// It is held until the own promise is durable: no epoch is opened twice.
    fn send_new_epoch<C: Context<Self>>(&self, to: ReplicaId, epoch: Reign, cx: &mut C) {
        if to != self.id {
            cx.send(to, Message::NewEpoch { epoch }, Payload::EMPTY);
        }
    }

    pub(super) fn on_new_epoch<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        cx: &mut C,
    ) {
        if self.leader != Some(from) || self.owner_of(epoch) != from || from == self.id {
            return;
        }
        if epoch < self.accepted_epoch {
            // The leader has been told what this replica has accepted, and opens a later one.
            self.look(cx);
            return;
        }
        if epoch > self.accepted_epoch {
            if self.phase != Phase::Discovery {
                self.follow(from, cx);
            }
            self.accepted_epoch = epoch;
            cx.append(Record::NewEpoch { epoch }, Payload::EMPTY);
        }
        self.await_leader(cx);
        if self.phase == Phase::Discovery {
            self.send_ack_e(from, cx);
        }
    }

    fn send_ack_e<C: Context<Self>>(&self, leader: ReplicaId, cx: &mut C) {
        let ack_e = Message::AckE {
            epoch: self.accepted_epoch,
            current_epoch: self.current_epoch,
            zxid: self.log.end(),
            committed: self.committed,
        };
        cx.send(leader, ack_e, Payload::EMPTY);
    }

    pub(super) fn on_ack_e<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        history: History,
        cx: &mut C,
    ) {
        if self.leader != Some(self.id) || self.epoch != Some(epoch) {
            return;
        }
        if self.phase != Phase::Discovery {
            self.send_new_leader(from, cx);
            return;
        }
        if self.is_observer(from) {
            return;
        }
        self.followers.insert(from);
        self.histories[from.index()] = Some(history);
        if self.source.is_none() && self.histories.iter().flatten().count() >= self.quorum {
            self.choose_history(cx);
        }
    }

    fn choose_history<C: Context<Self>>(&mut self, cx: &mut C) {
        let committed = self.histories.iter().flatten().map(|history| history.committed).max();
        let best = self
            .electorate()
            .filter_map(|replica| Some((replica, self.histories[replica.index()]?)))
            // The own history needs no transfer, so it wins a tie.
            .max_by_key(|&(id, history)| (history.current_epoch, history.zxid, id == self.id));
        let (from, History { zxid, .. }) = best.expect("a majority has told");
        self.committed = self.committed.max(committed.unwrap_or_default());
        self.source = Some(Source { from, until: zxid });
        if from == self.id {
            self.catch_up.verify(zxid);
        }
        self.go_on(cx);
    }
}
