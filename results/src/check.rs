//! Decides whether a history is linearizable, completely and fast.
//!
//! A history is linearizable if and only if the operations of each key are. [`check`] makes compact
//! records of them (`check/record.rs`) and sorts those into partitions by key
//! (`check/partition.rs`). Then it judges one partition at a time: it gathers the values with what
//! happened to each (`check/groups.rs`), and tells registers by their zones (`check/zones.rs`) and
//! counters by their sums (`check/counters.rs`). The few operations that cannot all be true are
//! looked up in the end (`check/fault.rs`, `check/explain.rs`) and drawn
//! (`check/drawing.rs`).
//!
//! A history that passes is replayed in the order that the replicas themselves report
//! (`check/witness.rs`), if they report one: two checks that share nothing must agree.
//!
//! A history that does not pass may still keep all that its system promised (`check/weaker.rs`).

mod accounts;
mod counters;
mod drawing;
mod durability;
mod explain;
mod fault;
mod groups;
mod partition;
mod record;
mod search;
#[cfg(test)]
mod tests;
mod transactions;
mod weaker;
mod witness;
mod zones;

use std::path::{Path, PathBuf};

use crate::history::{HistoryError, HistoryReader, Operation};

pub use drawing::{draw, escaped};
pub use durability::{Loss, durability};
pub use explain::{Rule, Violation};
pub use weaker::{Consistency, Staleness};

/// What the checker says of a history. Only the first two are a pass.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Verdict {
    /// There is an order of all operations that explains every answer and agrees with real time.
    Linearizable {
        /// Operations in the history, also those that were refused or never answered.
        operations: u64,
        /// Distinct keys.
        keys: u64,
        /// What it was checked with.
        methods: Methods,
        /// How long the check took, with reading the history.
        seconds: f64,
    },
    /// There is an order of all transactions, each as a whole, that explains every answer and agrees
    /// with real time.
    StrictlySerializable {
        /// Transactions in the history; an operation by itself is one, too.
        transactions: u64,
        /// If keys are accounts, the transactions that audited the sum of some.
        audits: Option<u64>,
        /// Their operations, also those that were refused or never answered.
        operations: u64,
        /// Distinct keys.
        keys: u64,
        /// How long the check took, with reading the history.
        seconds: f64,
    },
    /// There is none, but the system had promised less, and keeps that.
    Weaker {
        /// What it had promised.
        promise: Consistency,
        /// Operations in the history, also those that were refused or never answered.
        operations: u64,
        /// How far its reads were behind.
        staleness: Staleness,
        /// Operations that show that the history is not linearizable.
        example: Box<Violation>,
        /// How long the check took, with reading the history.
        seconds: f64,
    },
    /// The system did not keep its promise.
    Violation {
        /// What it had promised.
        promise: Consistency,
        /// Operations that show it.
        violation: Box<Violation>,
    },
    /// The history cannot be judged: it is malformed, or larger than allowed.
    Undecidable {
        /// What is wrong, and with which operation.
        reason: String,
    },
}

/// What a history that passed was checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Zones and sums, which see only what clients saw.
    Zones,
    /// Zones and sums, and a replay in the order that the replicas report.
    ZonesAndWitness,
    /// A search through all orders, because values are not unique.
    Search,
}

impl Methods {
    /// The methods in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::ZonesAndWitness => "zones + witness",
            Self::Search => "search",
        }
    }
}

impl Verdict {
    /// Whether the history passed.
    #[must_use]
    pub const fn is_pass(&self) -> bool {
        matches!(
            self,
            Self::Linearizable { .. } | Self::StrictlySerializable { .. } | Self::Weaker { .. }
        )
    }

