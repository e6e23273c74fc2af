//! What a broken Raft server makes of messages, records and wishes that concern who leads and who votes.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a mutation is of a few kinds of messages; all others are read as they were sent"
)]

use synod_protocols::protocol::{Change, Input, Protocol};
use synod_protocols::raft::{Message, Record};
use synod_protocols::types::{ReplicaId, Replicas};
use synod_protocols::wire::Wire;

use super::Mail;
use crate::arena::Bytes;
use crate::misreading_raft::{Log, current_term};
use crate::mutation::Mutation;
use crate::replica::{Output, Packet, Replica, encoded};

impl<P: Protocol> Replica<P> {
    /// An administrator asks for something.
    pub(crate) fn change(&mut self, change: Change, now: u64, output: &mut Output) {
        if self.changes_too_early(change) {
            output.restarts = true;
            return;
        }
        let leads = self.leads();
        match change {
            Change::Transfer(to) if self.mutation == Some(Mutation::HandsOverAtOnce) && leads => {
                let message = encoded(&Message::TimeoutNow { term: current_term(&self.disk) });
                output.packets.push((to, Packet::Message { message, payload: Bytes::default() }));
            }
            Change::Transfer(_) | Change::Add(_) | Change::Remove(_) => {
                self.step(Input::Change(change), now, output);
            }
        }
    }

    /// Whether a leader has made a change that it must not make yet. A protocol cannot be brought to that:
    /// the entry is on its disk, as if it had crashed when it was.
    fn changes_too_early(&mut self, change: Change) -> bool {
        if !self.leads() || !self.mutation.is_some_and(Mutation::breaks_changes) {
            return false;
        }
        let Some(applied) = self.life.as_ref().map(|life| life.store.applied) else { return false };
        let (log, term) = (Log::of(&self.disk), current_term(&self.disk));
        let initially = |voters: Replicas| {
            if voters.is_empty() { Replicas::first(self.config.voters()) } else { voters }
        };
        let old = initially(log.latest_voters());
        let is_open = initially(log.voters_before(applied)) != old;
        let is_too_early = match self.mutation {
            Some(Mutation::ChangesTwiceAtOnce) => is_open && self.has_committed_in_its_term(),
            Some(Mutation::ChangesBeforeItsTerm) => !is_open && !self.has_committed_in_its_term(),
            Some(_) | None => false,
        };
        let voters = match change {
            Change::Add(replica) => with(old, replica),
            Change::Remove(replica) => old.without(Replicas::only(replica)),
            Change::Transfer(_) => old,
        };
        let changes = is_too_early && voters != old && !voters.is_empty();
        if changes {
            let slot = log.last().0;
            self.disk.write_at_once(encoded(&Record::Entry { slot, term, applied, voters }));
        }
        changes
    }

    /// Whether an entry of the present term is committed, as far as this replica knows.
    pub(super) fn has_committed_in_its_term(&self) -> bool {
        let applied = self.life.as_ref().map(|life| life.store.applied);
        let last = applied.and_then(|applied| Log::of(&self.disk).term_before(applied));
        last == Some(current_term(&self.disk))
    }

    /// Whether a follower has cut off its log at an entry that it has, and not stored that again.
    pub(crate) fn cuts_off_what_it_has(&mut self, mail: &Mail) -> bool {
        let Some(applied) = self.life.as_ref().map(|life| life.store.applied) else { return false };
        let read = Message::decode(&mail.message).expect("what was encoded");
        let Message::AppendEntries { slot: from, entry_term, .. } = read else { return false };
        let has_it = Log::of(&self.disk).terms.get(&from) == Some(&entry_term);
        let cuts = !self.leads() && has_it && from >= applied;
        if cuts {
            self.disk.cut(|record| {
                let record = Record::decode(record).expect("what was encoded");
                matches!(record, Record::Entry { slot, .. } if slot >= from)
            });
        }
        cuts
    }

    /// What a server reads in a message that has to do with who votes; `None` for what was sent.
    pub(super) fn misread_voters(&self, mutation: Mutation, mail: &Mail) -> Option<Vec<Mail>> {
        let log = Log::of(&self.disk);
        let own = log.latest_voters();
        let me = self.config.id;
        let mut read = Message::decode(&mail.message).expect("what was encoded");
        match &mut read {
            Message::AppendEntries {
                slot, entry_term, leader_commit, prev_voters, voters, ..
            } => {
                let known = if own.is_empty() { *prev_voters } else { own };
                let is_committed = prev_voters == voters && leader_commit >= slot;
                let is_conflict = log.terms.get(slot).is_some_and(|term| term != entry_term);
                match mutation {
                    Mutation::ChangesVotersLate if !is_committed => *voters = known,
                    Mutation::KeepsVotersCutOff if is_conflict => *voters = own,
                    Mutation::MistakesSnapshotVoters => *prev_voters = self.everyone(),
                    Mutation::TakesItselfForVoter => *voters = with(*voters, me),
                    _ => return None,
                }
                Some(vec![mail.clone().saying(&read)])
            }
            Message::AppendEntriesReply { success: true, .. } if !own.contains(mail.peer) => {
                let other = own.iter().find(|&voter| voter != me)?;
                let counts = match mutation {
                    Mutation::CountsItselfRemoved => mail.peer == me,
                    Mutation::CountsLearners => mail.peer != me,
                    _ => false,
                };
                counts.then(|| vec![mail.clone(), mail.clone().from(other)])
            }
            _ => None,
        }
    }

    /// What a server reads in a record at a restart.
    pub(crate) fn misread_record(&self, bytes: &[u8]) -> Vec<u8> {
        if self.mutation != Some(Mutation::ForgetsVoters(bytes[0])) {
            return bytes.to_vec();
        }
        let voters = self.everyone();
        encoded(&match Record::decode(bytes).expect("what was encoded") {
            Record::Entry { slot, term, applied, .. } => {
                Record::Entry { slot, term, applied, voters }
            }
            Record::Checkpoint { applied, last_included_term, .. } => {
                Record::Checkpoint { applied, last_included_term, voters }
            }
            Record::Installed { applied, last_included_term, .. } => {
                Record::Installed { applied, last_included_term, voters }
            }
            other @ (Record::Term { .. } | Record::Vote { .. }) => other,
        })
    }

    pub(crate) fn everyone(&self) -> Replicas {
        Replicas::first(self.config.replicas)
    }
}

fn with(mut voters: Replicas, replica: ReplicaId) -> Replicas {
    voters.insert(replica);
    voters
}
