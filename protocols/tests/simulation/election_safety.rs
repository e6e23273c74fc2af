//! What must hold of all servers of Raft together, whatever each of them believes: who leads was
//! elected by a majority of those who vote by its log, what is committed lies on the disks of a
//! majority of them, who is asked to stand has all entries, and who votes changes in one step after the
//! other. Who votes by an entry is what was first said of it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "few kinds of messages tell who leads and who votes"
)]

use std::collections::{BTreeMap, BTreeSet};

use synod_protocols::raft::{Message, Record};
use synod_protocols::types::{Reign as Term, ReplicaId, Replicas, Slot};
use synod_protocols::wire::Wire;

use crate::disk::Disk;
use crate::misreading_raft::{Log, current_term, records};

/// What is known of a cluster.
#[derive(Debug)]
pub(crate) struct ElectionSafety {
    /// Who votes before the first entry.
    initial: Replicas,
    /// Who has led in each term.
    leaders: BTreeMap<Term, ReplicaId>,
    /// Who votes by each entry, by its slot and term.
    voters: BTreeMap<(Slot, Term), Replicas>,
    /// Everything below has been committed by somebody.
    committed: Slot,
    /// Entries that changed who votes.
    changes: BTreeSet<(Slot, Term)>,
    /// Messages that asked somebody to stand.
    pub(crate) transfers: u64,
}

impl ElectionSafety {
    pub(crate) fn new(initial: Replicas) -> Self {
        Self {
            initial,
            leaders: BTreeMap::new(),
            voters: BTreeMap::new(),
            committed: Slot(0),
            changes: BTreeSet::new(),
            transfers: 0,
        }
    }

    /// How many entries changed who votes.
    pub(crate) fn changes_seen(&self) -> u64 {
        self.changes.len() as u64
    }

    /// A message leaves.
    pub(crate) fn sent(&mut self, from: ReplicaId, to: ReplicaId, message: &[u8], disks: &[&Disk]) {
        match Message::decode(message).expect("what was encoded") {
            Message::AppendEntries { term, slot, entry_term, prev_voters, voters, .. } => {
                if entry_term > Term::ZERO {
                    self.voters.entry((slot, entry_term)).or_insert(voters);
                    let changed = (slot, entry_term);
                    if voters != prev_voters && self.changes.insert(changed) {
                        self.changes(changed, &Log::of(disks[from.index()]));
                    }
                }
                self.leads(from, term, disks);
            }
            Message::Heartbeat { term, .. } => self.leads(from, term, disks),
            Message::TimeoutNow { term } => {
                self.transfers += 1;
                let target = disks[to.index()];
                let [all, has] = [disks[from.index()], target].map(|disk| Log::of(disk).last());
                let follows = current_term(target) == term;
                assert!(!follows || (has.1, has.0) >= (all.1, all.0), "asked to stand too early");
            }
            _ => {}
        }
    }

    /// A change begins when an entry of its leader's term is committed, and all changes before.
    fn changes(&self, (slot, term): (Slot, Term), log: &Log) {
        let first = log.terms.iter().find(|(_, of)| **of == term).map(|(&first, _)| first);
        let is_known = log.base.1 == term || first.is_none_or(|first| first < self.committed);
        assert!(is_known, "a change comes before its leader's first entry");
        let is_open = |(earlier, of): &&(Slot, Term)| {
            *earlier >= self.committed && log.terms.get(earlier) == Some(of)
        };
        let open = self.changes.range(..(slot, Term::ZERO)).filter(is_open);
        assert_eq!(open.count(), 0, "two changes at once");
    }

    /// A majority of those who vote by the log that the leader was elected with have voted for it. Who
    /// has gone on to a later term may have.
    fn leads(&mut self, leader: ReplicaId, term: Term, disks: &[&Disk]) {
        let first = self.leaders.insert(term, leader);
        assert!(first.is_none_or(|first| first == leader), "two leaders in term {}", term.0);
        if first.is_some() {
            return;
        }
        let log = Log::of(disks[leader.index()]);
        let voters = self.voters_by(&log, log.last_before(term));
        let has_voted = |id: &ReplicaId| {
            let disk = disks[id.index()];
            let vote = Record::Vote { term, candidate: leader };
            current_term(disk) > term || durable(disk).any(|record| record == vote)
        };
        let votes = voters.iter().filter(has_voted).count();
        assert!(2 * votes > voters.len(), "elected without a majority of {voters:?}");
    }

    /// A replica is the first to commit a slot: a majority has it, of those who vote by its entry, or by
    /// one of those that follow in the leader's log.
    pub(crate) fn commits(&mut self, by: ReplicaId, slot: Slot, disks: &[&Disk]) {
        let log = Log::of(disks[by.index()]);
        let Some(&term) = log.terms.get(&slot) else { return };
        let holds = |id: &ReplicaId| {
            let held = Log::read(durable(disks[id.index()]));
            held.terms.get(&slot) == Some(&term) || held.base.0 > slot
        };
        let is_held = log.terms.range(slot..).any(|(&slot, &term)| {
            let voters = self.voters_by(&log, (slot.next(), term));
            2 * voters.iter().filter(holds).count() > voters.len()
        });
        assert!(is_held, "committed without a majority");
        self.committed = self.committed.max(slot.next());
    }

    /// Who votes by the last entry of a log that ends here.
    fn voters_by(&self, log: &Log, (end, term): (Slot, Term)) -> Replicas {
        let Some(last) = end.0.checked_sub(1).map(Slot) else { return self.initial };
        let said = self.voters.get(&(last, term)).or_else(|| log.voters.get(&last));
        said.copied().unwrap_or(self.initial)
    }
}

/// The records that a crash leaves.
fn durable(disk: &Disk) -> impl Iterator<Item = Record> {
    records(disk).take(disk.durable_records())
}
