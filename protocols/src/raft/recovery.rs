//! Coming back: from the own log, or from another replica's snapshot.
//!
//! A snapshot that was installed says which slot it ends before, and not the term of the entry there,
//! nor who votes by it, without which nobody can tell whether the log behind it fits. So the log
//! stays as it was, and all that this replica says rests on that log, until a leader names the term.
//! That leader is one of the same or a later term, whose log therefore holds all that the snapshot
//! does: a snapshot is only sent to a replica that has said that it follows in the sender's term.

use super::{Raft, Record};
use crate::protocol::{Context, Role};
use crate::types::{Payload, Reign as Term, Replicas, Slot};

impl Raft {
    pub(super) fn replay_record<C: Context<Self>>(
        &mut self,
        record: Record,
        payload: Payload,
        cx: &mut C,
    ) {
        match record {
            Record::Term { term } => self.replay_term(term),
            Record::Vote { term, candidate } => {
                self.replay_term(term);
                self.voted_for = Some(candidate);
            }
            Record::Entry { slot, term, applied, voters } => {
                self.commit(applied, false, cx);
                // A checkpoint repeats what may be there.
                if self.log.get(slot).is_some_and(|entry| entry.reign != term) {
                    self.cut_off(slot, cx);
                }
                assert!(slot <= self.log.end(), "the log has a hole");
                if slot == self.log.end() {
                    self.log.push(term, payload, cx);
                    self.configurations.push(slot, voters);
                }
            }
            Record::Checkpoint { applied, last_included_term, voters } => {
                self.commit(applied, false, cx);
                // The rest of the way is in the snapshot.
                if applied > self.log.applied() {
                    self.install(applied, last_included_term, voters, cx);
                }
            }
            Record::Installed { applied, last_included_term, voters } => {
                if applied > self.log.applied() {
                    self.install(applied, last_included_term, voters, cx);
                }
            }
        }
    }

    fn replay_term(&mut self, term: Term) {
        if term > self.current_term {
            self.current_term = term;
            self.voted_for = None;
        }
    }

    fn install<C: Context<Self>>(
        &mut self,
        applied: Slot,
        term: Term,
        voters: Replicas,
        cx: &mut C,
    ) {
        if self.log.reign_before(applied) != Some(term) {
            self.configurations.truncate(self.log.applied());
        }
        self.log.install(applied, term, cx);
        self.configurations.install(applied, voters);
        self.stored = self.stored.max(applied);
    }

    pub(super) fn on_installed<C: Context<Self>>(&mut self, applied: Slot, cx: &mut C) {
        self.stored = self.stored.max(applied);
        // A leader's log holds all that was committed before its term.
        if self.role == Role::Leader
            && let Some(term) = self.log.reign_before(applied)
        {
            self.settle(term, self.configurations.before(applied), cx);
        }
        if self.stored > self.log.applied()
            && let Some(leader) = self.leader
        {
            // Asks for the term before the leader forgets that entry.
            cx.send(leader, self.disagreement(self.stored), Payload::EMPTY);
        }
    }

    /// The last entry that the store holds is of this term, so that the log can go on behind it.
    pub(super) fn settle<C: Context<Self>>(
        &mut self,
        last_included_term: Term,
        voters: Replicas,
        cx: &mut C,
    ) {
        let applied = self.stored;
        if applied > self.log.applied() {
            self.install(applied, last_included_term, voters, cx);
            let installed = Record::Installed { applied, last_included_term, voters };
            cx.append(installed, Payload::EMPTY);
        }
    }

    pub(super) fn append_checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        let (term, applied) = (self.current_term, self.log.applied());
        let last_included_term = self.log.reign_before(applied).expect("from the base on");
        cx.append(Record::Term { term }, Payload::EMPTY);
        if let Some(candidate) = self.voted_for {
            cx.append(Record::Vote { term, candidate }, Payload::EMPTY);
        }
        let voters = self.configurations.before(applied);
        cx.append(Record::Checkpoint { applied, last_included_term, voters }, Payload::EMPTY);
        for (slot, entry) in self.log.entries(applied) {
            let voters = self.configurations.before(slot.next());
            cx.append(Record::Entry { slot, term: entry.reign, applied, voters }, entry.batch);
        }
    }
}
