//! What the transactions of clients touch: the parts of their requests, and of the answers.

use std::ops::Range;

use synod_protocols::command::{Command, Op, Replies, Status, validate_replies};
use synod_results::history::{Kind, Operation, Outcome};
use synod_workloads::{KeyGenerator, Load, Transaction, fill, verify};

use super::clients::word;

/// A key that a transaction touches, and whether it replaces its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Touched {
    key: u64,
    writes: bool,
}

/// The transactions of all clients of a thread.
#[derive(Debug)]
pub(super) struct Transactions {
    shape: Transaction,
    keys: u64,
    /// The parts of each client's transaction, by key.
    touched: Vec<Touched>,
    value: Vec<u8>,
    request: Vec<u8>,
    /// What the one that ended last did.
    pub(super) parts: Vec<Operation>,
}

impl Transactions {
    /// Room for those of so many clients, if the load has any.
    pub(super) fn new(load: &Load, clients: u32) -> Self {
        let shape = load.transaction;
        let parts = if load.mix.transaction > 0.0 { per_client(shape) } else { 0 };
        let value_bytes = load.values.max_bytes() as usize;
        Self {
            shape,
            keys: load.keys.count,
            touched: vec![Touched::default(); parts * clients as usize],
            value: vec![0; value_bytes],
            request: Vec::with_capacity(parts * (value_bytes + 64)),
            parts: Vec::with_capacity(parts),
        }
    }

    /// Writes of each transaction.
    pub(super) fn writes(&self) -> u32 {
        self.shape.writes.into()
    }

    /// Where the parts of a client's transaction lie.
    fn of(&self, client: u32) -> Range<usize> {
        let parts = per_client(self.shape);
        client as usize * parts..(client as usize + 1) * parts
    }

    /// Draws the keys of a client's next transaction; returns the first.
    pub(super) fn draw(&mut self, client: u32, keys: &mut KeyGenerator) -> u64 {
        let of_client = self.of(client);
        let touched = &mut self.touched[of_client];
        for place in 0..touched.len() {
            let mut key = keys.next();
            while touched[..place].iter().any(|other| other.key == key) {
                key = (key + 1) % self.keys;
            }
            touched[place] = Touched { key, writes: place >= usize::from(self.shape.reads) };
        }
        touched.sort_unstable();
        touched[0].key
    }

    /// The parts of a client's request. Values have ids from `first` on, and all this size.
    pub(super) fn encode(
        &mut self,
        client: u32,
        whole: &Command<'_>,
        first: u64,
        value_bytes: usize,
    ) -> &[u8] {
        let touched = &self.touched[self.of(client)];
        self.request.clear();
        let mut id = first;
        for &Touched { key, writes } in touched {
            let value = &mut self.value[..if writes { value_bytes } else { 0 }];
            if writes {
                fill(id, value);
                id += 1;
            }
            let op = if writes { Op::Put } else { Op::Get };
            Command { key, op, value, ..*whole }.encode(&mut self.request);
        }
        &self.request
    }

    /// Takes in the answer; false when it cannot be one. What `whole` says holds for each part.
    pub(super) fn complete(
        &mut self,
        client: u32,
        answer: &[u8],
        first: u64,
        whole: &Operation,
    ) -> bool {
        self.parts.clear();
        let touched = &self.touched[self.of(client)];
        if validate_replies(answer) != Ok(touched.len()) {
            return false;
        }
        let mut id = first;
        for (&Touched { key, writes }, reply) in touched.iter().zip(Replies::new(answer)) {
            let (outcome, found) = match reply.status {
                Status::Ok if writes => (Outcome::Ok, word(reply.value)),
                Status::Ok => (Outcome::Ok, verify(reply.value)),
                Status::Absent if !writes => (Outcome::Absent, word(reply.value)),
                Status::Absent
                | Status::Mismatch
                | Status::Busy
                | Status::Redirect
                | Status::Expired => return false,
            };
            let Some(found) = found else { return false };
            let part = Operation { key, version: reply.version, outcome, ..*whole };
            self.parts.push(if writes {
                let kind = Kind::CompareAndSwap;
                Operation { kind, written: id, expected: found, ..part }
            } else {
                Operation { kind: Kind::Get, observed: found, ..part }
            });
            id += u64::from(writes);
        }
        true
    }

    /// Nobody knows what became of it.
    pub(super) fn give_up(&mut self, client: u32, first: u64, whole: &Operation) {
        self.parts.clear();
        let mut id = first;
        for &Touched { key, writes } in &self.touched[self.of(client)] {
            let (kind, written) = if writes { (Kind::Put, id) } else { (Kind::Get, 0) };
            self.parts.push(Operation { key, kind, written, ..*whole });
            id += u64::from(writes);
        }
    }
}

/// Keys that each transaction touches.
fn per_client(shape: Transaction) -> usize {
    usize::from(shape.reads) + usize::from(shape.writes)
}
