//! Coming back from the own log.

use super::PaxosCommit;
use super::acceptor::Instances;
use crate::protocol::Context;
use crate::transactions::Record;
use crate::types::{Payload, ReplicaId, Time};

impl PaxosCommit {
    pub(super) fn replay_record<C: Context<Self>>(
        &mut self,
        record: Record,
        payload: Payload,
        cx: &mut C,
    ) {
        match record {
            Record::Life { life } => self.life = self.life.max(life),
            Record::Promised { leader, round, ballot, waiting } => {
                let place = self.find(leader, round, waiting, Time(0));
                let it = &mut self.instances[place];
                it.promised = ballot.max(it.promised);
            }
            Record::Accepted { leader, round, ballot, waiting, forgotten_before } => {
                self.forget_before(leader, forgotten_before, cx);
                let place = self.find(leader, round, waiting, Time(0));
                let it = &mut self.instances[place];
                if it.accepted.is_none_or(|accepted| accepted < ballot) {
                    it.accepted = Some(ballot);
                    it.promised = ballot.max(it.promised);
                    cx.retain(payload);
                    cx.release(core::mem::replace(&mut it.outcome, payload));
                }
            }
            Record::Prepared { .. } | Record::Finished {} | Record::Heard { .. } => {
                self.manager.replay(record, payload, cx);
            }
            Record::Committed { .. } | Record::Ended {} => {
                unreachable!("records of Two-Phase Commit");
            }
        }
    }

    fn forget_before<C: Context<Self>>(&mut self, leader: ReplicaId, round: u64, cx: &mut C) {
        self.instances.retain(|it| {
            let is_forgotten = it.leader == leader && it.round < round;
            if is_forgotten {
                cx.release(it.outcome);
            }
            !is_forgotten
        });
    }

    /// Appends what an acceptor has accepted, and that it has forgotten all before.
    pub(super) fn log_accepted<C: Context<Self>>(&self, place: usize, cx: &mut C) {
        let Instances { leader, round, accepted, outcome, waiting, .. } = self.instances[place];
        let ballot = accepted.expect("it has accepted");
        let theirs = self.instances.iter().filter(|it| it.leader == leader);
        let forgotten_before = theirs.map(|it| it.round).min().expect("this one is kept");
        let accepted = Record::Accepted { leader, round, ballot, waiting, forgotten_before };
        cx.append(accepted, outcome);
    }

    pub(super) fn checkpoint_acceptor<C: Context<Self>>(&self, cx: &mut C) {
        for (place, it) in self.instances.iter().enumerate() {
            let Instances { leader, round, promised: ballot, accepted, waiting, .. } = *it;
            if accepted.is_some() {
                self.log_accepted(place, cx);
            }
            if accepted < Some(ballot) {
                cx.append(Record::Promised { leader, round, ballot, waiting }, Payload::EMPTY);
            }
        }
    }
}
