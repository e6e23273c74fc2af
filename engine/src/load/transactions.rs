//! What the transactions of clients touch: the parts of their requests, and of the answers.

use std::ops::Range;

use synod_protocols::command::{Command, Op, Replies, Status, validate_replies};
use synod_results::history::{Kind, Operation, Outcome};
use synod_workloads::{Bank, Concern, KeyGenerator, Keys, Load, Random, Transaction, fill, verify};

use super::clients::word;

/// What a transaction does to a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    #[default]
    Read,
    Replace,
    /// Adds to an account, or takes from it.
    Add(i64),
}

/// A key that a transaction touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Touched {
    key: u64,
    does: Does,
}

/// The transactions of all clients of a thread.
#[derive(Debug)]
pub(super) struct Transactions {
    shape: Transaction,
    keys: Keys,
    /// Amounts, and who pays whom.
    random: Random,
    /// The parts of each client's transaction, by key.
    touched: Vec<Touched>,
    /// How many these are.
    counts: Vec<u8>,
    value: Vec<u8>,
    request: Vec<u8>,
    /// What the one that ended last did.
    pub(super) parts: Vec<Operation>,
}

impl Transactions {
    /// Room for those of so many clients, if the load has any.
    pub(super) fn new(load: &Load, clients: u32, seed: u64) -> Self {
        let shape = load.transaction;
        let parts = if load.mix.transaction > 0.0 { per_client(shape) } else { 0 };
        // An amount is as long as the shortest value.
        let value_bytes = load.values.max_bytes() as usize;
        Self {
            shape,
            keys: load.keys,
            random: Random::new(seed, Concern::Transfers),
            touched: vec![Touched::default(); parts * clients as usize],
            counts: vec![0; clients as usize],
            value: vec![0; value_bytes],
            request: Vec::with_capacity(parts * (value_bytes + 64)),
            parts: Vec::with_capacity(parts),
        }
    }

    /// Values that each transaction writes.
    pub(super) fn values(&self) -> u32 {
        match self.shape {
            Transaction::ReadWrite { writes, .. } => writes.into(),
            Transaction::Transfer(_) => 0,
        }
    }

    /// What accounts are like, if keys are accounts.
    pub(super) fn bank(&self) -> Option<Bank> {
        match self.shape {
            Transaction::ReadWrite { .. } => None,
            Transaction::Transfer(bank) => Some(bank),
        }
    }

    /// Where the parts of a client's transaction lie.
    fn of(&self, client: u32) -> Range<usize> {
        let from = client as usize * per_client(self.shape);
        from..from + usize::from(self.counts[client as usize])
    }

