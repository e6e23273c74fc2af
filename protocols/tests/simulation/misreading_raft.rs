//! What a broken Raft server makes of its messages.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a mutation is of a few kinds of messages; all others are read as they were sent"
)]

use std::collections::BTreeMap;

use synod_protocols::raft::{Message, Record};
use synod_protocols::types::{Reign as Term, ReplicaId, Replicas, Slot};
use synod_protocols::wire::Wire;

use crate::arena::Bytes;
use crate::disk::Disk;
use crate::misreading::Mail;
use crate::mutation::Mutation;
use crate::replica::Packet;

/// The log of a server as its disk has it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Where it begins, and the term before.
    pub(crate) base: (Slot, Term),
    /// The terms of the entries from there on.
    pub(crate) terms: BTreeMap<Slot, Term>,
    /// Who votes by each entry, the one before the log among them. What was cut off may be there, too.
    pub(crate) voters: BTreeMap<Slot, Replicas>,
}

impl Log {
    pub(crate) fn of(disk: &Disk) -> Self {
        Self::read(records(disk))
    }

    pub(crate) fn read(records: impl Iterator<Item = Record>) -> Self {
        let mut log = Self::default();
        for record in records {
            match record {
                Record::Term { .. } | Record::Vote { .. } => {}
                Record::Entry { slot, term, voters, .. } => {
                    log.voters.insert(slot, voters);
                    // A checkpoint repeats what may be there.
                    if log.terms.get(&slot).is_some_and(|&of| of != term) {
                        log.terms.split_off(&slot);
                    }
                    log.terms.insert(slot, term);
                }
                Record::Checkpoint { applied, last_included_term, voters }
                | Record::Installed { applied, last_included_term, voters } => {
                    if let Some(last) = applied.0.checked_sub(1) {
                        log.voters.insert(Slot(last), voters);
                    }
                    if log.term_before(applied) != Some(last_included_term) {
                        log.terms.split_off(&applied);
                    }
                    log.base = log.base.max((applied, last_included_term));
                }
            }
        }
        log
    }

    /// Where it ends, and the term of the last entry.
    pub(crate) fn last(&self) -> (Slot, Term) {
        self.last_before(Term(u64::MAX))
    }

    /// The same without the entries of `term` and later ones.
    pub(crate) fn last_before(&self, term: Term) -> (Slot, Term) {
        let last = self.terms.iter().rfind(|(_, of)| **of < term);
        last.map_or(self.base, |(slot, term)| (slot.next(), *term)).max(self.base)
    }

    /// Who votes by the last entry; nobody if there never was one.
    pub(crate) fn latest_voters(&self) -> Replicas {
        self.voters_before(self.last().0)
    }

    /// Who votes by the entry before `slot`.
    pub(crate) fn voters_before(&self, slot: Slot) -> Replicas {
        self.voters.range(..slot).next_back().map(|(_, voters)| *voters).unwrap_or_default()
    }

    pub(crate) fn term_before(&self, slot: Slot) -> Option<Term> {
        let before = slot.0.checked_sub(1).and_then(|before| self.terms.get(&Slot(before)));
        before.copied().or_else(|| (self.base.0 == slot).then_some(self.base.1))
    }
}

pub(crate) fn records(disk: &Disk) -> impl DoubleEndedIterator<Item = Record> {
    disk.log().iter().map(|logged| Record::decode(&logged.record).expect("what was encoded"))
}

/// The current term of a server, which only ever grows.
pub(crate) fn current_term(disk: &Disk) -> Term {
    let term = |record| match record {
        Record::Term { term } | Record::Vote { term, .. } => Some(term),
        _ => None,
    };
    records(disk).rev().find_map(term).unwrap_or_default()
}

