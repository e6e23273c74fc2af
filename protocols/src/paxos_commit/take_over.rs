//! Taking a round over: a ballot above 0, as the leader of all its instances.

use super::{Message, PaxosCommit};
use crate::protocol::Context;
use crate::types::{Ballot, Payload, ReplicaId, Replicas, Time};

/// A round that this replica takes over.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver {
    /// Whose round it is.
    pub(super) leader: ReplicaId,
    /// The round.
    pub(super) round: u64,
    /// The present ballot; zero before the first.
    ballot: Ballot,
    /// The highest ballot that got in the way.
    rejected_by: Ballot,
    /// Who has promised.
    promised: Replicas,
    /// The highest ballot in which one of them has accepted.
    found: Option<Ballot>,
    /// What it had accepted there; nothing, which aborts all, for free instances.
    outcome: Payload,
    /// Whether phase 2 has begun.
    proposes: bool,
    /// For how long the next ballot is given a chance: twice as long as the one before, because each costs
    /// acceptors two writes, and slow disks must come to an end with them.
    patience_ns: u64,
    /// When the next ballot is opened.
    pub(super) at: Time,
}

impl PaxosCommit {
    /// Takes a round over, from a moment on, unless that has begun.
    pub(super) fn take_over(&mut self, leader: ReplicaId, round: u64, at: Time) {
        if self.take_overs.iter().any(|it| (it.leader, it.round) == (leader, round)) {
            return;
        }
        self.take_overs.push(TakeOver {
            leader,
            round,
            ballot: Ballot::ZERO,
            rejected_by: Ballot::ZERO,
            promised: Replicas::NONE,
            found: None,
            outcome: Payload::EMPTY,
            proposes: false,
            patience_ns: self.takeover_timeout_ns,
            at,
        });
    }

    /// Whoever has voted and has not heard the outcome for too long becomes the leader of the round, not
    /// all at the same time.
    pub(super) fn take_over_what_is_in_doubt<C: Context<Self>>(&mut self, cx: &mut C) {
        while let Some((leader, round)) = self.manager.overdue(cx.now()) {
            let at = cx.now() + cx.random() % self.takeover_timeout_ns;
            self.take_over(leader, round, at);
        }
    }

    pub(super) fn end_take_over<C: Context<Self>>(
        &mut self,
        leader: ReplicaId,
        round: u64,
        cx: &mut C,
    ) {
        let is_it = |it: &TakeOver| (it.leader, it.round) == (leader, round);
        if let Some(place) = self.take_overs.iter().position(is_it) {
            cx.release(self.take_overs.swap_remove(place).outcome);
        }
    }

    /// Phase 1 of a new ballot, wherever it is time.
    pub(super) fn open_ballots<C: Context<Self>>(&mut self, cx: &mut C) {
        for place in 0..self.take_overs.len() {
            if self.take_overs[place].at > cx.now() {
                continue;
            }
            let (id, life, is_ready) = (self.id, self.life, self.ready);
            let it = &mut self.take_overs[place];
            it.at = cx.now() + (it.patience_ns + cx.random() % it.patience_ns);
            if !is_ready {
                continue;
            }
            it.patience_ns = (2 * it.patience_ns).min(PATIENCE_MAX * self.takeover_timeout_ns);
            it.ballot = above(it.ballot.max(it.rejected_by), life, id);
            (it.promised, it.found, it.proposes) = (Replicas::NONE, None, false);
            cx.release(core::mem::take(&mut it.outcome));
            let TakeOver { leader, round, ballot, .. } = *it;
            for to in self.acceptors(leader) {
                // Asks only. No ballot is opened twice, because its number has that of a life which is
                // durable.
                cx.send_now(to, Message::Phase1a { leader, round, ballot }, Payload::EMPTY);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_phase1b<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        ballot: Ballot,
        accepted: Option<Ballot>,
        outcome: Payload,
        cx: &mut C,
    ) {
        let majority = self.majority();
        let is_it =
            |it: &&mut TakeOver| (it.leader, it.round, it.ballot) == (leader, round, ballot);
        let Some(it) = self.take_overs.iter_mut().find(is_it) else { return };
        if it.proposes || !it.promised.insert(from) {
            return;
        }
        if accepted.is_some() && accepted == it.found {
            let found = cx.bytes(it.outcome);
            assert_eq!(cx.bytes(outcome), found, "one ballot is for two values");
        }
        if accepted > it.found {
            it.found = accepted;
            cx.retain(outcome);
            cx.release(core::mem::replace(&mut it.outcome, outcome));
        }
        if it.promised.len() < majority {
            return;
        }
        it.proposes = true;
        let outcome = it.outcome;
        for to in self.acceptors(leader) {
            // Asks only: what this replica accepts itself is a message of its own.
            cx.send_now(to, Message::Phase2a { leader, round, ballot }, outcome);
        }
    }

    /// Another has taken the round over, and is given the time for it.
    pub(super) fn postpone(&mut self, leader: ReplicaId, round: u64, now: Time) {
        let is_it = |it: &&mut TakeOver| (it.leader, it.round) == (leader, round);
        if let Some(it) = self.take_overs.iter_mut().find(is_it) {
            it.at = it.at.max(now + it.patience_ns);
        }
    }

    pub(super) fn on_reject(&mut self, leader: ReplicaId, round: u64, promised: Ballot) {
        let is_it = |it: &&mut TakeOver| (it.leader, it.round) == (leader, round);
        if let Some(it) = self.take_overs.iter_mut().find(is_it) {
            it.rejected_by = promised.max(it.rejected_by);
        }
    }
}

/// What the patience with ballots grows to.
const PATIENCE_MAX: u64 = 8;

/// A ballot above another, which nobody else opens, and its owner in no other life.
fn above(ballot: Ballot, life: u16, owner: ReplicaId) -> Ballot {
    let count = (ballot.0 >> 24) + 1;
    let above = Ballot(count << 24 | u64::from(life) << 8 | u64::from(owner.0));
    assert!(above.is_possible(), "ballots are exhausted");
    above
}
