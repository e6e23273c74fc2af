//! What is left of a history that is not linearizable: whether it keeps a weaker promise, and how
//! far its reads were behind.
//!
//! * **Sequential**: there is one order of all operations that agrees with the order of each
//!   client's, and writes agree with real time (what ZooKeeper promises: Hunt et al., *ZooKeeper:
//!   Wait-free Coordination for Internet-scale Systems*, 2010, section 2.3). The order is the one that
//!   the replicas report, as in `check/witness.rs`.
//! * **Regular**: a read returns the value of a write that it overlaps, or of one that no other write
//!   followed before the read began (Lamport, *On Interprocess Communication*, 1986; for several
//!   writers `MWRegWeak` of Shao, Pierce and Welch, *Multi-writer Consistency Conditions for Shared
//!   Memory Objects*, 2003).
//! * **Eventual**: a read returns what somebody wrote, not what was written later, or refused.
//!
//! A read is *stale* by `k` writes if so many began after the write that it saw had ended and ended
//! before it began, and by `t` if the first of those had ended so long before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::explain::{Rule, Violation};
use super::{Broken, Finding, witness};
use crate::history::{HistoryError, Kind, Operation, Outcome};

/// What a system promises its clients, the strongest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// One order of all transactions that agrees with real time.
    StrictlySerializable,
    /// One order of all operations that agrees with real time.
    #[default]
    Linearizable,
    /// One order of all operations that agrees with that of each client; writes agree with real
    /// time, and reads may be behind.
    Sequential,
    /// Reads return the last value written, or one that is being written.
    Regular,
    /// Reads return something that was written.
    Eventual,
}

impl Consistency {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::StrictlySerializable,
        Self::Linearizable,
        Self::Sequential,
        Self::Regular,
        Self::Eventual,
    ];

    /// The name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StrictlySerializable => "strictly serializable",
            Self::Linearizable => "linearizable",
            Self::Sequential => "sequential",
            Self::Regular => "regular",
            Self::Eventual => "eventual",
        }
    }
}

/// How far the reads of a history were behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staleness {
    /// Answered reads.
    pub reads: u64,
    /// Those that were stale.
    pub stale: u64,
    /// By how many writes at most.
    pub writes_max: u64,
    /// By how many nanoseconds at most.
    pub ns_max: u64,
    /// Reads that found an older write of a key than the same client had seen before.
    pub backward: u64,
}

impl std::fmt::Display for Staleness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = 100.0 * self.stale as f64 / self.reads.max(1) as f64;
        write!(
            f,
            "{percent:.3} % of {} reads were stale, by up to {} and {:.3} ms; {} went back",
            crate::units::grouped(self.reads),
            crate::units::counted(self.writes_max, "write"),
            self.ns_max as f64 / 1e6,
            self.backward
        )
    }
}

/// Judges a history by a promise below linearizability.
pub(super) fn judge(
    operations: &[Operation],
    promise: Consistency,
    memory_bytes_max: u64,
    broken: Broken,
) -> Result<Result<Staleness, Finding>, HistoryError> {
    let (staleness, worst) = match staleness(operations) {
        Ok(measured) => measured,
        Err(finding) => return Ok(Err(finding)),
    };
    let found = match promise {
        Consistency::StrictlySerializable | Consistency::Linearizable => {
            unreachable!("judged by zones")
        }
        Consistency::Sequential => sequential(operations, memory_bytes_max, broken)?,
        Consistency::Regular => worst.map_or(Ok(()), |stale| Err(Finding::Violation(stale))),
        Consistency::Eventual => Ok(()),
    };
    #[cfg(test)]
    if broken.is(super::tests::Mutant::StaleIsRegular) && promise == Consistency::Regular {
        return Ok(Ok(staleness));
    }
    Ok(found.map(|()| staleness))
}

/// One order, of which each client sees a part from the front to the back.
fn sequential(
    operations: &[Operation],
    memory_bytes_max: u64,
    broken: Broken,
) -> Result<Result<(), Finding>, HistoryError> {
    let mut replay = witness::Replay::new(broken).with_reads_behind();
    let count = operations.len() as u64;
    match replay.check(operations, count, memory_bytes_max)? {
        Ok(true) => {}
        Ok(false) => {
            let reason = "the answers carry no versions, so their order is not known".to_owned();
            return Ok(Err(Finding::Undecidable(reason)));
        }
        Err(finding) => return Ok(Err(finding)),
    }
    #[cfg(test)]
    if broken.is(super::tests::Mutant::SessionsMayGoBack) {
        return Ok(Ok(()));
    }
    let mut places: BTreeMap<u32, &Operation> = BTreeMap::new();
    for operation in in_order_of_sessions(operations) {
        let before = places.insert(operation.session, operation);
        if let Some(before) = before.filter(|before| before.version > operation.version) {
            let violation = Violation::new(Rule::SessionGoesBack, vec![*before, *operation]);
            return Ok(Err(Finding::Violation(Box::new(violation))));
        }
    }
    Ok(Ok(()))
}

/// What was answered, client by client, in the order of each.
fn in_order_of_sessions(operations: &[Operation]) -> Vec<&Operation> {
    let mut answered: Vec<&Operation> = operations.iter().filter(is_answered).collect();
    answered.sort_by_key(|operation| (operation.session, operation.start_ns));
    answered
}

fn is_answered(operation: &&Operation) -> bool {
    matches!(operation.outcome, Outcome::Ok | Outcome::Absent | Outcome::Mismatch)
}

