//! A resource manager: it executes its parts of transactions under locks, votes, and keeps what is
//! prepared until it hears the outcome.
//!
//! It votes no where a condition does not hold. One of them needs no word of the client: nothing may
//! be added to a number that would leave it below zero, so that a transfer of money from an account that
//! does not hold so much is not carried out at all.
//!
//! Its record of an outcome is not forced (presumed abort: Mohan, Lindsay and Obermarck 1986, section
//! 3): it goes to the log with the next record that is, and only then are others told, beside that vote,
//! that they may forget. A manager that restarts without the record is in doubt, and asks.

use alloc::vec::Vec;

use super::items::{Answer, Vote, commits, outcome_at, push_outcome, set_commits};
use super::locks::Locks;
use super::{Record, owner};
use crate::bytes::{leading_u64, round_up, u64_at};
use crate::command::{Command, Commands, Op, Status};
use crate::protocol::{Config, Context, Doubt, Protocol, Register};
use crate::registers::items::Entry;
use crate::types::{Payload, REPLICAS_MAX, ReplicaId, Tag, Time};

/// A round that this manager has voted yes to, at least for one transaction.
#[derive(Clone, Copy, Debug)]
struct Prepared {
    coordinator: ReplicaId,
    round: u64,
    /// The keys that are locked, and what is to be written.
    entries: Payload,
    /// The locks, counted.
    locks: usize,
    /// What the coordinator was told. After a restart it is empty.
    answer: Payload,
    /// When the coordinator was told, or asked for the outcome.
    at: Time,
    /// Since when the outcome is missed: from the vote, or from the first question after a restart.
    since: Option<Time>,
}

/// One replica's resource manager.
#[derive(Debug)]
pub struct Manager {
    id: ReplicaId,
    replicas: usize,
    retry_ns: u64,
    locks: Locks,
    prepared: Vec<Prepared>,
    doubt: Doubt,
    /// When an outcome may be overdue.
    ask_at: Time,
    /// The latest round of each coordinator that this manager has heard of.
    heard: [u64; REPLICAS_MAX],
    /// Outcomes that are not in the log yet.
    outcomes: Vec<u8>,
    /// For each coordinator the first round whose outcome is not in the log, if it will ever be needed.
    finished_before: [u64; REPLICAS_MAX],
    /// The transactions of a batch that may commit as far as this manager is concerned.
    yes: Vec<u8>,
    answers: Vec<u8>,
    entries: Vec<u8>,
}

/// Room for what one round says of a batch, from the start.
const SCRATCH_BYTES: usize = 64 << 10;

