//! The resource manager: votes once on each round, in ballot 0, and says when it needs no outcome any more.

use super::{Message, PaxosCommit};
use crate::protocol::Context;
use crate::transactions::answers::concerned;
use crate::transactions::items::outcome_at;
use crate::types::{Payload, ReplicaId};

impl PaxosCommit {
    pub(super) fn on_prepare<C: Context<Self>>(
        &mut self,
        leader: ReplicaId,
        round: u64,
        closed_before: u64,
        batch: Payload,
        cx: &mut C,
    ) {
        let is_first = !self.manager.has_heard(leader, round);
        let vote = self.manager.prepare(leader, round, batch, cx);
        if vote.is_empty() {
            return;
        }
        if is_first && !self.manager.is_prepared(leader, round) {
            // Only the first vote may ever be heard in ballot 0, whatever comes between.
            self.manager.renounce(leader, round, cx);
        }
        let managers = concerned(batch, self.replicas, cx);
        let finished_before = self.manager.finished_before(leader);
        let message = Message::Prepared { leader, round, managers, closed_before, finished_before };
        self.scratch.clear();
        self.scratch.extend_from_slice(&cx.bytes(vote)[..outcome_at(cx.bytes(vote), 0).end]);
        let bare = cx.store(&self.scratch);
        // The rest is needed only if one of the first fails.
        let count = if is_first { self.majority() } else { 2 * self.faults + 1 };
        for to in self.acceptors(leader).take(count) {
            cx.send(to, message, if to == leader { vote } else { bare });
        }
        cx.release(bare);
        cx.release(vote);
    }

    /// An acceptor wants to forget a round.
    pub(super) fn on_inquire<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        cx: &mut C,
    ) {
        if self.needs(leader, round) {
            return;
        }
        self.manager.log_outcomes(cx);
        if !self.manager.has_heard(leader, round) {
            // Who forgets the round would take part in ballot 0 of it again.
            self.manager.renounce(leader, round, cx);
        }
        cx.send(from, Message::Finished { leader, round }, Payload::EMPTY);
    }

    /// Whether this replica has to learn the outcome of a round.
    pub(super) fn needs(&self, leader: ReplicaId, round: u64) -> bool {
        self.manager.is_prepared(leader, round) || self.is_open(leader, round)
    }
}
