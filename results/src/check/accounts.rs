//! Whether a history of transfers between accounts can be true, as transactions that are strictly
//! serializable and as money that is neither made nor lost.
//!
//! An audit reads several accounts at once, and transfers move money between those, so whatever an
//! audit saw adds up to what its accounts were opened with. No balance is below zero, and a transfer is
//! refused only if one would be.
//!
//! Each answer tells what an account holds after the transfer, and so what it held before: less the
//! amount. In the order of versions each must begin with what the one before left. Where it does not,
//! transfers that were never answered must come to the difference; if only one can be among them its
//! place is known. From there on the order is judged as that of all
//! [`transactions`](super::transactions). Among several that were never answered some places are left
//! open. Nothing right is called wrong by that.

use std::collections::{BTreeMap, BTreeSet};

use super::explain::{Rule, Violation};
use super::transactions::{Graph, Part, Span, number, violation};
use super::{Broken, Finding};
use crate::history::{Kind, Operation, Outcome};

/// What was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) transactions: u64,
    /// Those that saw the sum of their accounts.
    pub(super) audits: u64,
    pub(super) accounts: u64,
}

/// Judges a history that has nothing but the parts of transfers and audits, and the transfers of one
/// part that open accounts.
pub(super) fn judge(operations: &[Operation], broken: Broken) -> Result<Judged, Finding> {
    let answered = operations.iter().filter(|operation| is_answered(operation));
    for operation in answered {
        balance(operation, broken)?;
    }
    let mut parts: Vec<Part> = operations.iter().map(|&operation| Part::new(operation)).collect();
    let transactions = number(&mut parts);
    let audits = audit(&parts, broken)?;
    let accounts = order(parts, &transactions, broken)?;
    Ok(Judged { transactions: transactions.len() as u64, audits, accounts })
}

const fn is_answered(operation: &Operation) -> bool {
    !matches!(operation.outcome, Outcome::Unknown | Outcome::Refused)
}

/// What an account held after an operation.
const fn after(operation: &Operation) -> i64 {
    operation.observed.cast_signed()
}

/// What it added.
const fn amount(operation: &Operation) -> i64 {
    operation.written.cast_signed()
}

/// What an account held before an operation that was answered.
fn before(part: &Part) -> i64 {
    let held = after(&part.operation);
    if part.writes() { held.wrapping_sub(amount(&part.operation)) } else { held }
}

fn undecidable(reason: &str) -> Finding {
    Finding::Undecidable(reason.to_owned())
}

fn broken_rule(rule: Rule, operations: Vec<Operation>, sentence: String) -> Finding {
    Finding::Violation(Box::new(Violation::saying(rule, operations, sentence)))
}

/// What one answer says of its account can be true.
fn balance(operation: &Operation, broken: Broken) -> Result<(), Finding> {
    let Operation { key, session, kind, outcome, .. } = *operation;
    let _only_mutants_look_at_it = broken;
    if kind != Kind::Transfer {
        return Err(undecidable("transfers stand beside other operations, which may move money"));
    }
    let held = after(operation);
    let before = held.wrapping_sub(if outcome == Outcome::Ok { amount(operation) } else { 0 });
    let is_negative = held.min(before) < 0;
    #[cfg(test)]
    let is_negative = is_negative && !broken.is(super::tests::Mutant::BalancesMayBeNegative);
    if is_negative {
        let held = held.min(before);
        let sentence = format!("account {key} held {held}, less than nothing");
        return Err(broken_rule(Rule::BelowZero, vec![*operation], sentence));
    }
    let suffices = held.checked_add(amount(operation)).is_some_and(|left| left >= 0);
    let is_wrong = outcome == Outcome::Mismatch && suffices;
    #[cfg(test)]
    let is_wrong = is_wrong && !broken.is(super::tests::Mutant::RefusalsNeedNoReason);
    if is_wrong {
        let sentence = format!(
            "a transfer of session {session} was refused, which adds {} to account {key}, and that \
             held {held}",
            amount(operation)
        );
        return Err(broken_rule(Rule::RefusedDespiteFunds, vec![*operation], sentence));
    }
    Ok(())
}

/// Sums that are kept apart; with more, nothing is said.
const SUMS_MAX: usize = 1 << 12;

/// Sums that are shown where several would be right.
const SHOWN_MAX: usize = 4;

/// All sums of some of these amounts; `None` if they are too many.
fn sums(amounts: impl Iterator<Item = i64>) -> Option<BTreeSet<i64>> {
    let mut sums = BTreeSet::from([0]);
    for amount in amounts {
        let more: Vec<i64> = sums.iter().map(|sum: &i64| sum.wrapping_add(amount)).collect();
        sums.extend(more);
        if sums.len() > SUMS_MAX {
            return None;
        }
    }
    Some(sums)
}

