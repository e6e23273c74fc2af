//! The learner: what a proposer tells, and catching up.

use super::{Message, Paxos, Phase, Record};
use crate::ledger::PAGE_SLOTS;
use crate::protocol::Context;
use crate::types::{Ballot, Payload, ReplicaId, Slot};

impl Paxos {
    /// A majority voted in `ballot`.
    pub(super) fn on_learn<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        cx: &mut C,
    ) {
        // Nobody votes in ballot zero.
        if slot < self.log.applied() || ballot == Ballot::ZERO {
            return;
        }
        match self.log.fill(slot) {
            Some(entry) if entry.chosen => {}
            // Every later ballot proposes what an earlier one has chosen.
            Some(entry) if entry.accepted >= ballot => {
                let value = entry.value;
                self.learn(slot, ballot, value, cx);
            }
            Some(_) | None => self.ask_to_learn(from, cx),
        }
    }

    /// The value was chosen in `ballot`, or some ballot if that is zero.
    pub(super) fn learn<C: Context<Self>>(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        value: Payload,
        cx: &mut C,
    ) {
        let applied = self.log.applied();
        let entry = self.log.fill(slot).expect("the caller has looked");
        assert!(!entry.chosen);
        // The own vote says it already, to whoever reads the log.
        if ballot == Ballot::ZERO || entry.accepted < ballot {
            entry.replace(value, cx);
            cx.append(Record::Chosen { slot, applied }, value);
        }
        entry.chosen = true;
        let (value, instance) = (entry.value, &mut entry.notes);
        instance.phase = Phase::Idle;
        instance.drop_found(cx);
        if let Some(batch) = instance.batch.take() {
            // Whoever proposed it, and in whatever ballot: the same bytes are the same commands.
            if cx.bytes(batch) == cx.bytes(value) {
                instance.answers = true;
                cx.release(batch);
            } else {
                self.waiting.push_back(batch);
            }
        }
        self.apply(cx);
        self.propose_waiting(cx);
        self.be_whole();
    }

    /// Applies what can be, and answers for the own batches.
    pub(super) fn apply<C: Context<Self>>(&mut self, cx: &mut C) {
        let in_flight = &mut self.in_flight;
        let reply = |instance: &mut super::Instance| {
            let answers = core::mem::take(&mut instance.answers);
            *in_flight -= usize::from(answers);
            answers
        };
        self.log.apply(reply, cx);
    }

    pub(super) fn ask_to_learn<C: Context<Self>>(&mut self, of: ReplicaId, cx: &mut C) {
        if of != self.id && self.log.asks_to_learn(cx.now(), self.retry_ns) {
            // A question promises nothing.
            cx.send_now(of, Message::Ask { from: self.log.applied() }, Payload::EMPTY);
        }
    }

    pub(super) fn on_ask<C: Context<Self>>(&mut self, from: ReplicaId, start: Slot, cx: &mut C) {
        if start < self.log.base() {
            cx.send_snapshot(from);
            return;
        }
        let applied = self.log.applied();
        let page = self.log.slots(start).take_while(|(slot, _)| *slot < start + PAGE_SLOTS);
        for (slot, entry) in page.filter(|(_, entry)| entry.chosen) {
            // That a value is chosen rests on the disks of a majority, not on this one.
            cx.send_now(from, Message::Chosen { slot, applied }, entry.value);
        }
    }

    pub(super) fn on_chosen<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        applied: Slot,
        value: Payload,
        cx: &mut C,
    ) {
        if slot >= self.log.applied()
            && let Some(entry) = self.log.fill(slot)
            && !entry.chosen
        {
            self.learn(slot, Ballot::ZERO, value, cx);
        }
        self.hear_applied(from, applied, cx);
    }

    /// Another replica has applied everything below `applied`.
    pub(super) fn hear_applied<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        applied: Slot,
        cx: &mut C,
    ) {
        self.heard = self.heard.max(applied);
        if self.log.applied() < applied {
            self.ask_to_learn(from, cx);
        }
    }
}
