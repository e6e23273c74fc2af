//! Learning what was chosen: by counting acceptors, or from whoever has.

use super::{Message, PaxosCommit};
use crate::protocol::Context;
use crate::types::{Ballot, Payload, ReplicaId, Replicas};

/// Who has accepted in a ballot of a round.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Whose round it is.
    pub leader: ReplicaId,
    /// The round.
    pub round: u64,
    /// The ballot.
    pub ballot: Ballot,
    /// The acceptors.
    pub accepted: Replicas,
    /// What they have accepted.
    pub outcome: Payload,
}

impl PaxosCommit {
    pub(super) fn on_phase2b<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        ballot: Ballot,
        outcome: Payload,
        cx: &mut C,
    ) {
        if !self.needs(leader, round) {
            return;
        }
        let is_it = |it: &Tally| (it.leader, it.round, it.ballot) == (leader, round, ballot);
        let place = self.tallies.iter().position(is_it).unwrap_or_else(|| {
            cx.retain(outcome);
            self.tallies.push(Tally { leader, round, ballot, accepted: Replicas::NONE, outcome });
            self.tallies.len() - 1
        });
        let first = cx.bytes(self.tallies[place].outcome);
        assert_eq!(cx.bytes(outcome), first, "one ballot is for two values");
        self.tallies[place].accepted.insert(from);
        if self.tallies[place].accepted.len() >= self.majority() {
            self.tell(leader, round, ballot, outcome, cx);
            self.learn(leader, round, outcome, cx);
        }
    }

    /// What this replica has found to be chosen, others hear from it, if they do not from the acceptors.
    fn tell<C: Context<Self>>(
        &self,
        leader: ReplicaId,
        round: u64,
        ballot: Ballot,
        outcome: Payload,
        cx: &mut C,
    ) {
        let everyone = Replicas::first(self.replicas);
        let place = if leader == self.id { self.rounds.place_of(round) } else { None };
        let told = match place {
            _ if ballot > Ballot::ZERO => everyone,
            Some(place) if !self.faster => self.rounds[place].participants,
            Some(_) | None => Replicas::NONE,
        };
        let message = if outcome.is_empty() {
            Message::Abort { leader, round }
        } else {
            Message::Commit { leader, round }
        };
        for to in told.iter().filter(|&to| to != self.id) {
            // It is chosen: on the disks of enough acceptors, whatever becomes of this replica.
            cx.send_now(to, message, outcome);
        }
    }

    /// The outcome of a round, for all that this replica has to do with it.
    pub(super) fn learn<C: Context<Self>>(
        &mut self,
        leader: ReplicaId,
        round: u64,
        outcome: Payload,
        cx: &mut C,
    ) {
        self.manager.finish(leader, round, outcome, cx);
        if self.is_open(leader, round) {
            let place = self.rounds.place_of(round).expect("it is open");
            self.close(place, outcome, cx);
        }
        self.tallies.retain(|it| {
            let is_over = (it.leader, it.round) == (leader, round);
            if is_over {
                cx.release(it.outcome);
            }
            !is_over
        });
        self.end_take_over(leader, round, cx);
    }
}
