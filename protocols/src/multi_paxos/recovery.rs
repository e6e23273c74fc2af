//! Coming back: from the own log, or from another replica's snapshot.

use super::{Entry, MultiPaxos, Record};
use crate::protocol::{Context, Role};
use crate::types::{Ballot, Payload, Slot};

impl MultiPaxos {
    pub(super) fn replay_record<C: Context<Self>>(
        &mut self,
        record: Record,
        payload: Payload,
        cx: &mut C,
    ) {
        match record {
            Record::Promised { ballot } => self.promised = self.promised.max(ballot),
            Record::Accepted { ballot, slot, applied } => {
                self.promised = self.promised.max(ballot);
                self.replay_applied(applied, cx);
                self.remember(slot, ballot, false, payload, cx);
            }
            Record::Chosen { slot, applied } => {
                self.replay_applied(applied, cx);
                self.remember(slot, Ballot::ZERO, true, payload, cx);
                self.apply(false, cx);
            }
            Record::Checkpoint { ballot, applied } => {
                self.promised = self.promised.max(ballot);
                self.replay_applied(applied, cx);
                // The rest of the way is in the snapshot.
                if applied > self.applied {
                    self.forget_below(applied, cx);
                }
            }
            Record::Installed { applied } => {
                if applied > self.applied {
                    self.forget_below(applied, cx);
                    self.apply(false, cx);
                }
            }
        }
    }

    /// What had been applied was chosen, with the value that the log has by now.
    fn replay_applied<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        for slot in (self.applied.0..applied.0).map(Slot) {
            match self.log.get_mut(slot) {
                Some(entry) if entry.has_value() => entry.chosen = true,
                Some(_) | None => break,
            }
        }
        self.apply(false, cx);
    }

    fn remember<C: Context<Self>>(
        &mut self,
        slot: Slot,
        accepted: Ballot,
        chosen: bool,
        value: Payload,
        cx: &mut C,
    ) {
        if slot < self.applied {
            return;
        }
        let entry = self.fill(slot).expect("a vote was only cast inside the window");
        if entry.chosen {
            return;
        }
        cx.retain(value);
        if entry.has_value() {
            cx.release(entry.value);
        }
        entry.accepted = entry.accepted.max(accepted);
        entry.value = value;
        entry.chosen = chosen;
    }

    /// The store holds everything below `applied`.
    fn forget_below<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        self.log.advance_to(applied, |entry: Entry| entry.release(cx));
        self.applied = applied;
        self.next = self.next.max(applied);
        self.retained_bytes = 0;
    }

    pub(super) fn on_installed<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        if applied > self.applied {
            self.forget_below(applied, cx);
            cx.append(Record::Installed { applied }, Payload::EMPTY);
            self.apply(false, cx);
            // A candidate has asked for votes from too low a slot; and a leader that was overtaken
            // must not announce as its own what a higher ballot may have chosen.
            if self.role != Role::Follower {
                self.campaign(cx);
            }
            self.campaign_if_all_answered(cx);
        }
    }

    pub(super) fn append_checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        let (ballot, applied) = (self.promised, self.applied);
        cx.append(Record::Checkpoint { ballot, applied }, Payload::EMPTY);
        for (slot, entry) in self.slots(applied) {
            if entry.accepted > Ballot::ZERO {
                let ballot = entry.accepted;
                cx.append(Record::Accepted { ballot, slot, applied }, entry.value);
            }
            if entry.chosen {
                cx.append(Record::Chosen { slot, applied }, entry.value);
            }
        }
    }
}
