//! Coming back from the own log.

use super::{Record, Zab};
use crate::protocol::Context;
use crate::types::Payload;

impl Zab {
    pub(super) fn replay_record<C: Context<Self>>(
        &mut self,
        record: Record,
        batch: Payload,
        cx: &mut C,
    ) {
        match record {
            Record::NewEpoch { epoch } => {
                self.accepted_epoch = self.accepted_epoch.max(epoch);
            }
            Record::Proposed { epoch, zxid, applied } => {
                // What had been applied was committed, as the history has it by now.
                self.log.apply(applied, false, cx);
                self.log.replay(zxid, epoch, batch, cx);
            }
            Record::NewLeader { epoch, zxid } => {
                self.accepted_epoch = self.accepted_epoch.max(epoch);
                self.current_epoch = epoch;
                self.log.truncate(zxid, cx);
            }
            Record::Checkpoint { accepted_epoch, current_epoch, applied, proposed_in } => {
                self.accepted_epoch = self.accepted_epoch.max(accepted_epoch);
                self.current_epoch = self.current_epoch.max(current_epoch);
                self.log.apply(applied, false, cx);
                // The rest of the way is in the snapshot.
                if applied > self.log.applied() {
                    self.log.install(applied, proposed_in, cx);
                }
            }
            Record::Installed { applied } => {
                if applied > self.log.applied() {
                    self.install(applied, cx);
                }
            }
        }
        self.committed = self.committed.max(self.log.applied());
        self.catch_up.begin(&self.log, cx);
    }

    pub(super) fn append_checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        let (accepted_epoch, current_epoch) = (self.accepted_epoch, self.current_epoch);
        let applied = self.log.applied();
        let proposed_in = self.log.reign_before(applied).unwrap_or_default();
        let checkpoint = Record::Checkpoint { accepted_epoch, current_epoch, applied, proposed_in };
        cx.append(checkpoint, Payload::EMPTY);
        for (zxid, entry) in self.log.entries(applied) {
            cx.append(Record::Proposed { epoch: entry.reign, zxid, applied }, entry.batch);
        }
    }
}
