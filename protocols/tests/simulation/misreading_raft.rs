//! What a broken Raft server makes of its messages.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a mutation is of a few kinds of messages; all others are read as they were sent"
)]

use std::collections::BTreeMap;

use synod_protocols::raft::{Message, Record};
use synod_protocols::types::{Reign as Term, Slot};
use synod_protocols::wire::Wire;

use crate::arena::Bytes;
use crate::disk::Disk;
use crate::misreading::Mail;
use crate::mutation::Mutation;
use crate::replica::Packet;
use synod_protocols::types::ReplicaId;

/// The log of a server as its disk has it.
#[derive(Debug, Default)]
struct Log {
    /// Where it begins, and the term before.
    base: (Slot, Term),
    /// The terms of the entries from there on.
    terms: BTreeMap<Slot, Term>,
}

impl Log {
    fn of(disk: &Disk) -> Self {
        let mut log = Self::default();
        for record in records(disk) {
            match record {
                Record::Term { .. } | Record::Vote { .. } => {}
                Record::Entry { slot, term, .. } => {
                    let mut later = log.terms.split_off(&slot);
                    later.retain(|&held, &mut of| held > slot && of == term);
                    log.terms.append(&mut later);
                    log.terms.insert(slot, term);
                }
                Record::Checkpoint { applied, last_included_term }
                | Record::Installed { applied, last_included_term } => {
                    log.base = log.base.max((applied, last_included_term));
                }
            }
        }
        log
    }

    fn last(&self) -> (Slot, Term) {
        self.terms.last_key_value().map_or(self.base, |(slot, term)| (slot.next(), *term))
    }

    fn term_before(&self, slot: Slot) -> Option<Term> {
        let before = slot.0.checked_sub(1).and_then(|before| self.terms.get(&Slot(before)));
        before.copied().or_else(|| (self.base.0 == slot).then_some(self.base.1))
    }
}

fn records(disk: &Disk) -> impl DoubleEndedIterator<Item = Record> {
    disk.log().iter().map(|logged| Record::decode(&logged.record).expect("what was encoded"))
}

/// The current term of a server, which only ever grows.
fn current_term(disk: &Disk) -> Term {
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
    let Message::AppendEntries { term, slot, prev_log_term, entry_term, leader_commit } = message
    else {
        unreachable!("the caller has looked");
    };
    let append = |term, prev_log_term, entry_term| Message::AppendEntries {
        term,
        slot,
        prev_log_term,
        entry_term,
        leader_commit,
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
