//! Linearizability of a counter: adds of positive numbers, which return the sum, and gets.
//!
//! The sums only grow, so they put all answered operations in order: an add that returned `r` for
//! the delta `d` went from `r - d` to `r`, and a get stands at what it read. That order must agree
//! with real time, no two adds may overlap, and each gap between one operation and the next must
//! be filled exactly by adds that were never answered, each of which was called before anything
//! that counts it was answered.
//!
//! Which unanswered adds fill which gap is a subset-sum question. It is settled exactly when they
//! all have one delta; otherwise by a search that gives up, undecided, after a bounded number of
//! steps.

use super::explain::Rule;
use super::fault::{Fault, Role};
use super::groups::Groups;
use super::partition::Partitions;
use super::record::{ABSENT, ADD_REFUSED, ADD_UNANSWERED, ADDED, FOUND, NO_VALUE, Record, WRITER};

/// Steps of the search before it gives up.
const SEARCH_STEPS_MAX: u64 = 1_000_000;

/// An operation on a counter.
#[derive(Clone, Copy, Debug)]
struct Count {
    /// The [`key_hash`](super::record::key_hash) of the key.
    key: u64,
    start: u64,
    end: u64,
    /// What it added; 0 for a get.
    delta: u64,
    /// The sum after it, unless it was never answered.
    sum: u64,
    answered: bool,
}

impl Count {
    const fn role(&self) -> Role {
        let (written, observed) = (self.delta, self.sum);
        Role::Counts { start: self.start, end: self.end, written, observed }
    }
}

/// A sum that unanswered adds must amount to.
#[derive(Clone, Copy, Debug)]
struct Gap {
    size: u64,
    /// They must have been called by then: the earliest answer that counts them.
    called_by: u64,
    /// The step before which the gap is.
    before: usize,
}

/// Judges the counters among the keys of a partition.
pub(super) fn check(
    partitions: &Partitions,
    partition: usize,
    groups: &Groups,
) -> Result<(), Box<Fault>> {
    let mut counts = Vec::new();
    for chunk in partitions.chunks(partition) {
        gather(chunk, groups, &mut counts)?;
    }
    counts.sort_by_key(|count| count.key);
    counts.chunk_by(|a, b| a.key == b.key).try_for_each(check_counter)
}

/// Picks out what was answered or added on counters.
fn gather(records: &[Record], groups: &Groups, counts: &mut Vec<Count>) -> Result<(), Box<Fault>> {
    let mut rest = records.iter();
    while let Some(record) = rest.next() {
        let second = if record.is_first_of_two() { rest.next() } else { None };
        if !groups.is_counter(record.key) {
            continue;
        }
        let (delta, sum) = match record.flags() {
            FOUND | ABSENT => (0, record.value),
            ADDED => (record.value, second.expect("a pair is whole").value),
            ADD_UNANSWERED => (record.value, 0),
            ADD_REFUSED | NO_VALUE => continue,
            _ => {
                let words = "the key is also added to, and is no register";
                return Err(Fault::malformed(record.key, words, Role::Writer(record.value)));
            }
        };
        if delta == 0 && record.flags() & WRITER != 0 {
            let words = "it adds 0, and only positive numbers can be told apart";
            return Err(Fault::malformed(
                record.key,
                words,
                Role::Counts { start: record.start(), end: record.end, written: 0, observed: sum },
            ));
        }
        let answered = record.flags() != ADD_UNANSWERED;
        let (start, end) = (record.start(), record.end);
        counts.push(Count { key: record.key, start, end, delta, sum, answered });
    }
    Ok(())
}

/// Judges the operations of one counter.
fn check_counter(counts: &[Count]) -> Result<(), Box<Fault>> {
    let (mut steps, unanswered): (Vec<Count>, Vec<Count>) =
        counts.iter().partition(|count| count.answered);
    // An add comes before the gets of its sum: they saw it.
    steps.sort_by_key(|step| (step.sum, step.delta == 0, step.start));
    check_time(&steps)?;
    let gaps = gaps_between(&steps)?;
    fill(&gaps, &steps, unanswered)
}

/// No operation may have ended before one with a smaller sum, or the add of its own, began.
fn check_time(steps: &[Count]) -> Result<(), Box<Fault>> {
    let mut latest: Option<&Count> = None;
    // Gets of one sum may stand in any order, so they wait here until the sum changes.
    let mut latest_of_sum: Option<&Count> = None;
    let later = |a: Option<&'_ Count>, b: &Count| a.is_none_or(|a| a.start < b.start);
    let mut sum = 0;
    for step in steps {
        if step.sum != sum || step.delta != 0 {
            sum = step.sum;
            if let Some(operation) = latest_of_sum.take()
                && later(latest, operation)
            {
                latest = Some(operation);
            }
        }
        if let Some(before) = latest
            && step.end < before.start
        {
            let roles = [before.role(), step.role()];
            return Err(Fault::rule(step.key, Rule::SumsAgainstTime, &roles));
        }
        if step.delta != 0 && later(latest, step) {
            latest = Some(step);
        } else if later(latest_of_sum, step) {
            latest_of_sum = Some(step);
        }
    }
    Ok(())
}