impl Manager {
    /// One that remembers nothing. An outcome is overdue after `retry_ns`, and again.
    #[must_use]
    pub fn new(config: &Config, retry_ns: u64) -> Self {
        let rounds_max = config.replicas * config.window;
        Self {
            id: config.id,
            replicas: config.replicas,
            retry_ns,
            locks: Locks::default(),
            prepared: Vec::with_capacity(rounds_max),
            doubt: Doubt::default(),
            ask_at: Time::NEVER,
            heard: [0; REPLICAS_MAX],
            outcomes: Vec::with_capacity(SCRATCH_BYTES),
            finished_before: [0; REPLICAS_MAX],
            yes: Vec::with_capacity(SCRATCH_BYTES / 64),
            answers: Vec::with_capacity(SCRATCH_BYTES),
            entries: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    /// Takes in a record of a resource manager's earlier life.
    pub fn replay<P: Protocol, C: Context<P>>(
        &mut self,
        record: Record,
        payload: Payload,
        cx: &mut C,
    ) {
        match record {
            Record::Prepared { coordinator, round } => {
                // After a checkpoint whose snapshot was never finished, rounds come twice.
                if self.place_of(coordinator, round).is_none() {
                    cx.retain(payload);
                    let (entries, answer) = (payload, Payload::EMPTY);
                    let (locks, at, since) = (self.lock_again(entries, cx), Time(0), None);
                    self.keep(Prepared { coordinator, round, entries, locks, answer, at, since });
                }
                self.note_heard(coordinator, round);
            }
            Record::Finished {} => {
                let mut at = 0;
                while at < payload.bytes as usize {
                    let bytes = cx.bytes(payload);
                    let coordinator = u8::try_from(u64_at(bytes, at)).expect("as it was written");
                    let round = u64_at(bytes, at + 8);
                    let outcome = outcome_at(bytes, at + 16);
                    let (next, outcome) = (outcome.end, payload.part(outcome.start, outcome.len()));
                    self.finish(ReplicaId(coordinator), round, outcome, cx);
                    at = next;
                }
                // It is in the log.
                self.outcomes.clear();
            }
            Record::Heard { coordinator, round } => self.note_heard(coordinator, round),
            Record::Life { .. }
            | Record::Committed { .. }
            | Record::Ended {}
            | Record::Promised { .. }
            | Record::Accepted { .. } => unreachable!("no resource manager wrote it"),
        }
    }

    /// This manager votes on no round of a coordinator up to this one any more: on one of which it may
    /// have been asked before, only the first vote counts.
    fn note_heard(&mut self, coordinator: ReplicaId, round: u64) {
        let heard = &mut self.heard[coordinator.index()];
        *heard = round.max(*heard);
    }

    /// Whether this manager votes on no such round any more.
    #[must_use]
    pub const fn has_heard(&self, coordinator: ReplicaId, round: u64) -> bool {
        round <= self.heard[coordinator.index()]
    }

    /// Never votes on this round, and none before it, if it has not yet.
    pub fn renounce<P, C>(&mut self, coordinator: ReplicaId, round: u64, cx: &mut C)
    where
        P: Protocol<Record = Record>,
        C: Context<P>,
    {
        self.note_heard(coordinator, round);
        cx.append(Record::Heard { coordinator, round }, Payload::EMPTY);
    }

    /// Executes this manager's parts of a batch, as far as their keys are not locked, and returns its
    /// vote: held until what was appended is durable. The caller releases it. It is empty if the round
    /// is old: what was said of it in an earlier life is not known any more.
    pub fn prepare<P, C>(
        &mut self,
        coordinator: ReplicaId,
        round: u64,
        batch: Payload,
        cx: &mut C,
    ) -> Payload
    where
        P: Protocol<Record = Record>,
        C: Context<P>,
    {
        if self.has_heard(coordinator, round) {
            let known = self.place_of(coordinator, round).map(|place| self.prepared[place].answer);
            let answer = known.unwrap_or(Payload::EMPTY);
            cx.retain(answer);
            return answer;
        }
        self.answers.clear();
        self.entries.clear();
        self.yes.clear();
        self.yes.resize(round_up(batch.commands as usize, 64) / 8, 0);
        let mut locks = 0;
        for (place, command) in (0..).zip(Commands::new(cx.bytes(batch))) {
            locks += self.execute(place, &command, cx);
        }
        if self.entries.is_empty() {
            self.note_heard(coordinator, round);
            return self.answer(cx);
        }
        self.log_outcomes(cx);
        self.note_heard(coordinator, round);
        let entries = cx.store(&self.entries);
        cx.append(Record::Prepared { coordinator, round }, entries);
        let answer = self.answer(cx);
        cx.retain(answer);
        let (at, since) = (cx.now(), Some(cx.now()));
        self.keep(Prepared { coordinator, round, entries, locks, answer, at, since });
        answer
    }

    /// The vote on a batch: what may commit, and the answers.
    fn answer<P: Protocol>(&mut self, cx: &mut impl Context<P>) -> Payload {
        self.entries.clear();
        push_outcome(&self.yes, &mut self.entries);
        self.entries.extend_from_slice(&self.answers);
        cx.store(&self.entries)
    }

    /// Answers the parts of one command that are this manager's, and notes what a yes means. Returns
    /// how many keys are locked for it.
    fn execute<P: Protocol>(
        &mut self,
        place: u32,
        command: &Command<'_>,
        cx: &impl Context<P>,
    ) -> usize {
        let mut locks = 0;
        let (id, replicas) = (self.id, self.replicas);
        let mine = || command.parts().filter(move |part| owner(part.key, replicas) == id);
        let vote = self.lock(mine(), cx);
        if vote == Vote::Yes {
            set_commits(&mut self.yes, place as usize);
        }
        for part in mine() {
            let register = cx.register(part.key);
            let effect = Effect::of(&part, &register);
            let tag = match effect.write {
                Write::Nothing => register.tag,
                Write::Value(_) | Write::Tombstone(_) | Write::Sum(_) => {
                    Tag::new(register.tag.timestamp() + 1, 0, id)
                }
            };
            let status = if vote == Vote::Busy { Status::Busy } else { effect.status };
            let told = if vote == Vote::Busy { &[] } else { effect.told() };
            let value = Payload::EMPTY;
            Answer { vote, status, tag, value }.push(told, &mut self.answers);
            if vote == Vote::Yes {
                let (tag, deleted, value) = match &effect.write {
                    Write::Nothing => (Tag::ZERO, true, &[][..]),
                    Write::Value(value) => (tag, false, *value),
                    Write::Tombstone(id) => (tag, true, *id),
                    Write::Sum(sum) => (tag, false, &sum[..]),
                };
                let written = Register { tag, deleted, value };
                Entry::push(part.key, place, &written, &mut self.entries);
                locks += 1;
            }
        }
        locks
    }

    /// Locks the keys of all these parts, or of none; yes only if all their conditions hold.
    fn lock<'a, P: Protocol>(
        &mut self,
        parts: impl Iterator<Item = Command<'a>> + Clone,
        cx: &impl Context<P>,
    ) -> Vote {
        let mut locked = 0;
        let mut vote = Vote::Yes;
        for part in parts.clone() {
            if !self.locks.lock(part.key, part.op != Op::Get) {
                vote = Vote::Busy;
                break;
            }
            locked += 1;
            if part.op.is_conditional() && !Effect::of(&part, &cx.register(part.key)).holds {
                vote = Vote::No;
            }
        }
        if vote != Vote::Yes {
            parts.take(locked).for_each(|part| self.locks.unlock(part.key));
        }
        vote
    }

    /// Locks what an earlier life had locked; returns how many keys those are.
    fn lock_again<P: Protocol>(&mut self, entries: Payload, cx: &impl Context<P>) -> usize {
        let (mut locks, mut entry_at) = (0, 0);
        while entry_at < entries.bytes as usize {
            let (entry, next) = Entry::read(cx.bytes(entries), entries, entry_at);
            let is_locked = self.locks.lock(entry.key, entry.tag != Tag::ZERO);
            assert!(is_locked, "two transactions were prepared for key {}", entry.key);
            entry_at = next;
            locks += 1;
        }
        locks
    }

    fn keep(&mut self, prepared: Prepared) {
        self.ask_at = self.ask_at.min(prepared.at + self.retry_ns);
        self.prepared.push(prepared);
    }

    fn place_of(&self, coordinator: ReplicaId, round: u64) -> Option<usize> {
        let is_it = |it: &Prepared| it.round == round && it.coordinator == coordinator;
        self.prepared.iter().position(is_it)
    }

    /// Whether this manager has voted yes to a round and does not know its outcome.
    #[must_use]
    pub fn is_prepared(&self, coordinator: ReplicaId, round: u64) -> bool {
        self.place_of(coordinator, round).is_some()
    }

    /// What became of a round's transactions. False when it was known, or nothing was prepared.
    pub fn finish<P: Protocol, C: Context<P>>(
        &mut self,
        coordinator: ReplicaId,
        round: u64,
        outcome: Payload,
        cx: &mut C,
    ) -> bool {
        let Some(place) = self.place_of(coordinator, round) else { return false };
        let Prepared { entries, answer, since, .. } = self.prepared.swap_remove(place);
        if let Some(since) = since {
            let doubt_ns = cx.now().since(since);
            self.doubt.ended += 1;
            self.doubt.total_ns += doubt_ns;
            self.doubt.longest_ns = self.doubt.longest_ns.max(doubt_ns);
        }
        let mut entry_at = 0;
        while entry_at < entries.bytes as usize {
            let (entry, next) = Entry::read(cx.bytes(entries), entries, entry_at);
            entry_at = next;
            if commits(cx.bytes(outcome), entry.index as usize) && entry.tag != Tag::ZERO {
                cx.write_register(entry.key, entry.tag, entry.value.deleted, entry.value.bytes);
            }
            self.locks.unlock(entry.key);
        }
        self.outcomes.extend_from_slice(&u64::from(coordinator.0).to_le_bytes());
        self.outcomes.extend_from_slice(&round.to_le_bytes());
        push_outcome(cx.bytes(outcome), &mut self.outcomes);
        cx.release(entries);
        cx.release(answer);
        true
    }

    /// Appends the outcomes that were heard since the last record.
    pub fn log_outcomes<P, C>(&mut self, cx: &mut C)
    where
        P: Protocol<Record = Record>,
        C: Context<P>,
    {
        self.finished_before = self.heard.map(|round| round + 1);
        for it in &self.prepared {
            let before = &mut self.finished_before[it.coordinator.index()];
            *before = it.round.min(*before);
        }
        if self.outcomes.is_empty() {
            return;
        }
        let outcomes = cx.store(&self.outcomes);
        self.outcomes.clear();
        cx.append(Record::Finished {}, outcomes);
        cx.release(outcomes);
    }

    /// This manager never votes on a round of a coordinator before this one, and has the outcomes of
    /// those that it has voted for: durably, once the log is as it is now.
    #[must_use]
    pub const fn finished_before(&self, coordinator: ReplicaId) -> u64 {
        self.finished_before[coordinator.index()]
    }

    /// The next round whose outcome is overdue, with its coordinator: each once, and again after a while.
    pub fn overdue(&mut self, now: Time) -> Option<(ReplicaId, u64)> {
        if now < self.ask_at {
            return None;
        }
        if let Some(it) = self.prepared.iter_mut().find(|it| now.since(it.at) >= self.retry_ns) {
            it.at = now;
            it.since = it.since.or(Some(now));
            return Some((it.coordinator, it.round));
        }
        let next = self.prepared.iter().map(|it| it.at + self.retry_ns).min();
        self.ask_at = next.unwrap_or(Time::NEVER);
        None
    }

    /// When an outcome may be overdue.
    #[must_use]
    pub const fn deadline(&self) -> Time {
        self.ask_at
    }

    /// Rounds whose outcome is, or was, not known.
    #[must_use]
    pub const fn doubt(&self) -> Doubt {
        Doubt { open: self.prepared.len(), ..self.doubt }
    }

    /// Appends again what earlier records say.
    pub fn checkpoint<P, C>(&mut self, cx: &mut C)
    where
        P: Protocol<Record = Record>,
        C: Context<P>,
    {
        self.log_outcomes(cx);
        for (coordinator, &round) in (0..).map(ReplicaId).zip(&self.heard[..self.replicas]) {
            cx.append(Record::Heard { coordinator, round }, Payload::EMPTY);
        }
        for &Prepared { coordinator, round, entries, .. } in &self.prepared {
            cx.append(Record::Prepared { coordinator, round }, entries);
        }
    }

    /// Asserts that what is counted is so.
    pub fn check(&self) {
        let locks: usize = self.prepared.iter().map(|it| it.locks).sum();
        assert!(self.locks.keys() <= locks, "every lock belongs to what is prepared");
        assert!(self.prepared.is_empty() == (self.locks.keys() == 0));
    }
}

/// What a part writes.
enum Write<'a> {
    Nothing,
    Value(&'a [u8]),
    Tombstone(&'a [u8]),
    Sum([u8; 8]),
}

/// What a part does to a register.
struct Effect<'a> {
    /// Whether its condition holds, if it has one.
    holds: bool,
    status: Status,
    write: Write<'a>,
    /// What was there.
    seen: &'a [u8],
}

impl<'a> Effect<'a> {
    fn of(part: &Command<'a>, register: &Register<'a>) -> Self {
        let whole = register.value;
        // The identity of what is there.
        let seen = &whole[..whole.len().min(8)];
        let found = if register.deleted { Status::Absent } else { Status::Ok };
        let done = |write| Self { holds: true, status: Status::Ok, write, seen };
        let failed = || {
            let status = if register.deleted { Status::Absent } else { Status::Mismatch };
            Self { holds: false, status, write: Write::Nothing, seen }
        };
        match part.op {
            Op::Get => Self { holds: true, status: found, write: Write::Nothing, seen: whole },
            Op::Put => done(Write::Value(part.value)),
            Op::Delete => done(Write::Tombstone(part.value)),
            Op::CompareAndSwap if leading_u64(seen) == part.expected => {
                done(Write::Value(part.value))
            }
            Op::CompareAndSwap => failed(),
            Op::Add => {
                let before = match (register.deleted, whole.len()) {
                    (true, _) => 0,
                    (false, 8) => u64_at(whole, 0).cast_signed(),
                    (false, _) => return failed(),
                };
                match before.checked_add(u64_at(part.value, 0).cast_signed()) {
                    Some(sum @ 0..) => done(Write::Sum(sum.to_le_bytes())),
                    Some(_) | None => failed(),
                }
            }
            Op::Transact => unreachable!("transactions do not nest"),
        }
    }

    /// What the coordinator is told.
    fn told(&self) -> &[u8] {
        match &self.write {
            Write::Sum(sum) => sum,
            Write::Nothing | Write::Value(_) | Write::Tombstone(_) => self.seen,
        }
    }
}