    /// Operations that show that the history is not linearizable, if they were found.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Self::Weaker { example, .. } => Some(example),
            Self::Violation { violation, .. } => Some(violation),
            Self::Linearizable { .. }
            | Self::StrictlySerializable { .. }
            | Self::Undecidable { .. } => None,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Linearizable { operations, keys, methods, seconds } => write!(
                f,
                "linearizable: yes, {} ops, {} keys, {}, {seconds:.1} s",
                crate::units::grouped(*operations),
                crate::units::grouped(*keys),
                methods.words()
            ),
            Self::StrictlySerializable { transactions, audits, operations, keys, seconds } => {
                write!(
                    f,
                    "strictly serializable: yes, {} transactions, {} ops, {} keys, {}, {seconds:.1} s",
                    crate::units::grouped(*transactions),
                    crate::units::grouped(*operations),
                    crate::units::grouped(*keys),
                    methods_of_transactions(*audits),
                )
            }
            Self::Weaker { promise, operations, staleness, seconds, .. } => write!(
                f,
                "{}: yes, not linearizable, {} ops, {staleness}, {seconds:.1} s",
                promise.name(),
                crate::units::grouped(*operations),
            ),
            Self::Violation { promise, violation } => {
                write!(f, "NOT {}: {violation}", promise.name().to_uppercase())
            }
            Self::Undecidable { reason } => write!(f, "cannot be judged: {reason}"),
        }
    }
}

/// What transactions were checked with.
pub(crate) fn methods_of_transactions(audits: Option<u64>) -> String {
    audits.map_or_else(
        || "zones + witness + cycles".to_owned(),
        |audits| format!("sums of {} audits + balances + cycles", crate::units::grouped(audits)),
    )
}

/// A history that can be read more than once.
pub trait Source {
    /// Passes every operation to `visit`, in blocks, in the same order each time.
    ///
    /// # Errors
    /// If the history cannot be read to its end.
    fn for_each_block(&self, visit: &mut dyn FnMut(&[Operation])) -> Result<(), HistoryError>;
}

impl Source for [Operation] {
    fn for_each_block(&self, visit: &mut dyn FnMut(&[Operation])) -> Result<(), HistoryError> {
        visit(self);
        Ok(())
    }
}

/// A history in a file.
#[derive(Clone, Debug)]
pub struct HistoryFile(PathBuf);

impl HistoryFile {
    /// The history at `path`, which is opened anew for each pass.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }
}

impl Source for HistoryFile {
    fn for_each_block(&self, visit: &mut dyn FnMut(&[Operation])) -> Result<(), HistoryError> {
        let mut reader = HistoryReader::open(&self.0)?;
        let mut block = Vec::new();
        while reader.next_block(&mut block)? {
            visit(&block);
        }
        Ok(())
    }
}

/// Judges a history of a system that promises so much.
///
/// `memory_bytes_max` limits what is allocated for that, besides some two MiB to read a file. A
/// history that does not fit is read once more for each part of its keys that does; a single key
/// must fit, or the verdict is [`Verdict::Undecidable`]. `clock_ns` is any clock that does not go
/// back; it is read twice, to say how long the check took.
///
/// # Errors
/// If the history cannot be read to its end.
pub fn check(
    source: &(impl Source + ?Sized),
    promise: Consistency,
    memory_bytes_max: u64,
    clock_ns: &dyn Fn() -> u64,
) -> Result<Verdict, HistoryError> {
    let started_ns = clock_ns();
    let seconds = || clock_ns().saturating_sub(started_ns) as f64 / 1e9;
    let example = match run(source, memory_bytes_max, Broken::default())? {
        Ok((operations, keys, _)) if promise == Consistency::StrictlySerializable => {
            let found = run_transactions(source, memory_bytes_max)?;
            return Ok(match found {
                Ok(transactions) => Verdict::StrictlySerializable {
                    transactions,
                    audits: None,
                    operations,
                    keys,
                    seconds: seconds(),
                },
                Err(finding) => finding.verdict(promise),
            });
        }
        Err(Finding::OfAccounts) if promise == Consistency::StrictlySerializable => {
            let (operations, found) = run_accounts(source, memory_bytes_max)?;
            return Ok(match found {
                Ok(accounts::Judged { transactions, audits, accounts }) => {
                    Verdict::StrictlySerializable {
                        transactions,
                        audits: Some(audits),
                        operations,
                        keys: accounts,
                        seconds: seconds(),
                    }
                }
                Err(finding) => finding.verdict(promise),
            });
        }
        Ok((operations, keys, methods)) => {
            let seconds = seconds();
            return Ok(Verdict::Linearizable { operations, keys, methods, seconds });
        }
        Err(Finding::Violation(violation)) if promise > Consistency::Linearizable => violation,
        Err(finding) => return Ok(finding.verdict(promise)),
    };
    let (operations, found) = run_weaker(source, promise, memory_bytes_max, Broken::default())?;
    Ok(match found {
        Ok(staleness) => {
            let seconds = seconds();
            Verdict::Weaker { promise, operations, staleness, example, seconds }
        }
        Err(finding) => finding.verdict(promise),
    })
}

