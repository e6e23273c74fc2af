//! Transfers between accounts and audits of all of them, as clients draw them, and what must be true of
//! the money.
//!
//! The first transactions open the accounts: each gives the same to all of them at once. From then on
//! money only moves, so an audit finds the sum of some openings, or of none, and no balance is ever
//! below zero.

use std::collections::BTreeSet;

use synod_protocols::bytes::leading_u64;
use synod_protocols::command::{Command, Commands, Op, Replies, Reply, SessionId, Status};

use crate::history::Operation;
use crate::random::Random;

/// What an opening gives to each account, besides the number of its transaction.
const OPENING: u64 = 400;

/// Amounts are multiples of it by the number of their transaction, so that each is told from others.
const UNIT: u64 = 16;

/// The parts of a transaction: an opening, an audit, or a transfer from one account to one or two
/// others.
pub(crate) fn draw(number: u64, keys: u64, is_open: bool, random: &mut Random) -> Vec<u8> {
    let mut amounts: Vec<Option<i64>> = vec![None; usize::try_from(keys).expect("a few")];
    if !is_open {
        amounts.fill(Some((OPENING + number).cast_signed()));
    } else if random.percent(65) {
        let amount = (UNIT * number).cast_signed();
        let payer = random.below(keys);
        let first = random.between(1, keys - 1);
        let second = if random.percent(30) { random.between(1, keys - 1) } else { first };
        let mut paid = 0;
        for payee in BTreeSet::from([first, second]) {
            let payee = usize::try_from((payer + payee) % keys).expect("a few");
            amounts[payee] = Some(amount);
            paid += amount;
        }
        amounts[usize::try_from(payer).expect("a few")] = Some(-paid);
    }
    let is_audit = amounts.iter().all(Option::is_none);
    let mut parts = Vec::new();
    for (key, amount) in (0..).zip(amounts).filter(|(_, amount)| is_audit || amount.is_some()) {
        let value = amount.map(i64::to_le_bytes);
        let (op, value) = value.as_ref().map_or((Op::Get, &[][..]), |value| (Op::Add, &value[..]));
        Command { session: SessionId(1), sequence: 1, key, op, expected: 0, value }
            .encode(&mut parts);
    }
    parts
}

/// What accounts of a broken resource manager begin with, so that it takes every balance for enough.
pub(crate) const OVERDRAFT: [u8; 8] = (1_u64 << 40).to_le_bytes();

/// The answer to a transaction of accounts that began with [`OVERDRAFT`], as if they had begun with
/// nothing.
pub(crate) fn without_overdraft(replies: &[u8]) -> Vec<u8> {
    let mut without = Vec::new();
    for reply in Replies::new(replies) {
        let held = leading_u64(reply.value).wrapping_sub(leading_u64(&OVERDRAFT)).to_le_bytes();
        Reply { value: &held, ..reply }.encode(&mut without);
    }
    without
}

/// The amount that a part adds.
pub(crate) fn amount(part: &Command<'_>) -> i64 {
    leading_u64(part.value).cast_signed()
}

/// Explains what cannot be true of the money, if anything.
pub(crate) fn check(history: &[Operation]) -> Result<(), String> {
    let sums = opened(history);
    for operation in history.iter().filter(|operation| operation.op == Op::Transact) {
        let Some((_, outcome)) = &operation.ended else { continue };
        let mut sum = 0;
        for reply in Replies::new(&outcome.value) {
            let place = usize::try_from(reply.sequence - 1).expect("parts are few");
            let part = Commands::new(&operation.value).nth(place).expect("it was asked for");
            let balance = leading_u64(reply.value).cast_signed();
            sum += balance;
            if balance < 0 {
                return Err(format!("account {} fell below zero: {operation:?}", part.key));
            }
            if outcome.status == Status::Mismatch && balance + amount(&part) >= 0 {
                return Err(format!("it was refused although {balance} suffices: {operation:?}"));
            }
        }
        let is_audit = Commands::new(&operation.value).all(|part| part.op == Op::Get);
        let is_possible = usize::try_from(sum).is_ok_and(|sum| sums.get(sum) == Some(&true));
        if is_audit && !is_possible {
            return Err(format!("an audit saw {sum}, which no openings give: {operation:?}"));
        }
    }
    Ok(())
}

/// What all accounts together may hold: for each number, whether it is the sum of any openings.
fn opened(history: &[Operation]) -> Vec<bool> {
    let transactions = history.iter().filter(|operation| operation.op == Op::Transact);
    let given: Vec<usize> = transactions
        .map(|operation| Commands::new(&operation.value).map(|part| amount(&part)).sum::<i64>())
        .map(|given| usize::try_from(given).expect("transfers move what there is"))
        .filter(|&given| given > 0)
        .collect();
    let mut sums = vec![false; 1 + given.iter().sum::<usize>()];
    sums[0] = true;
    for given in given {
        for sum in (given..sums.len()).rev() {
            sums[sum] |= sums[sum - given];
        }
    }
    sums
}
