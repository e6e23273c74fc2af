//! What whoever coordinates a batch tells its clients.

use alloc::vec::Vec;

use super::items::{Answer, Vote, outcome_at};
use super::{owner, owners};
use crate::command::{Command, Commands, Op, Reply, Status};
use crate::protocol::{Context, Protocol};
use crate::registers::command_at_offset;
use crate::registers::rounds::Round;
use crate::types::{Payload, REPLICAS_MAX, Replicas, Tag};

/// The resource managers that have a part in a batch.
pub fn concerned<P: Protocol>(batch: Payload, replicas: usize, cx: &impl Context<P>) -> Replicas {
    let mut concerned = Replicas::NONE;
    for command in Commands::new(cx.bytes(batch)) {
        owners(&command, replicas).iter().for_each(|owner| {
            concerned.insert(owner);
        });
    }
    concerned
}

/// Tells clients what became of the transactions of a round on which all have voted, and whose outcome is
/// what the votes say.
pub fn reply<K, P: Protocol>(
    round: &Round<K>,
    replicas: usize,
    scratch: &mut Vec<u8>,
    cx: &mut impl Context<P>,
) {
    let mut votes = Votes::of(&round.answers, round.participants, cx);
    let mut command_at = 0;
    for _ in 0..round.batch.commands {
        let command = command_at_offset(cx.bytes(round.batch), command_at);
        command_at += command.encoded_bytes();
        let (session, sequence) = (command.session.0, command.sequence);
        if command.op != Op::Transact {
            let answer = votes.next(command.key, replicas, cx);
            let is_written = answer.status == Status::Ok
                && matches!(command.op, Op::Put | Op::Delete | Op::CompareAndSwap);
            let value = if is_written { Payload::EMPTY } else { answer.value };
            cx.reply(session, sequence, answer.status, answer.tag, value);
            continue;
        }
        scratch.clear();
        let status = answer_parts(&command, &mut votes, replicas, scratch, cx);
        let told = cx.store(scratch);
        cx.reply(session, sequence, status, Tag::ZERO, told);
        cx.release(told);
    }
}

/// Tells clients that nothing came of a round: they may ask again.
pub fn refuse<P: Protocol>(batch: Payload, cx: &mut impl Context<P>) {
    let mut command_at = 0;
    for _ in 0..batch.commands {
        let command = command_at_offset(cx.bytes(batch), command_at);
        command_at += command.encoded_bytes();
        let (session, sequence) = (command.session.0, command.sequence);
        cx.reply(session, sequence, Status::Busy, Tag::ZERO, Payload::EMPTY);
    }
}

/// A walk over all votes on a batch at once, part by part.
#[derive(Clone, Copy, Debug)]
struct Votes {
    answers: [Payload; REPLICAS_MAX],
    /// Where the next answer of each replica starts.
    at: [usize; REPLICAS_MAX],
}

impl Votes {
    /// Before the first part.
    fn of<P: Protocol>(
        answers: &[Payload; REPLICAS_MAX],
        participants: Replicas,
        cx: &impl Context<P>,
    ) -> Self {
        let mut at = [0; REPLICAS_MAX];
        for replica in participants.iter() {
            at[replica.index()] = outcome_at(cx.bytes(answers[replica.index()]), 0).end;
        }
        Self { answers: *answers, at }
    }

    /// The vote on the next part.
    fn next<P: Protocol>(&mut self, key: u64, replicas: usize, cx: &impl Context<P>) -> Answer {
        let owner = owner(key, replicas).index();
        let (answer, next) =
            Answer::read(cx.bytes(self.answers[owner]), self.answers[owner], self.at[owner]);
        self.at[owner] = next;
        answer
    }
}

/// What a client is told of a transaction: a status for all, and a reply for each part, whose sequence
/// is its place from 1. If a condition does not hold, there is only the reply of the first such part:
/// others may have been seen at another time, as no locks are held for a no.
fn answer_parts<P: Protocol>(
    command: &Command<'_>,
    votes: &mut Votes,
    replicas: usize,
    out: &mut Vec<u8>,
    cx: &impl Context<P>,
) -> Status {
    let mut outcome = Status::Ok;
    for (sequence, part) in (1..).zip(command.parts()) {
        let Answer { vote, status, tag, value, .. } = votes.next(part.key, replicas, cx);
        let fails = vote == Vote::No && part.op.is_conditional() && status != Status::Ok;
        let tells = outcome == Status::Ok && (vote == Vote::Yes || fails);
        if fails && outcome == Status::Ok {
            outcome = Status::Mismatch;
            out.clear();
        }
        if vote == Vote::Busy {
            outcome = Status::Busy;
        }
        if tells {
            let (version, value) = (tag.0, cx.bytes(value));
            let session_index = command.session.index();
            Reply { sequence, session_index, status, version, value }.encode(out);
        }
    }
    if outcome == Status::Busy {
        out.clear();
    }
    outcome
}
