//! Phase 0: Fast Leader Election (Medeiros 2012, section 4.1). It is an oracle: whom it names may be
//! wrong or not alone, and phase 1 decides.

use core::cmp::Reverse;

use super::{Message, Phase, Vote, Zab};
use crate::protocol::Context;
use crate::types::{Payload, REPLICAS_MAX, Reign, ReplicaId, Replicas, Slot, Time};

impl Vote {
    fn order(self) -> (Reign, Slot, Reverse<ReplicaId>) {
        (self.epoch, self.zxid, Reverse(self.leader))
    }
}

impl Zab {
    /// Looks for a leader, in a new round.
    pub(super) fn look<C: Context<Self>>(&mut self, cx: &mut C) {
        self.leave_epoch(cx);
        self.phase = Phase::Election;
        self.leader = None;
        self.attempts += 1;
        self.suspect_at = Time::NEVER;
        if self.is_observer(self.id) {
            self.await_ping();
            return;
        }
        self.vote_in(self.round + 1, cx);
    }

    /// Takes part in no phase of any epoch for now.
    fn leave_epoch<C: Context<Self>>(&mut self, cx: &mut C) {
        self.epoch = None;
        self.source = None;
        self.catch_up.begin(&self.log, cx);
        self.decide_at = Time::NEVER;
    }

    /// Votes for itself in a round.
    fn vote_in<C: Context<Self>>(&mut self, round: u64, cx: &mut C) {
        self.round = round;
        self.votes = [None; REPLICAS_MAX];
        self.vote_for(
            Vote { leader: self.id, epoch: self.current_epoch, zxid: self.log.end() },
            cx,
        );
    }

    fn vote_for<C: Context<Self>>(&mut self, vote: Vote, cx: &mut C) {
        self.vote = vote;
        self.votes[self.id.index()] = Some(vote);
        self.notify_all(cx);
        self.count(cx);
    }

    pub(super) fn notify_all<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repeat_at = cx.now() + self.heartbeat_ns;
        let me = self.id;
        for to in self.electorate().filter(|&to| to != me) {
            self.notify(to, cx);
        }
    }

    fn notify<C: Context<Self>>(&self, to: ReplicaId, cx: &mut C) {
        let Vote { leader, epoch, zxid } = self.vote;
        let looking = self.phase == Phase::Election;
        let notification =
            Message::Notification { round: self.round, leader, epoch, zxid, looking };
        // A vote of an election promises nothing: epochs do.
        cx.send_now(to, notification, Payload::EMPTY);
    }

    pub(super) fn on_notification<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        vote: Vote,
        looking: bool,
        cx: &mut C,
    ) {
        if from == self.id || self.is_observer(self.id) || self.is_observer(from) {
            return;
        }
        if self.phase != Phase::Election {
            let leads = self.leader == Some(self.id);
            if looking && self.leader == Some(from) && round > self.round {
                // The leader has given up.
                self.look(cx);
            } else if looking && (leads || self.leader == Some(from)) {
                // It follows, or may yet lead: it has still to decide.
                self.notify(from, cx);
            }
            return;
        }
        if !looking {
            if vote.leader == from {
                self.follow(from, cx);
            } else if round == self.round {
                self.votes[from.index()] = Some(vote);
                self.count(cx);
            }
            return;
        }
        if round < self.round {
            self.notify(from, cx);
            return;
        }
        if round > self.round {
            self.vote_in(round, cx);
        }
        if self.phase != Phase::Election {
            // Its own vote was enough.
            return;
        }
        self.votes[from.index()] = Some(vote);
        if vote.order() > self.vote.order() {
            self.vote_for(vote, cx);
        } else {
            self.count(cx);
        }
    }

    /// Decides when all have cast the same vote, and a little after a majority has: a better vote may
    /// be on its way.
    fn count<C: Context<Self>>(&mut self, cx: &mut C) {
        let same = self.votes.iter().flatten().filter(|&&vote| vote == self.vote).count();
        if same == self.voters {
            self.decide(cx);
        } else if same < self.quorum {
            self.decide_at = Time::NEVER;
        } else if self.decide_at == Time::NEVER {
            self.decide_at = cx.now() + self.heartbeat_ns;
        }
    }

    /// Whether a majority votes as this replica does.
    pub(super) fn decides(&self) -> bool {
        let same = self.votes.iter().flatten().filter(|&&vote| vote == self.vote).count();
        self.phase == Phase::Election && same >= self.quorum
    }

    pub(super) fn decide<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.vote.leader == self.id {
            self.begin_discovery(cx);
        } else {
            self.follow(self.vote.leader, cx);
        }
    }

    /// Follows whoever seems to lead.
    pub(super) fn follow<C: Context<Self>>(&mut self, leader: ReplicaId, cx: &mut C) {
        self.leave_epoch(cx);
        self.phase = Phase::Discovery;
        self.leader = Some(leader);
        self.await_leader(cx);
        self.send_c_epoch(cx);
    }

    /// Leads, if enough follow.
    fn begin_discovery<C: Context<Self>>(&mut self, cx: &mut C) {
        self.leave_epoch(cx);
        self.phase = Phase::Discovery;
        self.leader = Some(self.id);
        self.followers = Replicas::NONE;
        self.latest_accepted = self.accepted_epoch;
        self.histories = [None; REPLICAS_MAX];
        self.await_leader(cx);
        self.repeat_at = cx.now() + self.heartbeat_ns;
        self.on_c_epoch(self.id, self.accepted_epoch, cx);
    }
}