/// Judges the transactions of a history that is linearizable key by key, with all of it in memory.
fn run_transactions(
    source: &(impl Source + ?Sized),
    memory_bytes_max: u64,
) -> Result<Result<u64, Finding>, HistoryError> {
    let bytes = transactions::OPERATION_BYTES;
    let (_, all) = gather(source, Consistency::StrictlySerializable, bytes, memory_bytes_max)?;
    Ok(all.and_then(|operations| transactions::judge(&operations, Broken::default())))
}

/// Judges the transfers of a history of accounts, with all of it in memory; returns how many operations
/// it has.
fn run_accounts(
    source: &(impl Source + ?Sized),
    memory_bytes_max: u64,
) -> Result<(u64, Result<accounts::Judged, Finding>), HistoryError> {
    let bytes = transactions::OPERATION_BYTES;
    let (count, all) = gather(source, Consistency::StrictlySerializable, bytes, memory_bytes_max)?;
    Ok((count, all.and_then(|operations| accounts::judge(&operations, Broken::default()))))
}

/// Judges a history by a weaker promise, with all of it in memory; returns how many operations it
/// has.
fn run_weaker(
    source: &(impl Source + ?Sized),
    promise: Consistency,
    memory_bytes_max: u64,
    broken: Broken,
) -> Result<(u64, Result<Staleness, Finding>), HistoryError> {
    let (count, all) = gather(source, promise, WEAKER_BYTES, memory_bytes_max)?;
    Ok((
        count,
        match all {
            Ok(operations) => weaker::judge(&operations, promise, memory_bytes_max, broken)?,
            Err(finding) => Err(finding),
        },
    ))
}

/// How many operations a history has, and all of them if the check of a promise, which takes so much
/// memory for each, has room for them.
fn gather(
    source: &(impl Source + ?Sized),
    promise: Consistency,
    operation_bytes: u64,
    memory_bytes_max: u64,
) -> Result<(u64, Result<Vec<Operation>, Finding>), HistoryError> {
    let fits = memory_bytes_max / operation_bytes;
    let (mut operations, mut count) = (Vec::new(), 0);
    source.for_each_block(&mut |block| {
        count += block.len() as u64;
        if count <= fits {
            operations.extend_from_slice(block);
        }
    })?;
    if count > fits {
        let reason = format!(
            "{count} operations are more than the {fits} that fit the memory of the check of {}",
            promise.name()
        );
        return Ok((count, Err(Finding::Undecidable(reason))));
    }
    Ok((count, Ok(operations)))
}

/// How the checker is broken on purpose: not at all, but in its own tests.
#[derive(Clone, Copy, Debug, Default)]
struct Broken {
    #[cfg(test)]
    mutant: Option<tests::Mutant>,
}