/// The reads and writes of one register.
#[derive(Default)]
struct Register {
    is_counter: bool,
    reads: Vec<Operation>,
    /// Those that did or may have happened.
    writes: Vec<Operation>,
    refused: Vec<Operation>,
}

/// Measures all reads of registers. Returns the stalest of them, with what it missed.
///
/// # Errors
/// A read of what was never written, was refused, or was written only later.
fn staleness(operations: &[Operation]) -> Result<(Staleness, Option<Box<Violation>>), Finding> {
    let mut registers: BTreeMap<u64, Register> = BTreeMap::new();
    for operation in operations {
        let register = registers.entry(operation.key).or_default();
        register.is_counter |= operation.kind == Kind::Add;
        match (operation.kind, operation.outcome) {
            (Kind::Get, Outcome::Ok | Outcome::Absent) => register.reads.push(*operation),
            (Kind::Get, _) | (_, Outcome::Absent | Outcome::Mismatch) => {}
            (_, Outcome::Ok | Outcome::Unknown) => register.writes.push(*operation),
            (_, Outcome::Refused) => register.refused.push(*operation),
        }
    }
    let mut total = Staleness { backward: backward(operations), ..Staleness::default() };
    let mut worst = None;
    for register in registers.values_mut().filter(|register| !register.is_counter) {
        register.measure(&mut total, &mut worst)?;
    }
    Ok((total, worst))
}

/// Reads that found an older write than their client had seen before.
fn backward(operations: &[Operation]) -> u64 {
    let mut newest: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    let mut backward = 0;
    for operation in in_order_of_sessions(operations) {
        let seen = newest.entry((operation.session, operation.key)).or_default();
        backward += u64::from(operation.kind == Kind::Get && operation.version < *seen);
        *seen = (*seen).max(operation.version);
    }
    backward
}

impl Register {
    fn measure(
        &mut self,
        total: &mut Staleness,
        worst: &mut Option<Box<Violation>>,
    ) -> Result<(), Finding> {
        self.writes.sort_by_key(|write| write.start_ns);
        self.reads.sort_by_key(|read| read.start_ns);
        let writes = &self.writes;
        let of_value: BTreeMap<u64, usize> =
            writes.iter().enumerate().map(|(at, write)| (write.written, at)).collect();
        if of_value.len() < writes.len() {
            return Err(Finding::NotUnique);
        }
        let mut by_end: Vec<usize> = (0..writes.len()).collect();
        by_end.sort_by_key(|&at| writes[at].end_ns);
        // Of the writes from each one on, by start, the first that ended.
        let mut first_ended: Vec<usize> = (0..writes.len()).collect();
        for at in (1..writes.len()).rev() {
            if writes[first_ended[at]].end_ns < writes[first_ended[at - 1]].end_ns {
                first_ended[at - 1] = first_ended[at];
            }
        }
        let mut ended = Counts::new(writes.len());
        let mut next = by_end.iter().peekable();
        for read in &self.reads {
            while let Some(&at) = next.next_if(|&&at| writes[at].end_ns < read.start_ns) {
                ended.add(at);
            }
            total.reads += 1;
            let writer = of_value.get(&read.observed).map(|&at| &writes[at]);
            // Nothing was there from before the first write.
            let later = match writer {
                None if read.observed == 0 && read.outcome == Outcome::Absent => 0,
                _ => self.check_source(read, writer).map_err(Finding::Violation)?,
            };
            let missed = ended.from(later);
            if missed == 0 {
                continue;
            }
            let first = &writes[first_ended[later]];
            total.stale += 1;
            total.ns_max = total.ns_max.max(read.start_ns - first.end_ns);
            if missed > total.writes_max {
                total.writes_max = missed;
                let shown = writer.into_iter().chain([first, read]).copied().collect();
                *worst = Some(Box::new(Violation::new(Rule::StaleRead, shown)));
            }
        }
        Ok(())
    }

    /// Where the writes begin, by start, that follow the one that was read.
    fn check_source(
        &self,
        read: &Operation,
        writer: Option<&Operation>,
    ) -> Result<usize, Box<Violation>> {
        let Some(writer) = writer else {
            let refused = self.refused.iter().find(|write| write.written == read.observed);
            let rule =
                if refused.is_some() { Rule::RefusedValueRead } else { Rule::ValueFromNowhere };
            let shown = refused.into_iter().chain([read]).copied().collect();
            return Err(Box::new(Violation::new(rule, shown)));
        };
        let is_delete = writer.kind == Kind::Delete;
        let rule = if read.end_ns < writer.start_ns {
            Rule::ReadBeforeWrite
        } else if read.outcome == Outcome::Absent && !is_delete {
            Rule::AbsentDespiteValue
        } else if read.outcome == Outcome::Ok && is_delete {
            Rule::ValueDespiteDelete
        } else {
            return Ok(self.writes.partition_point(|write| write.start_ns <= writer.end_ns));
        };
        Err(Box::new(Violation::new(rule, vec![*writer, *read])))
    }
}

/// How many of a row of places were marked from any one on (a Fenwick tree).
struct Counts {
    marked: u64,
    sums: Vec<u64>,
}

impl Counts {
    fn new(places: usize) -> Self {
        Self { marked: 0, sums: vec![0; places + 1] }
    }

    fn add(&mut self, place: usize) {
        self.marked += 1;
        let mut at = place + 1;
        while at < self.sums.len() {
            self.sums[at] += 1;
            at += at & at.wrapping_neg();
        }
    }

    fn from(&self, place: usize) -> u64 {
        let (mut at, mut below) = (place, 0);
        while at > 0 {
            below += self.sums[at];
            at &= at - 1;
        }
        self.marked - below
    }
}
