//! Coming back: from the own log, or from another replica's snapshot.

use super::{Paxos, Record};
use crate::protocol::Context;
use crate::types::{Ballot, Payload, Slot};

impl Paxos {
    pub(super) fn replay_record<C: Context<Self>>(
        &mut self,
        record: Record,
        payload: Payload,
        cx: &mut C,
    ) {
        match record {
            Record::Life { life } => self.life = self.life.max(life),
            Record::Promised { slot, ballot, applied } => {
                self.log.replay_applied(applied, cx);
                self.replay_promise(slot, ballot);
            }
            Record::Accepted { slot, ballot, applied } => {
                self.log.replay_applied(applied, cx);
                self.log.remember(slot, ballot, false, payload, cx);
                self.replay_promise(slot, ballot);
            }
            Record::Chosen { slot, applied } => {
                self.log.replay_applied(applied, cx);
                self.log.remember(slot, Ballot::ZERO, true, payload, cx);
                self.log.apply(|_| false, cx);
            }
            Record::Checkpoint { applied } => {
                self.log.replay_applied(applied, cx);
                // The rest of the way is in the snapshot.
                if applied > self.log.applied() {
                    self.log.forget_below(applied, cx);
                    self.log.apply(|_| false, cx);
                }
            }
            Record::Installed { applied } => {
                if applied > self.log.applied() {
                    self.log.forget_below(applied, cx);
                    self.log.apply(|_| false, cx);
                }
            }
        }
    }

    fn replay_promise(&mut self, slot: Slot, ballot: Ballot) {
        if slot >= self.log.applied() {
            let entry = self.log.fill(slot).expect("promises were made inside the window");
            entry.notes.promised = entry.notes.promised.max(ballot);
        }
    }

    pub(super) fn on_installed<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        if applied <= self.log.applied() {
            return;
        }
        // Whether own batches are among what the snapshot holds is not known: their clients ask again,
        // and the sessions know.
        for slot in (self.log.applied().0..applied.0).map(Slot) {
            let Some(entry) = self.log.get_mut(slot) else { break };
            if let Some(batch) = entry.notes.batch.take() {
                cx.redirect(batch, None);
                cx.release(batch);
                self.in_flight -= 1;
            }
            if core::mem::take(&mut entry.notes.answers) {
                cx.redirect(entry.value, None);
                self.in_flight -= 1;
            }
        }
        self.log.forget_below(applied, cx);
        cx.append(Record::Installed { applied }, Payload::EMPTY);
        self.apply(cx);
        self.propose_waiting(cx);
        self.be_whole();
    }

    pub(super) fn append_checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        let applied = self.log.applied();
        cx.append(Record::Life { life: self.life }, Payload::EMPTY);
        cx.append(Record::Checkpoint { applied }, Payload::EMPTY);
        for (slot, entry) in self.log.slots(applied) {
            let (ballot, promised) = (entry.accepted, entry.notes.promised);
            if ballot > Ballot::ZERO {
                cx.append(Record::Accepted { slot, ballot, applied }, entry.value);
            }
            if promised > ballot {
                cx.append(Record::Promised { slot, ballot: promised, applied }, Payload::EMPTY);
            }
            if entry.chosen {
                cx.append(Record::Chosen { slot, applied }, entry.value);
            }
        }
    }
}
