//! Coming back: from the own log, or from another replica's snapshot.

use super::{MultiPaxos, Record};
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
                self.log.remember(slot, ballot, false, payload, cx);
            }
            Record::Chosen { slot, applied } => {
                self.replay_applied(applied, cx);
                self.log.remember(slot, Ballot::ZERO, true, payload, cx);
                self.apply(false, cx);
            }
            Record::Checkpoint { ballot, applied } => {
                self.promised = self.promised.max(ballot);
                self.replay_applied(applied, cx);
                // The rest of the way is in the snapshot.
                if applied > self.log.applied() {
                    self.forget_below(applied, cx);
                }
            }
            Record::Installed { applied } => {
                if applied > self.log.applied() {
                    self.forget_below(applied, cx);
                    self.apply(false, cx);
                }
            }
        }
    }

    /// What had been applied was chosen.
    fn replay_applied<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        self.log.replay_applied(applied, cx);
        self.next = self.next.max(self.log.applied());
    }

    /// The store holds everything below `applied`.
    fn forget_below<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        self.log.forget_below(applied, cx);
        self.next = self.next.max(applied);
    }

    pub(super) fn on_installed<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        if applied > self.log.applied() {
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
        let (ballot, applied) = (self.promised, self.log.applied());
        cx.append(Record::Checkpoint { ballot, applied }, Payload::EMPTY);
        for (slot, entry) in self.log.slots(applied) {
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
