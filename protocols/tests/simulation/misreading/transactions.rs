//! What broken coordinators and resource managers make of their messages.

use std::rc::Rc;

use synod_protocols::command::{Commands, Op, Status};
use synod_protocols::transactions::items::{Answer, Vote, push_outcome};
use synod_protocols::transactions::owner;
use synod_protocols::two_phase_commit::Message;
use synod_protocols::types::{Payload, ReplicaId};
use synod_protocols::wire::Wire;

use super::Mail;
use crate::arena::Bytes;
use crate::mutation::Mutation;
use crate::store::Store;

/// Where an answer has its vote, and how many bytes it has before its value.
const VOTE: usize = 4;
const HEADER_BYTES: usize = 16;

pub(super) fn misread(mutation: Mutation, mail: Mail) -> Vec<Mail> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    match (mutation, message) {
        (Mutation::CommitsAlone, Message::Prepare { round }) => {
            let payload = Bytes { shared: all_commit(), commands: 0 };
            let commit = Mail { payload, ..mail.clone() };
            vec![mail, commit.saying(&Message::Commit { round })]
        }
        (Mutation::AbortsAlone, Message::Prepare { round }) => {
            let abort = Mail { payload: Bytes::default(), ..mail.clone() };
            vec![mail, abort.saying(&Message::Abort { round })]
        }
        (Mutation::CommitsWhatAborts, Message::Commit { round } | Message::Abort { round }) => {
            let payload = Bytes { shared: all_commit(), commands: 0 };
            vec![Mail { payload, ..mail }.saying(&Message::Commit { round })]
        }
        (Mutation::AbortsSome, Message::Commit { round }) => {
            let payload = Bytes { shared: without_the_first(&mail.payload.shared), commands: 0 };
            vec![Mail { payload, ..mail }.saying(&Message::Commit { round })]
        }
        (Mutation::TakesNoForYes, Message::Prepared { .. }) => {
            let shared = all_yes(mail.payload.shared.to_vec()).into();
            vec![Mail { payload: Bytes { shared, commands: 0 }, ..mail }]
        }
        _ => vec![mail],
    }
}

/// The vote of a manager that reads without a look at locks, and takes none; `None` for what writes.
pub(super) fn vote_without_locks(
    mail: &Mail,
    me: ReplicaId,
    replicas: usize,
    store: &Store,
) -> Option<Vec<u8>> {
    let parts = || Commands::new(&mail.payload.shared).flat_map(|command| command.parts());
    if parts().any(|part| part.op != Op::Get) {
        return None;
    }
    let mut vote = Vec::new();
    push_outcome(&all_commit(), &mut vote);
    for part in parts().filter(|part| owner(part.key, replicas) == me) {
        let (tag, deleted, value) = store.register(part.key);
        let status = if deleted { Status::Absent } else { Status::Ok };
        Answer { vote: Vote::Yes, status, tag, value: Payload::EMPTY }.push(value, &mut vote);
    }
    Some(vote)
}

/// Votes so in a round of Two-Phase Commit.
pub(super) fn prepared_without_locks(mail: &Mail, vote: Vec<u8>) -> Option<Mail> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    let Message::Prepare { round } = message else { return None };
    let payload = Bytes { shared: vote.into(), commands: 0 };
    let mail = Mail { payload, ..mail.clone() };
    Some(mail.saying(&Message::Prepared { round, finished_before: 0 }))
}

/// An outcome in which all transactions of a batch commit.
pub(super) fn all_commit() -> Rc<[u8]> {
    [u8::MAX; 8].into()
}

/// An outcome without the first of the transactions that commit.
pub(super) fn without_the_first(outcome: &[u8]) -> Rc<[u8]> {
    let mut outcome: Rc<[u8]> = outcome.into();
    let bits = Rc::make_mut(&mut outcome).iter_mut().find(|bits| **bits != 0);
    let bits = bits.expect("some commit");
    *bits &= *bits - 1;
    outcome
}

/// Votes without a no.
pub(super) fn all_yes(mut votes: Vec<u8>) -> Vec<u8> {
    let word = |bytes: &[u8]| usize::from(bytes[0]) | usize::from(bytes[1]) << 8;
    let mut at = 8 + word(&votes);
    votes[8..at].fill(u8::MAX);
    while at < votes.len() {
        votes[at + VOTE] = 0;
        at += HEADER_BYTES + word(&votes[at..]).next_multiple_of(8);
    }
    votes
}