/// The gaps between the steps, the first being counted from 0.
fn gaps_between(steps: &[Count]) -> Result<Vec<Gap>, Box<Fault>> {
    let mut gaps = Vec::new();
    let mut reached = 0;
    for (index, step) in steps.iter().enumerate() {
        let before = step.sum.checked_sub(step.delta);
        let Some(size) = before.and_then(|before| before.checked_sub(reached)) else {
            let rule = if index == 0 { Rule::SumUnexplained } else { Rule::SumsOverlap };
            return Err(pair_fault(rule, steps, index));
        };
        if size > 0 {
            gaps.push(Gap { size, called_by: 0, before: index });
        }
        reached = step.sum;
    }
    let mut earliest_end = u64::MAX;
    let mut index = steps.len();
    for gap in gaps.iter_mut().rev() {
        while index > gap.before {
            index -= 1;
            earliest_end = earliest_end.min(steps[index].end);
        }
        gap.called_by = earliest_end;
    }
    Ok(gaps)
}

/// Fills the gaps with unanswered adds, each used at most once.
fn fill(gaps: &[Gap], steps: &[Count], mut unanswered: Vec<Count>) -> Result<(), Box<Fault>> {
    unanswered.sort_by_key(|add| add.start);
    let deltas = unanswered.iter().map(|add| add.delta);
    let (smallest, largest) = (deltas.clone().min(), deltas.max());
    let unfilled = match smallest {
        Some(delta) if smallest == largest => fill_equal(gaps, delta, &unanswered),
        Some(_) if !gaps.is_empty() => {
            let mut search =
                Search { gaps, unanswered: &unanswered, steps_left: SEARCH_STEPS_MAX, deepest: 0 };
            let mut used = vec![false; unanswered.len()];
            match search.fill(0, gaps[0].size, 0, &mut used) {
                Some(true) => None,
                Some(false) => Some(search.deepest),
                None => {
                    let step = &steps[gaps[search.deepest].before];
                    let words =
                        "too many different adds were never answered to say which it counts";
                    return Err(Fault::malformed(step.key, words, step.role()));
                }
            }
        }
        Some(_) | None => (!gaps.is_empty()).then_some(0),
    };
    let Some(gap) = unfilled.map(|index| gaps[index]) else { return Ok(()) };
    Err(pair_fault(Rule::SumUnexplained, steps, gap.before))
}

/// A step and the one before it break a rule.
fn pair_fault(rule: Rule, steps: &[Count], at: usize) -> Box<Fault> {
    let roles: Vec<Role> = steps[at.saturating_sub(1)..=at].iter().map(Count::role).collect();
    Fault::rule(steps[at].key, rule, &roles)
}

/// All unanswered adds have one delta: the earliest called serve the lowest sums. Returns the
/// first gap that they cannot fill.
fn fill_equal(gaps: &[Gap], delta: u64, unanswered: &[Count]) -> Option<usize> {
    let mut used = 0_u64;
    for (index, gap) in gaps.iter().enumerate() {
        if gap.size % delta != 0 {
            return Some(index);
        }
        used = used.saturating_add(gap.size / delta);
        let called = unanswered.partition_point(|add| add.start <= gap.called_by);
        if used > called as u64 {
            return Some(index);
        }
    }
    None
}

/// A depth-first search for adds that fill each gap.
struct Search<'a> {
    gaps: &'a [Gap],
    unanswered: &'a [Count],
    steps_left: u64,
    /// The last gap that was tried.
    deepest: usize,
}

impl Search<'_> {
    /// Whether gap `index`, of which `missing` is yet to be filled from the adds at `from` on, and
    /// all gaps after it can be filled; `None` if the search has run too long to say.
    fn fill(&mut self, index: usize, missing: u64, from: usize, used: &mut [bool]) -> Option<bool> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        self.deepest = self.deepest.max(index);
        if missing == 0 {
            let Some(next) = self.gaps.get(index + 1) else { return Some(true) };
            return self.fill(index + 1, next.size, 0, used);
        }
        let called_by = self.gaps[index].called_by;
        for at in from..self.unanswered.len() {
            let add = &self.unanswered[at];
            if add.start > called_by {
                break;
            }
            if used[at] || add.delta > missing {
                continue;
            }
            used[at] = true;
            if self.fill(index, missing - add.delta, at + 1, used)? {
                return Some(true);
            }
            used[at] = false;
        }
        Some(false)
    }
}
