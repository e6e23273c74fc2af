//! Clients with one operation at a time each, and the history of what they saw.

use std::mem;

use synod_protocols::command::{Command, Commands, Op, SessionId, Status};
use synod_protocols::protocol::{Reads, Service};

use crate::bank;
use crate::history::Operation;
use crate::mutation::Mutation;
use crate::plan::Plan;
use crate::random::Random;
use crate::replica::Answer;
use crate::transactions;

/// One client. Its operations so far are in the history of [`Clients`].
#[derive(Debug)]
struct Client {
    session: SessionId,
    /// The sequence of the present operation.
    sequence: u64,
    /// Its place in the history; `None` between two operations.
    operation: Option<usize>,
    /// How often something was sent: a time-out of an older attempt is stale.
    attempt: u64,
    target: u64,
    /// How often the present operation timed out.
    repeats: u32,
    /// Whether the answer was that nothing was done: the operation is asked for again, after a while.
    refused: bool,
    /// The id of the value that it saw last, for compare-and-swap.
    seen: u64,
    /// The last version that it was told.
    told: u64,
    begun: usize,
}

#[derive(Debug)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    service: Service,
    reads: Reads,
    keys: u64,
    is_bank: bool,
    roaming: bool,
    /// Whether anything was done for sure: then the accounts of a bank are open.
    is_open: bool,
    quota: usize,
    mutation: Option<Mutation>,
    values: u64,
    pub(crate) history: Vec<Operation>,
}

/// What a client wants from the network.
#[derive(Debug)]
pub(crate) struct Send {
    pub(crate) target: u64,
    pub(crate) command: Vec<u8>,
    pub(crate) attempt: u64,
    pub(crate) repeats: u32,
}

