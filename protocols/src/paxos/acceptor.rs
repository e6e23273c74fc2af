//! The acceptor: promises and votes, for each slot apart.

use super::{Message, Paxos, Record};
use crate::protocol::Context;
use crate::types::{Ballot, Payload, ReplicaId, Slot};

impl Paxos {
    pub(super) fn on_prepare<C: Context<Self>>(
        &mut self,
        proposer: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        cx: &mut C,
    ) {
        // Who has lost its promises makes none, not even to itself: in its own ballots all others must.
        if self.lost.is_some() || !self.may_answer(proposer, slot, ballot, cx) {
            return;
        }
        let (now, applied) = (cx.now(), self.log.applied());
        let entry = self.log.get_mut(slot).expect("just looked at");
        if ballot > entry.notes.promised {
            entry.notes.promised = ballot;
            entry.notes.give_way(now);
            cx.append(Record::Promised { slot, ballot, applied }, Payload::EMPTY);
        }
        let accepted = entry.accepted;
        let value = if accepted > Ballot::ZERO { entry.value } else { Payload::EMPTY };
        cx.send(proposer, Message::Promise { slot, ballot, accepted }, value);
    }

    pub(super) fn on_accept<C: Context<Self>>(
        &mut self,
        proposer: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        value: Payload,
        cx: &mut C,
    ) {
        // Who has lost its promises still knows those of its own ballots, which all others back.
        if self.lost.is_some() && proposer != self.id {
            return;
        }
        if !self.may_answer(proposer, slot, ballot, cx) {
            return;
        }
        let (now, applied) = (cx.now(), self.log.applied());
        let entry = self.log.get_mut(slot).expect("just looked at");
        entry.notes.promised = ballot;
        if ballot > entry.accepted {
            entry.replace(value, cx);
            entry.accepted = ballot;
            entry.notes.give_way(now);
            cx.append(Record::Accepted { slot, ballot, applied }, value);
        }
        cx.send(proposer, Message::Accepted { slot, ballot }, Payload::EMPTY);
    }

    /// Whether a promise or a vote may be given; if not, the proposer is told why.
    fn may_answer<C: Context<Self>>(
        &mut self,
        proposer: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        cx: &mut C,
    ) -> bool {
        // Nobody opens ballot zero, which stands for no vote.
        if proposer != ballot.owner() || ballot == Ballot::ZERO {
            return false;
        }
        let applied = self.log.applied();
        if slot < self.log.base() {
            // That slots are chosen rests on the disks of majorities, not on this one.
            cx.send_now(proposer, Message::Applied { applied }, Payload::EMPTY);
            return false;
        }
        let Some(entry) = self.log.fill(slot) else {
            // So far behind that there is no place for it.
            self.ask_to_learn(proposer, cx);
            return false;
        };
        if entry.chosen {
            // Likewise.
            cx.send_now(proposer, Message::Chosen { slot, applied }, entry.value);
            return false;
        }
        let promised = entry.notes.promised;
        if ballot < promised {
            // Promises nothing: it only tells what was promised.
            cx.send_now(proposer, Message::Reject { slot, ballot, promised }, Payload::EMPTY);
        }
        ballot >= promised
    }
}