    /// Draws a client's next transaction; returns its first key.
    pub(super) fn draw(&mut self, client: u32, keys: &mut KeyGenerator) -> u64 {
        let from = client as usize * per_client(self.shape);
        let touched = &mut self.touched[from..from + per_client(self.shape)];
        let count = match self.shape {
            Transaction::ReadWrite { reads, .. } => draw_keys(touched, reads, self.keys, keys),
            Transaction::Transfer(bank) => {
                let payer = keys.next();
                draw_transfer(touched, bank, payer, self.keys.first, &mut self.random)
            }
        };
        self.counts[client as usize] = u8::try_from(count).expect("parts are few");
        touched[..count].sort_unstable();
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
        for &Touched { key, does } in touched {
            let (op, value) = match does {
                Does::Read => (Op::Get, &[][..]),
                Does::Replace => {
                    let value = &mut self.value[..value_bytes];
                    fill(id, value);
                    id += 1;
                    (Op::Put, &*value)
                }
                Does::Add(amount) => {
                    self.value[..8].copy_from_slice(&amount.to_le_bytes());
                    (Op::Add, &self.value[..8])
                }
            };
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
        let is_bank = self.bank().is_some();
        let touched = &self.touched[self.of(client)];
        if validate_replies(answer) != Ok(touched.len()) {
            return false;
        }
        let mut id = first;
        for (&Touched { key, does }, reply) in touched.iter().zip(Replies::new(answer)) {
            let outcome = match reply.status {
                Status::Ok => Outcome::Ok,
                Status::Absent if does == Does::Read => Outcome::Absent,
                Status::Absent
                | Status::Mismatch
                | Status::Busy
                | Status::Redirect
                | Status::Expired => return false,
            };
            let is_value = does == Does::Read && outcome == Outcome::Ok && !is_bank;
            let found = if is_value { verify(reply.value) } else { word(reply.value) };
            let Some(found) = found else { return false };
            let part = Operation { key, version: reply.version, outcome, ..*whole };
            let kind = does.kind(is_bank, true);
            self.parts.push(match does {
                Does::Read => Operation { kind, observed: found, ..part },
                Does::Replace => Operation { kind, written: id, expected: found, ..part },
                Does::Add(amount) => {
                    Operation { kind, written: amount.cast_unsigned(), observed: found, ..part }
                }
            });
            id += u64::from(does == Does::Replace);
        }
        true
    }

    /// Takes in the answer that an account would fall below zero; false when it cannot be one.
    pub(super) fn refused(&mut self, client: u32, answer: &[u8], whole: &Operation) -> bool {
        self.parts.clear();
        if validate_replies(answer) != Ok(1) {
            return false;
        }
        let reply = Replies::new(answer).next().expect("it is one");
        let place = usize::try_from(reply.sequence - 1).unwrap_or(usize::MAX);
        let refused = self.touched[self.of(client)].get(place);
        let Some(&Touched { key, does: Does::Add(amount) }) = refused else { return false };
        let Some(observed) = word(reply.value) else { return false };
        let (kind, outcome, version) = (Kind::Transfer, Outcome::Mismatch, reply.version);
        let written = amount.cast_unsigned();
        self.parts.push(Operation { key, written, observed, version, kind, outcome, ..*whole });
        true
    }

    /// Nobody knows what became of it.
    pub(super) fn give_up(&mut self, client: u32, first: u64, whole: &Operation) {
        self.parts.clear();
        let is_bank = self.bank().is_some();
        let mut id = first;
        for &Touched { key, does } in &self.touched[self.of(client)] {
            let written = match does {
                Does::Read => 0,
                Does::Replace => id,
                Does::Add(amount) => amount.cast_unsigned(),
            };
            let kind = does.kind(is_bank, false);
            self.parts.push(Operation { key, kind, written, ..*whole });
            id += u64::from(does == Does::Replace);
        }
    }
}

impl Does {
    /// What it is in a history. Only an answer tells what a write replaced.
    const fn kind(self, is_bank: bool, is_answered: bool) -> Kind {
        match self {
            Self::Add(_) => Kind::Transfer,
            Self::Read if is_bank => Kind::Transfer,
            Self::Read => Kind::Get,
            Self::Replace if is_answered => Kind::CompareAndSwap,
            Self::Replace => Kind::Put,
        }
    }
}

/// Keys that each transaction touches at most.
fn per_client(shape: Transaction) -> usize {
    usize::try_from(shape.keys()).expect("a few")
}

/// Different keys, of which the first are read and the others written; returns how many.
fn draw_keys(touched: &mut [Touched], reads: u8, all: Keys, keys: &mut KeyGenerator) -> usize {
    for place in 0..touched.len() {
        let mut key = keys.next();
        while touched[..place].iter().any(|other| other.key == key) {
            key = all.first + (key + 1 - all.first) % all.count;
        }
        let does = if place < usize::from(reads) { Does::Read } else { Does::Replace };
        touched[place] = Touched { key, does };
    }
    touched.len()
}

/// An audit of all accounts of a bank, or a transfer from one of them to others that lie together;
/// returns how many it touches. The first bank begins at `first_key`.
fn draw_transfer(
    touched: &mut [Touched],
    bank: Bank,
    payer: u64,
    first_key: u64,
    random: &mut Random,
) -> usize {
    let accounts = u64::from(bank.accounts);
    let first = payer - (payer - first_key) % accounts;
    if random.unit() <= bank.audits {
        for (key, touched) in (first..).zip(touched.iter_mut()) {
            *touched = Touched { key, does: Does::Read };
        }
        return touched.len();
    }
    let payees = u64::from(bank.payees);
    let from = payer - first + random.below(accounts - payees);
    let mut paid = 0;
    for (place, touched) in (1..=payees).zip(&mut touched[1..]) {
        let amount = (1 + random.below(bank.amount.into())).cast_signed();
        *touched = Touched { key: first + (from + place) % accounts, does: Does::Add(amount) };
        paid += amount;
    }
    touched[0] = Touched { key: payer, does: Does::Add(-paid) };
    1 + usize::from(bank.payees)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_stay_in_a_bank_and_move_what_is_paid() {
        let bank = Bank { accounts: 5, payees: 3, balance: 30, amount: 10, audits: 0.2 };
        let random = &mut Random::new(1, Concern::Transfers);
        let mut audits = 0;
        for payer in (103..133).cycle().take(3_000) {
            let mut touched = [Touched::default(); 5];
            let count = draw_transfer(&mut touched, bank, payer, 103, random);
            let touched = &mut touched[..count];
            touched.sort_unstable();
            assert!(touched.windows(2).all(|pair| pair[0].key < pair[1].key), "{touched:?}");
            let in_bank = |it: &Touched| (it.key - 103) / 5 == (payer - 103) / 5;
            assert!(touched.iter().all(in_bank), "{payer}: {touched:?}");
            let amounts: Vec<i64> = touched
                .iter()
                .filter_map(|it| if let Does::Add(amount) = it.does { Some(amount) } else { None })
                .collect();
            assert_eq!(amounts.iter().sum::<i64>(), 0);
            assert!(amounts.is_empty() && count == 5 || amounts.len() == 4, "{touched:?}");
            assert!(amounts.iter().all(|&amount| amount != 0 && (-30..=10).contains(&amount)));
            audits += u32::from(amounts.is_empty());
        }
        assert!((400..800).contains(&audits), "{audits} of 3,000");
    }
}
