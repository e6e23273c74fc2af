//! Coming back from the own log.

use super::{Record, Status, Viewstamped};
use crate::protocol::Context;
use crate::types::Payload;

impl Viewstamped {
    pub(super) fn replay_record<C: Context<Self>>(
        &mut self,
        record: Record,
        batch: Payload,
        cx: &mut C,
    ) {
        match record {
            Record::View { view } => {
                self.view = self.view.max(view);
                self.catch_up.begin(&self.log, cx);
            }
            Record::Prepared { reign, op, applied, stable } => {
                // What had been applied was committed, as the log has it by now.
                self.apply(applied, false, cx);
                self.note_stable(stable, cx);
                self.log.replay(op, reign, batch, cx);
            }
            Record::Normal { view, op } => {
                self.view = self.view.max(view);
                self.last_normal = view;
                self.log.truncate(op, cx);
            }
            Record::Checkpoint { view, last_normal, applied, reign, stable } => {
                self.view = self.view.max(view);
                self.last_normal = self.last_normal.max(last_normal);
                self.apply(applied, false, cx);
                // The rest of the way is in the snapshot.
                if applied > self.log.applied() {
                    self.log.install(applied, reign, cx);
                }
                self.note_stable(stable, cx);
            }
            Record::Installed { applied } => {
                if applied > self.log.applied() {
                    self.install(applied, cx);
                }
                self.note_stable(applied, cx);
            }
        }
        self.settle(cx);
    }

    /// What follows from what was read so far.
    fn settle<C: Context<Self>>(&mut self, cx: &mut C) {
        self.commit = self.commit.max(self.log.applied());
        self.wanted = self.view;
        self.catch_up.begin(&self.log, cx);
        self.status = Status::ViewChange;
        if self.last_normal == self.view {
            self.status = Status::Normal;
            self.catch_up.verify(self.log.end());
        }
    }

    pub(super) fn append_checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        let Self { view, last_normal, stable, .. } = *self;
        let (from, applied) = (self.log.needed_from(), self.log.applied());
        let reign = self.log.reign_before(from).unwrap_or_default();
        let checkpoint = Record::Checkpoint { view, last_normal, applied: from, reign, stable };
        cx.append(checkpoint, Payload::EMPTY);
        for (op, entry) in self.log.entries(from) {
            cx.append(Record::Prepared { reign: entry.reign, op, applied, stable }, entry.batch);
        }
    }
}