/// Sums up what each audit saw; returns how many there are. The parts are in the order of their
/// transactions.
fn audit(parts: &[Part], broken: Broken) -> Result<u64, Finding> {
    let of_transactions = || parts.chunk_by(|one, other| one.transaction == other.transaction);
    let is_audit = |of_it: &&[Part]| {
        let reads = |part: &Part| part.operation.written == 0 && is_answered(&part.operation);
        of_it.len() > 1 && of_it.iter().all(reads)
    };
    let mut openings: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for alone in of_transactions().filter(|of_it| of_it.len() == 1 && of_it[0].writes()) {
        openings.entry(alone[0].operation.key).or_default().push(alone[0].operation);
    }
    let banks = Banks::of(of_transactions().filter(is_audit))?;
    of_transactions().try_for_each(|of_it| banks.hold_together(of_it))?;
    let mut audits = 0;
    for of_it in of_transactions().filter(is_audit) {
        audits += 1;
        let saw = of_it.iter().fold(0_i64, |sum, part| sum.wrapping_add(after(&part.operation)));
        let first = &of_it[0].operation;
        let of_keys = of_it.iter().filter_map(|part| openings.get(&part.operation.key)).flatten();
        // What was opened before it began is there; the rest may be.
        let (sure, rest): (Vec<&Operation>, Vec<_>) = of_keys
            .filter(|opening| opening.start_ns <= first.end_ns)
            .partition(|it| it.outcome == Outcome::Ok && it.end_ns < first.start_ns);
        let sure = sure.iter().fold(0_i64, |sum, opening| sum.wrapping_add(amount(opening)));
        let Some(more) = sums(rest.iter().map(|opening| amount(opening))) else { continue };
        let is_right = more.contains(&saw.wrapping_sub(sure));
        #[cfg(test)]
        let is_right = is_right || broken.is(super::tests::Mutant::AuditsAreNotSummedUp);
        if !is_right {
            return Err(wrong_sum(of_it, saw, more.iter().map(|more| sure.wrapping_add(*more))));
        }
    }
    let _only_mutants_look_at_it = broken;
    Ok(audits)
}

fn wrong_sum(of_it: &[Part], saw: i64, right: impl Iterator<Item = i64>) -> Finding {
    let operations: Vec<Operation> = of_it.iter().map(|part| part.operation).collect();
    let Operation { session, start_ns, key: first, .. } = operations[0];
    let last = operations[operations.len() - 1].key;
    let right: Vec<String> = right.take(SHOWN_MAX).map(|sum| sum.to_string()).collect();
    let sentence = format!(
        "the audit of session {session} at {start_ns} ns found {saw} in its {} accounts ({first} to {last}) \
         together, which were opened with {}",
        operations.len(),
        right.join(" or ")
    );
    broken_rule(Rule::AuditSum, operations, sentence)
}

/// Accounts that are audited together: for each of them the first, and for each first how many.
#[derive(Default)]
struct Banks {
    first_of: BTreeMap<u64, u64>,
    accounts: BTreeMap<u64, usize>,
}

impl Banks {
    fn of<'a>(audits: impl Iterator<Item = &'a [Part]>) -> Result<Self, Finding> {
        let mut banks = Self::default();
        for of_it in audits {
            let first = of_it[0].operation.key;
            let is_alike = *banks.accounts.entry(first).or_insert(of_it.len()) == of_it.len()
                && of_it.iter().all(|part| {
                    *banks.first_of.entry(part.operation.key).or_insert(first) == first
                });
            if !is_alike {
                return Err(undecidable("audits are of some of the same accounts, but not of all"));
            }
        }
        Ok(banks)
    }

    /// Money must not leave what is audited together.
    fn hold_together(&self, of_it: &[Part]) -> Result<(), Finding> {
        let mut banks = of_it.iter().map(|part| self.first_of.get(&part.operation.key));
        let first = banks.next().expect("a transaction has parts");
        if banks.all(|bank| bank == first) {
            return Ok(());
        }
        Err(undecidable("money moves between accounts that are not audited together"))
    }
}