impl Clients {
    pub(crate) fn new(plan: &Plan, service: Service, reads: Reads) -> Self {
        let client = |number: u32| Client {
            session: SessionId::new(number + 1, 0),
            sequence: 0,
            operation: None,
            attempt: 0,
            target: u64::from(number),
            repeats: 0,
            refused: false,
            seen: 0,
            told: 0,
            begun: 0,
        };
        Self {
            clients: (0..plan.clients).map(client).collect(),
            service,
            reads,
            keys: plan.keys,
            is_bank: plan.is_bank,
            roaming: plan.roaming,
            is_open: false,
            quota: plan.operations,
            mutation: plan.mutation,
            values: 0,
            history: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Grants every client so many operations more than it has begun.
    pub(crate) fn grant(&mut self, operations: usize) {
        self.quota = operations + self.clients.iter().map(|client| client.begun).max().unwrap_or(0);
    }

    pub(crate) fn done(&self) -> bool {
        self.clients.iter().all(|client| client.operation.is_none() && client.begun >= self.quota)
    }

    /// Begins the next operation of a client that has none, or does nothing when it is done.
    pub(crate) fn begin(&mut self, index: usize, now: u64, random: &mut Random) -> Option<Send> {
        if self.clients[index].operation.is_some() || self.clients[index].begun >= self.quota {
            return None;
        }
        let operation = self.draw(index, now, random);
        let is_get = operation.op == Op::Get;
        self.history.push(operation);
        let client = &mut self.clients[index];
        client.operation = Some(self.history.len() - 1);
        client.begun += 1;
        client.repeats = 0;
        client.refused = false;
        client.sequence += 1;
        if is_get && (self.roaming || matches!(self.reads, Reads::OfAny | Reads::Behind)) {
            client.target = random.below(16);
        }
        Some(self.send(index))
    }

    fn draw(&mut self, index: usize, invoked_at: u64, random: &mut Random) -> Operation {
        self.values += 1;
        let op = match self.service {
            Service::StateMachine if self.roaming && random.percent(80) => Op::Get,
            // Mostly reads, or every value would be overwritten before a second one sees it.
            Service::Registers => {
                random.pick(&[Op::Get, Op::Get, Op::Get, Op::Get, Op::Put, Op::Put, Op::Delete])
            }
            Service::Transactions if self.is_bank => Op::Transact,
            Service::Transactions if random.percent(60) => Op::Transact,
            Service::Transactions => {
                random.pick(&[Op::Get, Op::Put, Op::Delete, Op::CompareAndSwap])
            }
            Service::StateMachine => {
                random.pick(&[Op::Get, Op::Put, Op::Put, Op::Delete, Op::CompareAndSwap, Op::Add])
            }
        };
        // Sums have keys of their own: an id is no number to add to.
        let key = random.below(self.keys) + if op == Op::Add { 100 } else { 0 };
        let sums = self.service == Service::StateMachine;
        let key = if op == Op::Get && sums && random.percent(30) { key + 100 } else { key };
        let mut value = (self.values << 8).to_le_bytes().to_vec();
        match op {
            Op::Get => value.clear(),
            Op::Put | Op::CompareAndSwap => value.resize(8 + random.pick(&[0, 3, 40]), 7),
            Op::Delete | Op::Add => {}
            Op::Transact if self.is_bank => {
                value = bank::draw(self.values, self.keys, self.is_open, random);
            }
            Op::Transact => {
                let seen = self.clients[index].seen;
                value = transactions::draw(self.values, self.keys, seen, random);
            }
        }
        let key = match op {
            Op::Transact => Commands::new(&value).next().expect("it has parts").key,
            Op::Get | Op::Put | Op::Delete | Op::CompareAndSwap | Op::Add => key,
        };
        let expected = if op == Op::CompareAndSwap { self.clients[index].seen } else { 0 };
        let client = index;
        Operation { client, key, op, expected, value, invoked_at, version: 0, ended: None }
    }

    fn send(&mut self, index: usize) -> Send {
        let client = &mut self.clients[index];
        client.attempt += 1;
        let operation = &self.history[client.operation.expect("something is sent")];
        let tells = operation.op == Op::Get
            && self.reads == Reads::Behind
            && self.mutation != Some(Mutation::ForgetsVersions);
        let expected = if tells { client.told } else { operation.expected };
        let mut command = Vec::new();
        Command {
            session: client.session,
            sequence: client.sequence,
            key: operation.key,
            op: operation.op,
            expected,
            value: &operation.value,
        }
        .encode(&mut command);
        Send { target: client.target, command, attempt: client.attempt, repeats: client.repeats }
    }

    /// No answer came. A state machine may be asked again; a write to a register may not, so its
    /// outcome stays unknown and the client goes on with a new session.
    pub(crate) fn time_out(&mut self, index: usize, attempt: u64) -> Option<Send> {
        let client = &mut self.clients[index];
        if client.attempt != attempt {
            return None;
        }
        let is_refused = mem::take(&mut client.refused);
        client.target += 1;
        client.repeats += u32::from(!is_refused);
        let operation = &self.history[client.operation?];
        let repeats = is_refused
            || self.service == Service::StateMachine
            || operation.op == Op::Get
            || self.mutation == Some(Mutation::RepeatsWrites);
        if !repeats {
            client.operation = None;
            client.session = SessionId::new(client.session.client(), client.session.index() + 1);
            return None;
        }
        // The refusal of the last attempt may come again.
        if is_refused || self.mutation == Some(Mutation::RepeatsAsNew) {
            client.sequence += 1;
        }
        Some(self.send(index))
    }

    /// An answer came; returns what to send at once, if it says to ask another replica.
    pub(crate) fn answer(&mut self, answer: Answer, now: u64) -> Option<Send> {
        let index = usize::try_from(answer.session.client() - 1).expect("a few");
        let client = &mut self.clients[index];
        if answer.session != client.session || answer.sequence != client.sequence {
            return None;
        }
        let operation = &mut self.history[client.operation?];
        if answer.outcome.status == Status::Redirect {
            let &leader = answer.outcome.value.first()?;
            client.target = u64::from(leader);
            return Some(self.send(index));
        }
        if answer.outcome.status == Status::Busy {
            client.refused = true;
            return None;
        }
        // Of a transaction's answer the value of its first part.
        let value = answer.outcome.value.get(if operation.op == Op::Transact { 24.. } else { 0.. });
        if let Some(id) = value.and_then(|value| value.first_chunk()) {
            client.seen = u64::from_le_bytes(*id);
        }
        client.told = client.told.max(answer.tag.0);
        self.is_open |= answer.outcome.status == Status::Ok;
        operation.version = answer.tag.0;
        operation.ended = Some((now, answer.outcome));
        client.operation = None;
        client.attempt += 1;
        None
    }
}