impl Broken {
    #[cfg(test)]
    fn is(self, mutant: tests::Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// Judges a history by each method; returns how many operations and keys it has.
fn run(
    source: &(impl Source + ?Sized),
    memory_bytes_max: u64,
    broken: Broken,
) -> Result<Result<(u64, u64, Methods), Finding>, HistoryError> {
    let mut checker = Checker::new(memory_bytes_max, broken);
    match checker.run(source)? {
        Ok(()) => {}
        Err(Finding::NotUnique) => {
            let found = search::search(source, memory_bytes_max)?;
            return Ok(found.map(|(operations, keys)| (operations, keys, Methods::Search)));
        }
        Err(finding) => return Ok(Err(finding)),
    }
    let (operations, keys) = (checker.operations, checker.keys);
    let is_vacuous = !checker.intake.has_answers;
    #[cfg(test)]
    let is_vacuous = is_vacuous && !broken.is(tests::Mutant::EmptyIsChecked);
    if is_vacuous {
        let reason = match operations {
            0 => "the history is empty, so nothing was checked".to_owned(),
            _ => format!("none of {operations} operations was answered, so nothing was checked"),
        };
        return Ok(Err(Finding::Undecidable(reason)));
    }
    // Its memory, before the replay takes as much.
    drop(checker);
    let mut replay = witness::Replay::new(broken);
    Ok(replay.check(source, operations, memory_bytes_max)?.map(|is_witnessed| {
        (operations, keys, if is_witnessed { Methods::ZonesAndWitness } else { Methods::Zones })
    }))
}

/// Why a history did not pass.
#[derive(Debug)]
enum Finding {
    Violation(Box<Violation>),
    /// Some value was written twice, so that it does not name its write.
    NotUnique,
    /// Keys are accounts, which are checked by themselves.
    OfAccounts,
    Undecidable(String),
}

impl Finding {
    fn verdict(self, promise: Consistency) -> Verdict {
        match self {
            Self::Violation(violation) => Verdict::Violation { promise, violation },
            Self::NotUnique => {
                let reason = "values are not unique, so it is not known what was read".to_owned();
                Verdict::Undecidable { reason }
            }
            Self::OfAccounts => {
                let reason =
                    "transfers between accounts, which only a check of transactions can judge";
                Verdict::Undecidable { reason: reason.to_owned() }
            }
            Self::Undecidable(reason) => Verdict::Undecidable { reason },
        }
    }
}

/// What it takes to hold an operation and what is found out about it, below linearizability.
const WEAKER_BYTES: u64 = 256;

/// Operations that are taken in before the memory is looked at again.
const STRETCH_OPERATIONS: usize = 4096;

/// Keys of a history that are judged together, without a record of each operation.
const FEW_KEYS: usize = 16;

/// Why the operations are not read on.
#[derive(Debug)]
enum Stop {
    Finding(Finding),
    Fault(Box<fault::Fault>),
    /// What looked like a history of few keys needs records after all.
    NeedsRecords,
}

/// What becomes of operations that are taken in.
#[derive(Debug)]
enum Way {
    /// They go into partitions, to be judged later.
    Sort,
    /// They go into the groups at once, because the history seems to have few keys.
    Fold,
    /// They are only counted, because they are too many to hold at once.
    Count(partition::SlotCounts),
}

/// The memory of a check, kept from partition to partition.
#[derive(Debug)]
struct Checker {
    memory_bytes_max: u64,
    intake: record::Intake,
    partitions: partition::Partitions,
    groups: groups::Groups,
    registers: zones::RegisterCheck,
    operations: u64,
    keys: u64,
}

impl Checker {
    fn new(memory_bytes_max: u64, broken: Broken) -> Self {
        Self {
            memory_bytes_max,
            intake: record::Intake::new(broken),
            partitions: partition::Partitions::new(memory_bytes_max),
            groups: groups::Groups::default(),
            registers: zones::RegisterCheck::new(broken),
            operations: 0,
            keys: 0,
        }
    }

    /// Judges a whole history.
    fn run(
        &mut self,
        source: &(impl Source + ?Sized),
    ) -> Result<Result<(), Finding>, HistoryError> {
        let mut read = self.read(source, true)?;
        if let Err(Stop::NeedsRecords) = read {
            read = self.read(source, false)?;
        }
        match read {
            Ok(Way::Sort) => self.judge(source),
            Ok(Way::Fold) => match self.registers.check(&mut self.groups) {
                Ok(()) => {
                    self.keys += self.groups.keys.len() as u64;
                    Ok(Ok(()))
                }
                Err(fault) => fault.explain(source, &self.intake).map(Err),
            },
            Ok(Way::Count(counts)) => self.judge_in_parts(source, &counts),
            Err(Stop::Fault(fault)) => fault.explain(source, &self.intake).map(Err),
            Err(Stop::Finding(finding)) => Ok(Err(finding)),
            Err(Stop::NeedsRecords) => unreachable!("they were made"),
        }
    }

    /// Reads all operations, to the end even if it is known before that they do not pass: whether
    /// the history is whole comes first.
    fn read(
        &mut self,
        source: &(impl Source + ?Sized),
        may_fold: bool,
    ) -> Result<Result<Way, Stop>, HistoryError> {
        self.partitions.clear();
        self.operations = 0;
        let mut state = Ok(Way::Sort);
        source.for_each_block(&mut |block| {
            for stretch in block.chunks(STRETCH_OPERATIONS) {
                let is_first = self.operations == 0;
                self.operations += stretch.len() as u64;
                if let Ok(way) = &mut state
                    && let Err(stop) = self.take(stretch, way, is_first && may_fold)
                {
                    state = Err(stop);
                }
            }
        })?;
        Ok(state)
    }

    /// Takes in operations, and may find another way for those that follow.
    fn take(
        &mut self,
        operations: &[Operation],
        way: &mut Way,
        may_fold: bool,
    ) -> Result<(), Stop> {
        match way {
            Way::Count(counts) => counts.add(operations),
            Way::Sort => {
                self.intake.begin_at(&operations[0]);
                for operation in operations {
                    self.add(operation).map_err(Stop::Finding)?;
                }
                if self.partitions.memory_bytes() > self.memory_bytes_max {
                    *way = Way::Count(self.partitions.slot_counts());
                    self.partitions.clear();
                } else if may_fold
                    && operations.len() == STRETCH_OPERATIONS
                    && self.partitions.have_few_keys(FEW_KEYS)
                {
                    *way = Way::Fold;
                    self.groups.reset(0);
                    for chunk in
                        (0..self.partitions.count()).flat_map(|at| self.partitions.chunks(at))
                    {
                        self.groups.fold(chunk).map_err(Stop::Fault)?;
                    }
                    self.partitions.clear();
                }
            }
            Way::Fold => {
                for operation in operations {
                    self.fold(operation)?;
                }
                if self.groups.counters > 0 || self.groups.memory_bytes() > self.memory_bytes_max {
                    return Err(Stop::NeedsRecords);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, operation: &Operation) -> Result<(), Finding> {
        let record = self.intake.record(operation)?;
        self.partitions.add(&record);
        if record.is_first_of_two() {
            self.partitions.add_second(&record.second(operation));
        }
        Ok(())
    }

    #[inline]
    fn fold(&mut self, operation: &Operation) -> Result<(), Stop> {
        let record = self.intake.record(operation).map_err(Stop::Finding)?;
        if record.is_first_of_two() {
            self.groups.fold(&[record, record.second(operation)]).map_err(Stop::Fault)
        } else {
            self.groups.fold_one(&record).map_err(Stop::Fault)
        }
    }

    /// Reads the history once more for each part of its keys that fits into the memory.
    fn judge_in_parts(
        &mut self,
        source: &(impl Source + ?Sized),
        counts: &partition::SlotCounts,
    ) -> Result<Result<(), Finding>, HistoryError> {
        let parts = match counts.parts(self.memory_bytes_max) {
            Ok(parts) => parts,
            Err(reason) => return Ok(Err(Finding::Undecidable(reason))),
        };
        for part in parts {
            self.partitions.clear();
            let mut finding = Ok(());
            source.for_each_block(&mut |block| {
                for operation in block.iter().filter(|operation| part.contains(operation)) {
                    if finding.is_ok() {
                        finding = self.add(operation);
                    }
                }
            })?;
            if finding.is_ok() {
                finding = self.judge(source)?;
            }
            if finding.is_err() {
                return Ok(finding);
            }
        }
        Ok(Ok(()))
    }

    /// Judges the operations that were taken in, which are all of each of their keys.
    fn judge(
        &mut self,
        source: &(impl Source + ?Sized),
    ) -> Result<Result<(), Finding>, HistoryError> {
        for partition in 0..self.partitions.count() {
            if let Err(fault) = self.judge_partition(partition) {
                return fault.explain(source, &self.intake).map(Err);
            }
            self.keys += self.groups.keys.len() as u64;
        }
        Ok(Ok(()))
    }

    fn judge_partition(&mut self, partition: usize) -> Result<(), Box<fault::Fault>> {
        self.groups.reset(self.partitions.records_in(partition));
        for chunk in self.partitions.chunks(partition) {
            self.groups.fold(chunk)?;
        }
        self.registers.check(&mut self.groups)?;
        if self.groups.counters > 0 {
            counters::check(&self.partitions, partition, &self.groups)?;
        }
        Ok(())
    }
}