/// Whether there is one order of all transactions, whose parts are numbered; returns how many accounts
/// there are.
pub(super) fn order(
    mut parts: Vec<Part>,
    transactions: &[Span],
    broken: Broken,
) -> Result<u64, Finding> {
    if parts.iter().any(|part| part.happened && part.writes() && part.version == 0) {
        return Err(undecidable("transfers have no version, so their order is not known"));
    }
    let by_place = |part: &Part| (part.operation.key, part.version, part.rank());
    let mut open = BTreeSet::new();
    let mut accounts = 0;
    parts.sort_unstable_by_key(by_place);
    for of_key in parts.chunk_by_mut(|one, other| one.operation.key == other.operation.key) {
        accounts += 1;
        let is_open = follow(of_key, broken)?;
        let left = of_key.iter().filter(|part| part.writes() && part.version == u64::MAX);
        if is_open || left.clone().count() > 1 {
            // Between what was seen they may have cancelled each other out.
            open.extend(left.map(|part| (part.operation.key, part.transaction)));
        }
    }
    let happened: BTreeSet<usize> =
        parts.iter().filter(|part| part.happened).map(|part| part.transaction).collect();
    parts.iter_mut().for_each(|part| part.happened = happened.contains(&part.transaction));
    parts.sort_unstable_by_key(by_place);
    let mut graph = Graph::new(transactions.len(), broken);
    graph.add_time(transactions);
    for of_key in parts.chunk_by(|one, other| one.operation.key == other.operation.key) {
        let is_placed = |part: &&Part| !open.contains(&(part.operation.key, part.transaction));
        graph.add_key(&of_key.iter().filter(is_placed).copied().collect::<Vec<_>>());
    }
    match graph.circle() {
        None => Ok(accounts),
        Some(circle) => Err(Finding::Violation(Box::new(violation(&parts, &circle)))),
    }
}

/// Follows what an account held, by version, and gives unanswered transfers their place where only one
/// fits. Returns whether some were seen whose place is not known.
fn follow(parts: &mut [Part], broken: Broken) -> Result<bool, Finding> {
    let seen = parts.partition_point(|part| part.version < u64::MAX);
    let (seen, unseen) = parts.split_at_mut(seen);
    let (mut held, mut is_open, mut last) = (0, false, None::<&Part>);
    for part in seen.iter() {
        let is_next = last.is_none_or(|last| last.version < part.version);
        if !is_next && part.writes() {
            let shown = last.into_iter().chain([part]).map(|part| part.operation).collect();
            return Err(Finding::Violation(Box::new(Violation::new(Rule::PlaceShared, shown))));
        }
        let missing = before(part).wrapping_sub(held);
        #[cfg(test)]
        let missing = if broken.is(super::tests::Mutant::BalancesMayJump) { 0 } else { missing };
        if missing != 0 {
            let may_fill = is_next && part.version > 0;
            let filled = if may_fill { fill(missing, part, unseen) } else { Filled::Never };
            match filled {
                Filled::Never => return Err(unexplained(last, part, held)),
                Filled::By(place) => {
                    (unseen[place].version, unseen[place].happened) = (part.version, true);
                }
                Filled::Somehow => is_open = true,
            }
        }
        held = after(&part.operation);
        last = Some(part);
    }
    let _only_mutants_look_at_it = broken;
    Ok(is_open)
}

/// What transfers that were never answered may have done.
enum Filled {
    /// They do not come to the difference.
    Never,
    /// This one did it, alone or not.
    By(usize),
    /// Nobody knows which.
    Somehow,
}

/// Which of the transfers without an answer, and without a place, explain a difference before a part.
fn fill(missing: i64, part: &Part, unseen: &[Part]) -> Filled {
    let may_be = |it: &Part| {
        it.writes() && it.version == u64::MAX && it.operation.start_ns <= part.operation.end_ns
    };
    let amounts: Vec<(usize, i64)> = (0..)
        .zip(unseen)
        .filter(|(_, it)| may_be(it))
        .map(|(place, it)| (place, amount(&it.operation)))
        .collect();
    let comes_to = |without: usize| {
        let others = amounts.iter().filter(|(place, _)| *place != without);
        sums(others.map(|&(_, amount)| amount)).is_none_or(|sums| sums.contains(&missing))
    };
    if !comes_to(usize::MAX) {
        return Filled::Never;
    }
    let is_needed = |&&(place, amount): &&(usize, i64)| amount == missing && !comes_to(place);
    amounts.iter().find(is_needed).map_or(Filled::Somehow, |&(place, _)| Filled::By(place))
}

fn unexplained(last: Option<&Part>, part: &Part, held: i64) -> Finding {
    let Operation { key, session, .. } = part.operation;
    let sentence = format!(
        "account {key} held {held}, and the next, of session {session}, found {}: transfers without an \
         answer do not come to the difference",
        before(part)
    );
    let shown = last.into_iter().chain([part]).map(|part| part.operation).collect();
    broken_rule(Rule::BalanceUnexplained, shown, sentence)
}
