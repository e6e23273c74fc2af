//! Phase 2: the steady state. The leader proposes, acceptors vote, chosen batches are applied.

use super::{Message, MultiPaxos, Record};
use crate::protocol::{Context, Role};
use crate::types::{Ballot, Payload, ReplicaId, Replicas, Slot};

impl MultiPaxos {
    pub(super) fn on_requests<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        if self.role != Role::Leader {
            let leader = self.leader.filter(|&leader| leader != self.id);
            cx.redirect(batch, leader);
            return;
        }
        let slot = self.next;
        self.next = slot.next();
        self.propose(slot, batch, cx);
    }

    /// Asks everyone to vote for `value`, and votes itself.
    pub(super) fn propose<C: Context<Self>>(&mut self, slot: Slot, value: Payload, cx: &mut C) {
        assert_eq!(self.role, Role::Leader);
        assert!(slot >= self.log.applied());
        let accept = Message::Accept { ballot: self.promised, slot, chosen: self.log.applied() };
        for to in self.others() {
            // Asking is no promise: the leader's own vote is a message of its own.
            cx.send_now(to, accept, value);
        }
        let entry = self.log.get_mut(slot).expect("room() keeps proposals inside the window");
        entry.notes.votes = Replicas::NONE;
        entry.notes.asked_at = cx.now();
        self.vote(self.id, slot, value, cx);
    }

    /// Acceptor: votes for `value` in the promised ballot.
    fn vote<C: Context<Self>>(
        &mut self,
        leader: ReplicaId,
        slot: Slot,
        value: Payload,
        cx: &mut C,
    ) {
        let ballot = self.promised;
        let applied = self.log.applied();
        let entry = self.log.fill(slot).expect("the caller has looked");
        assert!(entry.accepted <= ballot);
        if !entry.chosen && entry.accepted < ballot {
            entry.replace(value, cx);
            entry.accepted = ballot;
            cx.append(Record::Accepted { ballot, slot, applied }, value);
        }
        // A chosen value needs no record: every later ballot proposes the same one.
        cx.send(leader, Message::Accepted { ballot, slot }, Payload::EMPTY);
    }

    pub(super) fn on_accept<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        ballot: Ballot,
        slot: Slot,
        chosen: Slot,
        value: Payload,
        cx: &mut C,
    ) {
        if !self.hear_leader(from, ballot, cx) {
            return;
        }
        if self.lost.is_some() {
            // Only learns: an earlier promise may forbid the vote.
        } else if slot < self.log.base() {
            // Applied and forgotten long ago, so chosen: the vote changes nothing.
            cx.send(from, Message::Accepted { ballot, slot }, Payload::EMPTY);
        } else if slot < self.log.end() {
            self.vote(from, slot, value, cx);
        }
        self.hear_chosen(from, ballot, chosen, cx);
    }

    pub(super) fn on_heartbeat<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        ballot: Ballot,
        chosen: Slot,
        sent: u64,
        cx: &mut C,
    ) {
        if !self.hear_leader(from, ballot, cx) {
            return;
        }
        if self.lost.is_none() {
            // A lease rests on it, so the promise of this ballot must be durable: after a crash
            // this replica knows by it that it may have to be loyal.
            cx.send(from, Message::HeartbeatReply { ballot, sent }, Payload::EMPTY);
        }
        self.hear_chosen(from, ballot, chosen, cx);
    }

    /// Whether the sender is a leader to follow; if so its reign is accepted and prolonged.
    fn hear_leader<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        ballot: Ballot,
        cx: &mut C,
    ) -> bool {
        // Nobody opens ballot zero, which stands for no vote.
        if from == self.id || from != ballot.owner() || ballot == Ballot::ZERO {
            return false;
        }
        if ballot < self.promised {
            // Promises nothing: it only tells what was promised.
            cx.send_now(from, Message::Reject { promised: self.promised }, Payload::EMPTY);
            return false;
        }
        if ballot > self.promised {
            self.follow(ballot, cx);
            cx.append(Record::Promised { ballot }, Payload::EMPTY);
        }
        assert_eq!(self.role, Role::Follower, "two leaders in ballot {ballot:?}");
        self.leader = Some(from);
        self.loyal_until = cx.now() + self.election_timeout_ns;
        self.set_election_timer(cx);
        true
    }

    pub(super) fn on_heartbeat_reply<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        ballot: Ballot,
        sent: u64,
        cx: &mut C,
    ) {
        if self.role == Role::Leader && ballot == self.promised {
            self.heard.insert(from);
            self.renew_lease(from, sent, cx);
        }
    }

    pub(super) fn on_accepted<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        ballot: Ballot,
        slot: Slot,
        cx: &mut C,
    ) {
        if self.role != Role::Leader || ballot != self.promised {
            return;
        }
        self.heard.insert(from);
        if slot < self.log.applied() || slot >= self.next {
            return;
        }
        let entry = self.log.get_mut(slot).expect("a slot in flight is in the window");
        entry.notes.votes.insert(from);
        if entry.notes.votes.len() >= self.phase2_quorum {
            entry.chosen = true;
            self.apply(true, cx);
        }
    }

    /// Applies chosen slots in order, as far as they go.
    pub(super) fn apply<C: Context<Self>>(&mut self, reply: bool, cx: &mut C) {
        self.log.apply(|_| reply, cx);
        self.next = self.next.max(self.log.applied());
    }

    /// The leader's timer: shows that it lives, repeats what was not answered, and resigns when no
    /// quorum answers any more.
    pub(super) fn on_leader_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        let now = cx.now();
        if now >= self.resign_at {
            self.heard.insert(self.id);
            if self.heard.len() < self.phase2_quorum {
                self.role = Role::Follower;
                self.leader = None;
                self.set_election_timer(cx);
                return;
            }
            self.heard = Replicas::NONE;
            self.resign_at = now + self.election_timeout_ns;
            self.loyal_until = self.resign_at;
        }
        self.repeat_at = now + self.heartbeat_ns;
        self.renew_lease(self.id, now.0, cx);
        let heartbeat =
            Message::Heartbeat { ballot: self.promised, chosen: self.log.applied(), sent: now.0 };
        for to in self.others() {
            // Promises nothing about the disk: the ballot was made durable to become the leader.
            cx.send_now(to, heartbeat, Payload::EMPTY);
        }
        self.repeat_accepts(cx);
    }

    fn repeat_accepts<C: Context<Self>>(&mut self, cx: &mut C) {
        let everyone = Replicas::first(self.replicas);
        let me = Replicas::only(self.id);
        for slot in (self.log.applied().0..self.next.0).map(Slot) {
            let accept =
                Message::Accept { ballot: self.promised, slot, chosen: self.log.applied() };
            let entry = self.log.get_mut(slot).expect("a slot in flight is in the window");
            if entry.chosen || cx.now().since(entry.notes.asked_at) < self.heartbeat_ns {
                continue;
            }
            entry.notes.asked_at = cx.now();
            for to in everyone.without(entry.notes.votes).without(me).iter() {
                // Asking is no promise.
                cx.send_now(to, accept, entry.value);
            }
        }
    }
}