/// What a server takes in when `mail` comes. What it says at once goes to `packets`.
pub(crate) fn misread_by_raft(
    mutation: Mutation,
    mail: Mail,
    disk: &Disk,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Vec<Mail> {
    let current_term = current_term(disk);
    let message = Message::decode(&mail.message).expect("what was encoded");
    let read = match message {
        Message::PreVote { .. } | Message::RequestVote { .. } => {
            misread_candidate(mutation, message, disk)
        }
        Message::RequestVoteReply { term, vote_granted: true }
            if mutation == Mutation::CountsOldVotes && term < current_term =>
        {
            Some(Message::RequestVoteReply { term: current_term, vote_granted: true })
        }
        Message::AppendEntriesReply { .. } => {
            return misread_follower(mutation, mail, message, current_term);
        }
        Message::AppendEntries { .. } => {
            return misread_leader(mutation, mail, message, disk, packets);
        }
        _ => None,
    };
    if mutation == Mutation::VotesTwice
        && let Message::RequestVote { term, .. } = message
        && term >= current_term
    {
        let vote = Message::RequestVoteReply { term, vote_granted: true };
        packets.push(mail.clone().saying(&vote).into_packet());
    }
    vec![match read {
        Some(read) => mail.saying(&read),
        None => mail,
    }]
}

/// A candidate whose log looks better than it is.
fn misread_candidate(mutation: Mutation, message: Message, disk: &Disk) -> Option<Message> {
    let looks = |end: Slot, last_log_term: Term| {
        match mutation {
            Mutation::IgnoresLogs => Some((end.max(Log::of(disk).last().0), Term(1 << 40))),
            Mutation::PicksLongestLog => Some((end, Log::of(disk).last().1)),
            _ => None,
        }
        .filter(|&looks| looks != (end, last_log_term))
    };
    match message {
        Message::PreVote { term, end, last_log_term } => {
            let (end, last_log_term) = looks(end, last_log_term)?;
            Some(Message::PreVote { term, end, last_log_term })
        }
        Message::RequestVote { term, end, last_log_term, transferred } => {
            let (end, last_log_term) = looks(end, last_log_term)?;
            Some(Message::RequestVote { term, end, last_log_term, transferred })
        }
        _ => None,
    }
}

fn misread_follower(mutation: Mutation, mail: Mail, message: Message, now: Term) -> Vec<Mail> {
    let Message::AppendEntriesReply { term, success, slot, next, conflict_term } = message else {
        unreachable!("the caller has looked");
    };
    match mutation {
        Mutation::IgnoresDisagreement if !success => Vec::new(),
        Mutation::CountsOldAgreements if success && term < now => {
            let reply =
                Message::AppendEntriesReply { term: now, success, slot, next, conflict_term };
            vec![mail.saying(&reply)]
        }
        _ => vec![mail],
    }
}

fn misread_leader(
    mutation: Mutation,
    mail: Mail,
    message: Message,
    disk: &Disk,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Vec<Mail> {
    let Message::AppendEntries { term, slot, prev_log_term, entry_term, leader_commit, .. } =
        message
    else {
        unreachable!("the caller has looked");
    };
    let append = |with_term, with_prev, with_entry| {
        let mut read = message;
        if let Message::AppendEntries { term, prev_log_term, entry_term, .. } = &mut read {
            (*term, *prev_log_term, *entry_term) = (with_term, with_prev, with_entry);
        }
        read
    };
    let current_term = current_term(disk);
    let is_entry = entry_term > Term::ZERO;
    match mutation {
        Mutation::FollowsOldLeaders if term < current_term => {
            vec![mail.saying(&append(current_term, prev_log_term, entry_term))]
        }
        Mutation::SkipsTheLogCheck => {
            let prev = Log::of(disk).term_before(slot).unwrap_or(prev_log_term);
            vec![mail.saying(&append(term, prev, entry_term.max(prev)))]
        }
        Mutation::AgreesWithoutStoring if is_entry && term >= current_term => {
            let conflict_term = Term::ZERO;
            let next = slot.next();
            let reply =
                Message::AppendEntriesReply { term, success: true, slot, next, conflict_term };
            let reply = Mail { payload: Bytes::default(), ..mail }.saying(&reply);
            packets.push(reply.into_packet());
            Vec::new()
        }
        Mutation::KeepsConflicts if is_entry && Log::of(disk).terms.contains_key(&slot) => {
            let own = Log::of(disk).terms[&slot];
            vec![mail.saying(&append(term, prev_log_term, own))]
        }
        Mutation::CommitsOldTerms if is_entry && entry_term < term && term >= current_term => {
            let heartbeat = told_by_heartbeat(term, slot.next());
            let told = Mail { payload: Bytes::default(), ..mail.clone() }.saying(&heartbeat);
            vec![mail, told]
        }
        Mutation::CommitsUnverified if term >= current_term => {
            let heartbeat = told_by_heartbeat(term, leader_commit);
            let told = Mail { payload: Bytes::default(), ..mail.clone() }.saying(&heartbeat);
            vec![told, mail]
        }
        Mutation::MistakesSnapshotTerms if prev_log_term > Term::ZERO => {
            let older = Term(prev_log_term.0 - 1);
            let fits = Log::of(disk).term_before(slot).is_some();
            vec![if fits { mail } else { mail.saying(&append(term, older, entry_term)) }]
        }
        _ => vec![mail],
    }
}

/// A heartbeat that only tells what is committed.
fn told_by_heartbeat(term: Term, leader_commit: Slot) -> Message {
    Message::Heartbeat { term, leader_commit, sent: 0, round: 0 }
}
