//! Protocols, worlds and histories with one rule broken. Each must be noticed within a few seeds,
//! by a check that is meant for it, or the checks are worth nothing.
//!
//! `scripts/mutants` runs the one test of this file with more trials and shows its table.

use std::collections::BTreeMap;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;
use std::{fmt, io};

use synod_protocols::abd::Abd;
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::paxos::Paxos;
use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::Protocol;
use synod_protocols::quorum::Quorum;
use synod_protocols::raft::Raft;
use synod_protocols::two_phase_commit::TwoPhaseCommit;
use synod_protocols::unreplicated::Unreplicated;
use synod_protocols::viewstamped::Viewstamped;
use synod_protocols::zab::Zab;

use crate::damage::Damage;
use crate::mutation::Mutation;
use crate::plan::{MILLISECOND, Plan};
use crate::randomised::outcome;

/// Seeds of one trial, after which the mutant counts as survived.
const SEEDS_MAX: u64 = 400;
/// Trials of each mutant, unless `SYNOD_TRIALS` says otherwise.
const TRIALS: u64 = 1;
/// What a median and a 95th percentile of seeds should not exceed.
const MEDIAN_MAX: u64 = 20;
const P95_MAX: u64 = 200;

/// What noticed a mutant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Check {
    /// Two replicas committed different batches for one slot, or one led that lacked what was committed.
    Agreement,
    /// Two replicas led in one term.
    Election,
    /// What clients saw is not linearizable.
    History,
    /// Clients were not served after all faults had ended.
    Progress,
    /// The replicas did not come to hold the same.
    Convergence,
    /// An assertion failed, of the protocol or of the world that it runs in.
    Assertion,
}

const ANY: &[Check] = &[
    Check::Agreement,
    Check::Election,
    Check::History,
    Check::Progress,
    Check::Convergence,
    Check::Assertion,
];

impl Check {
    /// Which check a failure came from; `None` when a check could not decide.
    fn of(failure: &str) -> Option<Self> {
        let parts = [
            ("two values are chosen", Some(Self::Agreement)),
            ("a leader lacks what was committed", Some(Self::Agreement)),
            ("two leaders in term", Some(Self::Election)),
            ("is not linearizable", Some(Self::History)),
            ("is not sequential", Some(Self::History)),
            ("is not regular", Some(Self::History)),
            ("is not eventual", Some(Self::History)),
            ("transactions come before themselves", Some(Self::History)),
            ("saw something else than was written", Some(Self::History)),
            ("two writes make one version", Some(Self::History)),
            ("fell below zero", Some(Self::History)),
            ("it was refused although", Some(Self::History)),
            ("an audit saw", Some(Self::History)),
            ("linearizability is unknown", None),
            ("no progress", Some(Self::Progress)),
            ("did not come to hold the same", Some(Self::Convergence)),
        ];
        let found = parts.iter().find(|(part, _)| failure.contains(part));
        found.map_or(Some(Self::Assertion), |(_, check)| *check)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Agreement => "agreement",
            Self::Election => "election",
            Self::History => "history",
            Self::Progress => "progress",
            Self::Convergence => "convergence",
            Self::Assertion => "assertion",
        })
    }
}

/// One row of the table.
struct Mutant {
    protocol: &'static str,
    name: &'static str,
    /// The checks that are meant to notice it. A seed that fails otherwise does not count.
    checks: &'static [Check],
    run: Box<dyn Fn(u64) -> Option<Check> + Sync>,
}

type Row = (&'static str, Mutation, &'static [Check]);

/// The mutants of `P`, shown as those of `protocol`.
fn mutants_of<P: Protocol>(protocol: &'static str, rows: &[Row]) -> Vec<Mutant> {
    mutants_with::<P>(protocol, rows, Plan::draw::<P>)
}

/// The same with other plans for the seeds.
fn mutants_with<P: Protocol>(
    protocol: &'static str,
    rows: &[Row],
    draw: fn(u64) -> Plan,
) -> Vec<Mutant> {
    let mutant = |&(name, mutation, checks): &Row| {
        let run = move |seed| {
            let plan = Plan { mutation: Some(mutation), ..draw(seed) };
            outcome::<P>(&plan).err().and_then(|failure| Check::of(&failure))
        };
        Mutant { protocol, name, checks, run: Box::new(run) }
    };
    rows.iter().map(mutant).collect()
}

const AGREEMENT: &[Check] = &[Check::Agreement];
const HISTORY: &[Check] = &[Check::History];
const SAFETY: &[Check] = &[Check::Agreement, Check::History, Check::Assertion];
/// What quorums that do not meet lead to.
const QUORUMS: &[Check] = &[Check::Agreement, Check::Election, Check::History];
const PROGRESS: &[Check] = &[Check::Progress];
const CONVERGENCE: &[Check] = &[Check::Convergence];

const UNREPLICATED: &[Row] = &[
    ("answers before the disk", Mutation::SendsEarly, AGREEMENT),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets its log", Mutation::ForgetsRecords(1), ANY),
    ("forgets checkpoints", Mutation::ForgetsRecords(2), ANY),
    ("forgets sessions at a restart", Mutation::ForgetsSessions, HISTORY),
    ("checkpoint without what is in flight", Mutation::CheckpointsWithout(1), ANY),
    ("checkpoint without its position", Mutation::CheckpointsWithout(2), ANY),
    ("snapshot without sessions", Mutation::SnapshotsWithoutSessions, HISTORY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("client repeats as new", Mutation::RepeatsAsNew, HISTORY),
];

const MULTI_PAXOS: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, AGREEMENT),
    ("promises before the disk", Mutation::SendsKindEarly(3), AGREEMENT),
    ("votes before the disk", Mutation::SendsKindEarly(5), AGREEMENT),
    ("loses its last record", Mutation::LosesLastRecord, AGREEMENT),
    ("forgets promises", Mutation::ForgetsRecords(1), AGREEMENT),
    ("forgets votes", Mutation::ForgetsRecords(2), AGREEMENT),
    ("forgets what it learned", Mutation::ForgetsRecords(3), ANY),
    ("forgets checkpoints", Mutation::ForgetsRecords(4), ANY),
    ("forgets installations", Mutation::ForgetsRecords(5), ANY),
    ("forgets sessions at a restart", Mutation::ForgetsSessions, ANY),
    ("checkpoint without promises", Mutation::CheckpointsWithout(4), ANY),
    ("checkpoint without votes", Mutation::CheckpointsWithout(2), AGREEMENT),
    ("snapshot without sessions", Mutation::SnapshotsWithoutSessions, ANY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("forgets what was installed", Mutation::ForgetsInstalled, ANY),
    ("phase 1 ignores votes", Mutation::HidesVotes, AGREEMENT),
    ("phase 1 skips the tail", Mutation::SkipsTail, AGREEMENT),
    ("phase 1 picks the lowest ballot", Mutation::PicksLowestBallot, AGREEMENT),
    ("phase 1 fills with nothing", Mutation::FillsWithNothing, AGREEMENT),
    ("phase 1 counts each promise twice", Mutation::CountsTwice(3), AGREEMENT),
    ("phase 1 counts repeats", Mutation::CountsRepeats(3), AGREEMENT),
    ("phase-1 quorum of one less", Mutation::SmallPhase1Quorums, AGREEMENT),
    ("phase-2 quorum of one less", Mutation::SmallPhase2Quorums, AGREEMENT),
    ("quorums of one", Mutation::QuorumsOfOne, AGREEMENT),
    ("votes below its promise", Mutation::VotesBelowPromise, AGREEMENT),
    ("counts each vote twice", Mutation::CountsTwice(5), AGREEMENT),
    ("counts repeated votes", Mutation::CountsRepeats(5), AGREEMENT),
    ("bound applies to older ballots", Mutation::TrustsBound, AGREEMENT),
    ("teaches what it voted for", Mutation::TeachesVotes, AGREEMENT),
    ("applies past a hole", Mutation::LearnsPastHoles, AGREEMENT),
    ("reads its own store", Mutation::ReadsLocally, HISTORY),
    ("votes of phase 1 get lost", Mutation::DropsMessages(2), PROGRESS),
    ("never learns", Mutation::DropsMessages(9), ANY),
    ("client repeats as new", Mutation::RepeatsAsNew, HISTORY),
];

const PAXOS: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, AGREEMENT),
    ("promises before the disk", Mutation::SendsKindEarly(2), AGREEMENT),
    ("votes before the disk", Mutation::SendsKindEarly(4), AGREEMENT),
    ("loses its last record", Mutation::LosesLastRecord, AGREEMENT),
    ("forgets promises", Mutation::ForgetsRecords(2), AGREEMENT),
    ("forgets votes", Mutation::ForgetsRecords(3), AGREEMENT),
    ("forgets what it learned", Mutation::ForgetsRecords(4), ANY),
    ("forgets checkpoints", Mutation::ForgetsRecords(5), ANY),
    ("forgets installations", Mutation::ForgetsRecords(6), ANY),
    ("forgets sessions at a restart", Mutation::ForgetsSessions, ANY),
    ("checkpoint without promises", Mutation::CheckpointsWithout(2), AGREEMENT),
    ("checkpoint without votes", Mutation::CheckpointsWithout(3), AGREEMENT),
    ("checkpoint without its position", Mutation::CheckpointsWithout(5), ANY),
    ("snapshot without sessions", Mutation::SnapshotsWithoutSessions, ANY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("forgets what was installed", Mutation::ForgetsInstalled, ANY),
    ("phase 1 ignores votes", Mutation::HidesVotes, AGREEMENT),
    ("phase 1 fills with nothing", Mutation::FillsWithNothing, AGREEMENT),
    ("counts each promise twice", Mutation::CountsTwice(2), AGREEMENT),
    ("counts repeated promises", Mutation::CountsRepeats(2), AGREEMENT),
    ("counts each vote twice", Mutation::CountsTwice(4), AGREEMENT),
    ("counts repeated votes", Mutation::CountsRepeats(4), AGREEMENT),
    ("votes below its promise", Mutation::VotesBelowPromise, AGREEMENT),
    ("learns whatever it voted for", Mutation::TrustsBound, AGREEMENT),
    ("teaches what it voted for", Mutation::TeachesVotes, AGREEMENT),
    ("applies past a hole", Mutation::LearnsPastHoles, AGREEMENT),
    ("reads its own store", Mutation::ReadsLocally, HISTORY),
    ("promises get lost", Mutation::DropsMessages(2), PROGRESS),
    ("what was chosen gets lost", Mutation::DropsMessages(8), ANY),
    ("client repeats as new", Mutation::RepeatsAsNew, HISTORY),
];

const RAFT: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, ANY),
    ("votes before the disk", Mutation::SendsKindEarly(4), ANY),
    ("acknowledges before the disk", Mutation::SendsKindEarly(6), ANY),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets terms", Mutation::ForgetsRecords(1), ANY),
    ("forgets votes", Mutation::ForgetsRecords(2), ANY),
    ("forgets entries", Mutation::ForgetsRecords(3), ANY),
    ("forgets checkpoints", Mutation::ForgetsRecords(4), ANY),
    ("forgets installations", Mutation::ForgetsRecords(5), ANY),
    ("forgets sessions at a restart", Mutation::ForgetsSessions, ANY),
    ("checkpoint without terms", Mutation::CheckpointsWithout(1), ANY),
    ("checkpoint without entries", Mutation::CheckpointsWithout(3), ANY),
    ("snapshot without sessions", Mutation::SnapshotsWithoutSessions, ANY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("forgets what was installed", Mutation::ForgetsInstalled, ANY),
    ("counts each vote twice", Mutation::CountsTwice(4), ANY),
    ("counts repeated votes", Mutation::CountsRepeats(4), ANY),
    ("counts each agreement twice", Mutation::CountsTwice(6), ANY),
    ("counts repeated agreements", Mutation::CountsRepeats(6), ANY),
    ("votes whatever the log lacks", Mutation::IgnoresLogs, ANY),
    ("votes twice in a term", Mutation::VotesTwice, ANY),
    ("takes entries that do not fit", Mutation::SkipsTheLogCheck, ANY),
    ("agrees without storing", Mutation::AgreesWithoutStoring, ANY),
    ("keeps entries in conflict", Mutation::KeepsConflicts, ANY),
    ("cuts off what it has", Mutation::CutsOffWhatItHas, ANY),
    ("commits entries of old terms", Mutation::CommitsOldTerms, ANY),
    ("commits what was not compared", Mutation::CommitsUnverified, ANY),
    ("leader ignores disagreement", Mutation::IgnoresDisagreement, ANY),
    ("takes snapshots for older", Mutation::MistakesSnapshotTerms, ANY),
    ("reads its own store", Mutation::ReadsLocally, HISTORY),
    ("votes get lost", Mutation::DropsMessages(4), PROGRESS),
    ("agreements get lost", Mutation::DropsMessages(6), PROGRESS),
    ("client repeats as new", Mutation::RepeatsAsNew, HISTORY),
];

const VIEWSTAMPED: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, AGREEMENT),
    ("acknowledges before the disk", Mutation::SendsKindEarly(2), AGREEMENT),
    ("begins a view before the disk", Mutation::SendsKindEarly(6), ANY),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets views", Mutation::ForgetsRecords(1), AGREEMENT),
    ("forgets its log", Mutation::ForgetsRecords(2), ANY),
    ("forgets the last normal view", Mutation::ForgetsRecords(3), AGREEMENT),
    ("forgets checkpoints", Mutation::ForgetsRecords(4), ANY),
    ("forgets installations", Mutation::ForgetsRecords(5), ANY),
    ("forgets sessions at a restart", Mutation::ForgetsSessions, ANY),
    ("checkpoint without its view", Mutation::CheckpointsWithout(4), ANY),
    ("checkpoint without its log", Mutation::CheckpointsWithout(2), AGREEMENT),
    ("snapshot without sessions", Mutation::SnapshotsWithoutSessions, ANY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("forgets what was installed", Mutation::ForgetsInstalled, ANY),
    ("takes the longest log", Mutation::PicksLongestLog, AGREEMENT),
    ("begins with its own log", Mutation::BeginsWithOwnLog, ANY),
    ("acknowledges in a view it has left", Mutation::AcknowledgesOldViews, AGREEMENT),
    ("takes part before the transfer ends", Mutation::TakesPartTooEarly, ANY),
    ("acknowledges past a hole", Mutation::AcknowledgesHoles, AGREEMENT),
    ("appends past a hole", Mutation::AppendsPastHoles, AGREEMENT),
    ("commits what is proposed", Mutation::CommitsWhatIsProposed, ANY),
    ("counts each acknowledgement twice", Mutation::CountsTwice(2), AGREEMENT),
    ("counts repeated acknowledgements", Mutation::CountsRepeats(2), AGREEMENT),
    ("counts each log twice", Mutation::CountsTwice(5), ANY),
    ("counts repeated logs", Mutation::CountsRepeats(5), ANY),
    ("reads its own store", Mutation::ReadsLocally, HISTORY),
    ("state gets lost", Mutation::DropsMessages(8), ANY),
    ("views never begin", Mutation::DropsMessages(6), PROGRESS),
    ("client repeats as new", Mutation::RepeatsAsNew, HISTORY),
];

/// What only witnesses bring about.
const VIEWSTAMPED_OF_WITNESSES: &[Row] = &[
    ("witness takes itself for active", Mutation::TakesItselfForActive, ANY),
    ("witness drops what is committed", Mutation::DropsWhatIsCommitted, ANY),
    ("witness skips to what is committed", Mutation::SkipsToCommitted, ANY),
    ("counts a witness as active", Mutation::CountsWitnessesAsActive, ANY),
    ("ignores what witnesses keep", Mutation::IgnoresLogsOfWitnesses, AGREEMENT),
    ("witness forgets where it goes on", Mutation::ForgetsRecords(5), ANY),
];

const ZAB: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, AGREEMENT),
    ("acknowledges before the disk", Mutation::SendsKindEarly(9), AGREEMENT),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets accepted epochs", Mutation::ForgetsRecords(1), ANY),
    ("forgets its history", Mutation::ForgetsRecords(2), ANY),
    ("forgets current epochs", Mutation::ForgetsRecords(3), AGREEMENT),
    ("forgets checkpoints", Mutation::ForgetsRecords(4), ANY),
    ("forgets installations", Mutation::ForgetsRecords(5), ANY),
    ("forgets sessions at a restart", Mutation::ForgetsSessions, ANY),
    ("checkpoint without its epochs", Mutation::CheckpointsWithout(4), ANY),
    ("checkpoint without its history", Mutation::CheckpointsWithout(2), AGREEMENT),
    ("snapshot without sessions", Mutation::SnapshotsWithoutSessions, ANY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("forgets what was installed", Mutation::ForgetsInstalled, ANY),
    ("begins with its own history", Mutation::BeginsWithOwnLog, ANY),
    ("acknowledges in an epoch it has left", Mutation::AcknowledgesOldViews, AGREEMENT),
    ("current epoch before its history", Mutation::TakesPartTooEarly, ANY),
    ("acknowledges past a hole", Mutation::AcknowledgesHoles, AGREEMENT),
    ("appends past a hole", Mutation::AppendsPastHoles, AGREEMENT),
    ("commits what is proposed", Mutation::CommitsWhatIsProposed, ANY),
    ("counts each acknowledgement twice", Mutation::CountsTwice(9), AGREEMENT),
    ("reads its own store", Mutation::ReadsLocally, HISTORY),
    ("history gets lost", Mutation::DropsMessages(13), ANY),
    ("epochs never begin", Mutation::DropsMessages(5), PROGRESS),
    ("client repeats as new", Mutation::RepeatsAsNew, HISTORY),
    ("client does not say what it saw", Mutation::ForgetsVersions, HISTORY),
];

const ABD: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, HISTORY),
    ("answers queries before the disk", Mutation::SendsKindEarly(2), HISTORY),
    ("acknowledges before the disk", Mutation::SendsKindEarly(4), HISTORY),
    ("lives before the disk", Mutation::SendsKindEarly(5), ANY),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets its lives", Mutation::ForgetsRecords(1), ANY),
    ("forgets writes", Mutation::ForgetsRecords(2), HISTORY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("read without write-back", Mutation::IgnoresWriteBacks, HISTORY),
    ("read of one replica", Mutation::ReadsLocally, HISTORY),
    ("counts each answer twice", Mutation::CountsTwice(2), HISTORY),
    ("counts repeated answers", Mutation::CountsRepeats(2), HISTORY),
    ("counts each acknowledgement twice", Mutation::CountsTwice(4), HISTORY),
    ("counts repeated acknowledgements", Mutation::CountsRepeats(4), HISTORY),
    ("write without a query", Mutation::WritesWithoutTags, HISTORY),
    ("tag without its writer", Mutation::TagsWithoutWriter, ANY),
    ("older tag overwrites newer", Mutation::StoresOlderTags, HISTORY),
    ("acknowledges what it ignores", Mutation::IgnoresWrites, HISTORY),
    ("acknowledgements get lost", Mutation::DropsMessages(4), PROGRESS),
    ("client repeats writes", Mutation::RepeatsWrites, HISTORY),
];

const QUORUM: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, HISTORY),
    ("answers reads before the disk", Mutation::SendsKindEarly(2), HISTORY),
    ("acknowledges before the disk", Mutation::SendsKindEarly(4), HISTORY),
    ("lives before the disk", Mutation::SendsKindEarly(5), ANY),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets its lives", Mutation::ForgetsRecords(1), ANY),
    ("forgets writes", Mutation::ForgetsRecords(2), HISTORY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("read without write-back", Mutation::IgnoresWriteBacks, HISTORY),
    ("read of one replica", Mutation::ReadsLocally, HISTORY),
    ("counts each answer twice", Mutation::CountsTwice(2), HISTORY),
    ("counts repeated answers", Mutation::CountsRepeats(2), HISTORY),
    ("counts each acknowledgement twice", Mutation::CountsTwice(4), HISTORY),
    ("counts repeated acknowledgements", Mutation::CountsRepeats(4), HISTORY),
    ("write without a query", Mutation::WritesWithoutTags, HISTORY),
    ("tag without its writer", Mutation::TagsWithoutWriter, ANY),
    ("older tag overwrites newer", Mutation::StoresOlderTags, HISTORY),
    ("acknowledges what it ignores", Mutation::IgnoresWrites, HISTORY),
    ("acknowledgements get lost", Mutation::DropsMessages(4), PROGRESS),
    ("client repeats writes", Mutation::RepeatsWrites, HISTORY),
    ("quorums said to meet that do not", Mutation::PromisesTooMuch, HISTORY),
];

const TWO_PHASE_COMMIT: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, ANY),
    ("votes before the disk", Mutation::SendsKindEarly(2), HISTORY),
    ("commits before the disk", Mutation::SendsKindEarly(3), HISTORY),
    ("acknowledges before the disk", Mutation::SendsKindEarly(6), ANY),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets its lives", Mutation::ForgetsRecords(1), ANY),
    ("forgets what it is prepared for", Mutation::ForgetsRecords(2), ANY),
    ("forgets outcomes", Mutation::ForgetsRecords(3), ANY),
    ("forgets decisions", Mutation::ForgetsRecords(4), ANY),
    ("checkpoint without its life", Mutation::CheckpointsWithout(1), ANY),
    ("checkpoint without what is prepared", Mutation::CheckpointsWithout(2), ANY),
    ("checkpoint without decisions", Mutation::CheckpointsWithout(4), ANY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("commits alone", Mutation::CommitsAlone, ANY),
    ("aborts alone", Mutation::AbortsAlone, HISTORY),
    ("aborts some", Mutation::AbortsSome, HISTORY),
    ("takes no for yes", Mutation::TakesNoForYes, ANY),
    ("counts each vote twice", Mutation::CountsTwice(2), ANY),
    ("counts repeated votes", Mutation::CountsRepeats(2), ANY),
    ("counts each acknowledgement twice", Mutation::CountsTwice(6), ANY),
    ("ignores writes", Mutation::IgnoresWrites, HISTORY),
    ("reads locally", Mutation::ReadsLocally, HISTORY),
    ("decisions get lost", Mutation::DropsMessages(3), PROGRESS),
    ("questions get lost", Mutation::DropsMessages(5), PROGRESS),
    ("acknowledgements get lost", Mutation::DropsMessages(6), ANY),
    ("client repeats writes", Mutation::RepeatsWrites, HISTORY),
];

/// What breaks the rules of accounts.
const BANK: &[Row] = &[
    ("votes yes for an overdraft", Mutation::OverdrawsAccounts, HISTORY),
    ("applies what aborts", Mutation::CommitsWhatAborts, ANY),
    ("audit without locks", Mutation::ReadsWithoutLocks, HISTORY),
    ("takes no of an account for yes", Mutation::TakesNoForYes, ANY),
];

const PAXOS_COMMIT: &[Row] = &[
    ("sends before the disk", Mutation::SendsEarly, ANY),
    ("votes before the disk", Mutation::SendsKindEarly(2), ANY),
    ("accepts before the disk", Mutation::SendsKindEarly(6), ANY),
    ("is finished before the disk", Mutation::SendsKindEarly(11), ANY),
    ("loses its last record", Mutation::LosesLastRecord, ANY),
    ("forgets its lives", Mutation::ForgetsRecords(1), ANY),
    ("forgets what it is prepared for", Mutation::ForgetsRecords(2), ANY),
    ("forgets outcomes", Mutation::ForgetsRecords(3), ANY),
    ("forgets what it accepted", Mutation::ForgetsRecords(8), ANY),
    ("checkpoint without its life", Mutation::CheckpointsWithout(1), ANY),
    ("checkpoint without what is prepared", Mutation::CheckpointsWithout(2), ANY),
    ("checkpoint without what it accepted", Mutation::CheckpointsWithout(8), ANY),
    ("cuts its log early", Mutation::CutsLogEarly, ANY),
    ("commits alone", Mutation::CommitsAlone, ANY),
    ("aborts alone", Mutation::AbortsAlone, HISTORY),
    ("aborts some", Mutation::AbortsSome, HISTORY),
    ("takes no for yes", Mutation::TakesNoForYes, ANY),
    ("counts each vote twice", Mutation::CountsTwice(2), ANY),
    ("decides by one vote", Mutation::DecidesByOneVote, ANY),
    ("counts each promise twice", Mutation::CountsTwice(4), ANY),
    ("counts each acceptor twice", Mutation::CountsTwice(6), ANY),
    ("counts repeated acceptors", Mutation::CountsRepeats(6), ANY),
    ("take-over ignores what was accepted", Mutation::HidesVotes, ANY),
    ("take-over picks the lowest ballot", Mutation::PicksLowestBallot, ANY),
    ("take-over prepares free instances", Mutation::PreparesFreeInstances, ANY),
    ("forgets what others need", Mutation::ForgetsTooEarly, ANY),
    ("counts each who is finished twice", Mutation::CountsTwice(11), ANY),
    ("ignores writes", Mutation::IgnoresWrites, HISTORY),
    ("reads locally", Mutation::ReadsLocally, HISTORY),
    ("votes get lost", Mutation::DropsMessages(2), PROGRESS),
    ("promises get lost", Mutation::DropsMessages(4), PROGRESS),
    ("ballots get lost", Mutation::DropsMessages(5), PROGRESS),
    ("questions get lost", Mutation::DropsMessages(10), ANY),
    ("client repeats writes", Mutation::RepeatsWrites, HISTORY),
];

/// What only shows where replicas take rounds over that are still on their way: too early for progress.
const PAXOS_COMMIT_OF_TAKE_OVERS: &[Row] = &[
    ("forgets that it voted no", Mutation::ForgetsRecords(6), SAFETY),
    ("checkpoint without votes", Mutation::CheckpointsWithout(6), SAFETY),
    ("counts repeated promises", Mutation::CountsRepeats(4), SAFETY),
    ("votes below its promise", Mutation::VotesBelowPromise, SAFETY),
];

/// What only an acceptor that comes and goes, and that all others need, brings about.
const PAXOS_COMMIT_OF_PROMISES: &[Row] = &[
    ("promises before the disk", Mutation::SendsKindEarly(4), SAFETY),
    ("forgets promises", Mutation::ForgetsRecords(7), SAFETY),
];

/// What only an acceptor brings about that takes a checkpoint between two ballots.
const PAXOS_COMMIT_OF_CHECKPOINTS: &[Row] =
    &[("checkpoint without promises", Mutation::CheckpointsWithout(7), AGREEMENT)];

/// What only lives bring about that end before they are on disk.
const PAXOS_COMMIT_OF_LIVES: &[Row] =
    &[("begins before its life is on disk", Mutation::SendsKindEarly(12), SAFETY)];
const TWO_PHASE_COMMIT_OF_LIVES: &[Row] =
    &[("begins before its life is on disk", Mutation::SendsKindEarly(7), SAFETY)];

/// What only sloppy quorums bring about.
const QUORUM_OF_HINTS: &[Row] = &[
    ("counts a stand-in without a hint", Mutation::CountsWithoutHint, CONVERGENCE),
    ("stores hints as its own", Mutation::StoresHintsAsOwn, CONVERGENCE),
    ("drops hints before they arrive", Mutation::DropsHintsEarly, CONVERGENCE),
    ("hands off over newer values", Mutation::HandsOffOverNewer, CONVERGENCE),
    ("keeps hints before the disk", Mutation::SendsKindEarly(9), CONVERGENCE),
    ("takes hints before the disk", Mutation::SendsKindEarly(11), CONVERGENCE),
    ("forgets hints", Mutation::ForgetsRecords(4), CONVERGENCE),
    ("checkpoint without hints", Mutation::CheckpointsWithout(4), CONVERGENCE),
    ("handoffs get lost", Mutation::DropsMessages(10), CONVERGENCE),
];

/// What only leaders that are cut off, and come back, bring about.
const ZAB_OF_OLD_LEADERS: &[Row] =
    &[("commits all that it has", Mutation::CommitsWhatItHas, AGREEMENT)];

/// What only observers bring about.
const ZAB_OF_OBSERVERS: &[Row] = &[
    ("votes for an observer", Mutation::VotesForObservers, PROGRESS),
    ("counts an observer's acknowledgement", Mutation::CountsObservers, AGREEMENT),
];

/// What only observers that answer gets bring about.
const ZAB_OF_READING_OBSERVERS: &[Row] =
    &[("observer serves unsynchronized", Mutation::ObserversServeAtOnce, HISTORY)];

/// What only changes of who leads and who votes bring about.
const RAFT_OF_CHANGES: &[Row] = &[
    ("changes voters when committed", Mutation::ChangesVotersLate, ANY),
    ("keeps voters that were cut off", Mutation::KeepsVotersCutOff, ANY),
    ("snapshot without voters", Mutation::MistakesSnapshotVoters, ANY),
    ("forgets voters of entries", Mutation::ForgetsVoters(3), ANY),
    ("forgets voters of checkpoints", Mutation::ForgetsVoters(4), ANY),
    ("forgets voters of installations", Mutation::ForgetsVoters(5), ANY),
    ("learner takes itself for a voter", Mutation::TakesItselfForVoter, ANY),
    ("learners count", Mutation::CountsLearners, ANY),
    ("removed leader counts itself", Mutation::CountsItselfRemoved, ANY),
    ("hands over at once", Mutation::HandsOverAtOnce, ANY),
];

/// What breaks the rules of changes is noticed by what comes of it: quorums that do not meet.
const RAFT_OF_THREE: &[Row] = &[("two changes at once", Mutation::ChangesTwiceAtOnce, QUORUMS)];
const RAFT_OF_FOUR: &[Row] =
    &[("change before its term's first entry", Mutation::ChangesBeforeItsTerm, QUORUMS)];

/// What only a replica that comes and goes, and that all others need, brings about.
const VIEWSTAMPED_OF_PROMISES: &[Row] =
    &[("moves to a view before the disk", Mutation::SendsKindEarly(5), ANY)];

/// What only a replica brings about that has lost its disk, and that all others need.
const VIEWSTAMPED_OF_LOSSES: &[Row] = &[
    ("acknowledges while lost", Mutation::AcknowledgesWhileLost, AGREEMENT),
    ("takes one's answer for all", Mutation::TakesOneForAll, AGREEMENT),
];

/// What only replicas for registers bring about that have lost their disks.
const REGISTERS_OF_LOSSES: &[Row] =
    &[("takes one's registers for all", Mutation::TakesOneForAll, HISTORY)];

/// What only leaders bring about that are cut off as they begin, with transactions that nobody else has.
const ZAB_OF_ISOLATION: &[Row] = &[
    ("counts each initial history twice", Mutation::CountsTwice(6), AGREEMENT),
    ("takes the longest history", Mutation::PicksLongestLog, AGREEMENT),
];

/// What only leaders bring about that are cut off as they begin, while those who follow them crash.
const ZAB_OF_POWER_CUTS: &[Row] =
    &[("has the history before the disk", Mutation::SendsKindEarly(6), AGREEMENT)];

/// What only a replica that comes and goes brings about, which follows whomever it hears.
const ZAB_OF_PROMISES: &[Row] =
    &[("promises before the disk", Mutation::SendsKindEarly(4), AGREEMENT)];

/// What only leaders bring about that are cut off, with many entries that nobody else has.
const RAFT_OF_ISOLATION: &[Row] =
    &[("votes for the longest log", Mutation::PicksLongestLog, QUORUMS)];

/// What only gets bring about that clients ask leaders for that are cut off.
const RAFT_OF_READS: &[Row] =
    &[("answers without a round of heartbeats", Mutation::ServesUnheard, HISTORY)];

/// The same, where a leader's first entry is long on its way.
const RAFT_OF_FIRST_READS: &[Row] =
    &[("answers before its term's first entry", Mutation::ServesBeforeItsTerm, HISTORY)];

/// What only leases bring about of leaders that are cut off.
const RAFT_OF_LEASES: &[Row] = &[
    ("clocks run further apart than they may", Mutation::ClocksRunApart, HISTORY),
    ("keeps its lease when it hands over", Mutation::KeepsItsLease, HISTORY),
];

/// What only messages that come terms later bring about.
const RAFT_OF_OLD_TERMS: &[Row] = &[
    ("follows an old leader", Mutation::FollowsOldLeaders, ANY),
    ("counts votes of old terms", Mutation::CountsOldVotes, ANY),
    ("counts agreements of old terms", Mutation::CountsOldAgreements, ANY),
];

/// What only Paxos Quorum Reads bring about.
const QUORUM_READS: &[Row] = &[("reads do not wait", Mutation::ReadsWithoutRinse, HISTORY)];

const CHECKER: &[Row] = &[
    ("stale read", Mutation::Records(Damage::StaleRead), HISTORY),
    ("value from nowhere", Mutation::Records(Damage::ReadFromNowhere), HISTORY),
    ("read of nothing", Mutation::Records(Damage::ReadOfNothing), HISTORY),
    ("read before its write", Mutation::Records(Damage::ReadBeforeItsWrite), HISTORY),
    ("two reads swapped", Mutation::Records(Damage::ReadsSwapped), HISTORY),
    ("two writes swapped", Mutation::Records(Damage::WritesSwapped), HISTORY),
    ("lost write", Mutation::Records(Damage::LostWrite), HISTORY),
    ("addition counted twice", Mutation::Records(Damage::AddedTwice), HISTORY),
    ("compare-and-swap swapped anyway", Mutation::Records(Damage::SwappedAnyway), HISTORY),
];

/// Every mutant, or those whose protocol or name `SYNOD_MUTANTS` gives.
fn mutants() -> Vec<Mutant> {
    let mut mutants = mutants_of::<Unreplicated>("unreplicated", UNREPLICATED);
    mutants.extend(mutants_of::<MultiPaxos>("multi_paxos", MULTI_PAXOS));
    mutants.extend(mutants_of::<Paxos>("paxos", PAXOS));
    mutants.extend(mutants_of_raft());
    let reading = |seed| Plan::draw::<MultiPaxos>(seed * 8 + 2).reading_by::<MultiPaxos>(2);
    mutants.extend(mutants_with::<MultiPaxos>("multi_paxos", QUORUM_READS, reading));
    mutants.extend(mutants_of::<Viewstamped>("viewstamped", VIEWSTAMPED));
    // Either active replica is alone with the witness now and then.
    let witnessed =
        |seed| Plan { replicas: 3, witnesses: 1, ..Plan::draw::<Viewstamped>(seed * 8 + 2) };
    let of_witnesses = VIEWSTAMPED_OF_WITNESSES;
    mutants.extend(mutants_with::<Viewstamped>("viewstamped", of_witnesses, witnessed));
    let flapping = |seed| Plan::draw::<Viewstamped>(seed * 8 + 3);
    mutants.extend(mutants_with::<Viewstamped>("viewstamped", VIEWSTAMPED_OF_PROMISES, flapping));
    let forgetting = |seed| Plan::draw::<Viewstamped>(seed).forgetting();
    mutants.extend(mutants_with::<Viewstamped>("viewstamped", VIEWSTAMPED_OF_LOSSES, forgetting));
    mutants.extend(mutants_of::<Zab>("zab", ZAB));
    let isolating = |seed| {
        let (faults_ns, operations, keys) = (1_000 * MILLISECOND, 200, 40);
        Plan { faults_ns, operations, keys, ..Plan::draw::<Zab>(seed).isolating(3) }
    };
    mutants.extend(mutants_with::<Zab>("zab", ZAB_OF_ISOLATION, isolating));
    let cutting = |seed| {
        let (faults_ns, operations, keys) = (1_000 * MILLISECOND, 200, 40);
        let (disk_ns_max, cut_percent) = (3 * MILLISECOND, 30);
        let isolating = Plan::draw::<Zab>(seed).isolating(3);
        Plan { faults_ns, operations, keys, disk_ns_max, cut_percent, ..isolating }
    };
    mutants.extend(mutants_with::<Zab>("zab", ZAB_OF_POWER_CUTS, cutting));
    let misled = |seed| Plan { any_oracle: true, ..Plan::draw::<Zab>(seed * 8 + 3) };
    mutants.extend(mutants_with::<Zab>("zab", ZAB_OF_PROMISES, misled));
    let cut_off = |seed| Plan::draw::<Zab>(seed * 8 + 3);
    mutants.extend(mutants_with::<Zab>("zab", ZAB_OF_OLD_LEADERS, cut_off));
    // Three voters, who hear each other now and then.
    let observed = |seed| Plan { replicas: 5, observers: 2, ..Plan::draw::<Zab>(seed * 8 + 2) };
    mutants.extend(mutants_with::<Zab>("zab", ZAB_OF_OBSERVERS, observed));
    let reading = |seed| Plan::draw::<Zab>(seed).observed::<Zab>(100).reading_by::<Zab>(2);
    mutants.extend(mutants_with::<Zab>("zab", ZAB_OF_READING_OBSERVERS, reading));
    mutants.extend(mutants_of::<Abd>("abd", ABD));
    let losing = |seed| Plan::draw::<Abd>(seed).losing::<Abd>();
    mutants.extend(mutants_with::<Abd>("abd", REGISTERS_OF_LOSSES, losing));
    mutants.extend(mutants_of::<Quorum>("quorum", QUORUM));
    let losing = |seed| Plan::draw::<Quorum>(seed).losing::<Quorum>();
    mutants.extend(mutants_with::<Quorum>("quorum", REGISTERS_OF_LOSSES, losing));
    let sloppy = |seed| Plan::draw::<Quorum>(seed).sloppy();
    mutants.extend(mutants_with::<Quorum>("quorum", QUORUM_OF_HINTS, sloppy));
    mutants.extend(mutants_of_two_phase_commit());
    mutants.extend(mutants_of_paxos_commit());
    mutants.extend(mutants_of::<MultiPaxos>("checker", CHECKER));
    if let Ok(wanted) = std::env::var("SYNOD_MUTANTS") {
        mutants.retain(|mutant| mutant.protocol == wanted || mutant.name.contains(&wanted));
        assert!(!mutants.is_empty(), "there are no mutants of {wanted}");
    }
    mutants
}

/// Of a protocol for transactions: its own, and those that break the rules of accounts.
fn mutants_of_transactions<P: Protocol>(rows: &[Row]) -> Vec<Mutant> {
    let mut mutants = mutants_of::<P>(P::NAME, rows);
    mutants.extend(mutants_with::<P>(P::NAME, BANK, |seed| Plan::draw::<P>(seed).banking()));
    mutants
}

fn mutants_of_two_phase_commit() -> Vec<Mutant> {
    let mut mutants = mutants_of_transactions::<TwoPhaseCommit>(TWO_PHASE_COMMIT);
    let cut_short = |seed| Plan::draw::<TwoPhaseCommit>(seed).cut_short();
    let lives = TWO_PHASE_COMMIT_OF_LIVES;
    mutants.extend(mutants_with::<TwoPhaseCommit>("two_phase_commit", lives, cut_short));
    mutants
}

fn mutants_of_paxos_commit() -> Vec<Mutant> {
    let mut mutants = mutants_of_transactions::<PaxosCommit>(PAXOS_COMMIT);
    let impatient = |seed| Plan::draw::<PaxosCommit>(seed).impatient();
    let take_overs = PAXOS_COMMIT_OF_TAKE_OVERS;
    mutants.extend(mutants_with::<PaxosCommit>("paxos_commit", take_overs, impatient));
    let flapping = |seed| Plan::draw::<PaxosCommit>(seed * 8 + 3).impatient();
    let promises = PAXOS_COMMIT_OF_PROMISES;
    mutants.extend(mutants_with::<PaxosCommit>("paxos_commit", promises, flapping));
    let checkpointing = |seed| Plan::draw::<PaxosCommit>(seed * 8 + 3).checkpointing();
    let checkpoints = PAXOS_COMMIT_OF_CHECKPOINTS;
    mutants.extend(mutants_with::<PaxosCommit>("paxos_commit", checkpoints, checkpointing));
    let outrunning = |seed| Plan::draw::<PaxosCommit>(seed).outrunning_disk();
    let lives = PAXOS_COMMIT_OF_LIVES;
    mutants.extend(mutants_with::<PaxosCommit>("paxos_commit", lives, outrunning));
    mutants
}

fn mutants_of_raft() -> Vec<Mutant> {
    let mut mutants = mutants_of::<Raft>("raft", RAFT);
    let later = |seed| Plan::draw::<Raft>(seed * 8 + 6);
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_OLD_TERMS, later));
    let changing = |seed| Plan::draw::<Raft>(seed).changing_often();
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_CHANGES, changing));
    let isolating = |seed| Plan { changes_every_ns: 0, ..Plan::draw::<Raft>(seed).isolating(3) };
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_ISOLATION, isolating));
    let reading = |seed| Plan::draw::<Raft>(seed).reading_apart();
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_READS, reading));
    let reading =
        |seed| Plan { disk_ns_max: 3 * MILLISECOND, ..Plan::draw::<Raft>(seed).reading_apart() };
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_FIRST_READS, reading));
    let drifting = |seed| Plan::draw::<Raft>(seed).drifting_apart();
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_LEASES, drifting));
    let split = |seed| Plan::draw::<Raft>(seed).split(3);
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_THREE, split));
    let split = |seed| Plan::draw::<Raft>(seed).split(4);
    mutants.extend(mutants_with::<Raft>("raft", RAFT_OF_FOUR, split));
    mutants
}

/// What all trials of one mutant came to.
#[derive(Default)]
struct Trials {
    /// Seeds until it was noticed, for each trial, in ascending order.
    seeds: Vec<u64>,
    killed_by: BTreeMap<Check, u64>,
    survived: u64,
}

impl Trials {
    fn of(mutant: &Mutant, count: u64) -> Self {
        let mut trials = Self::default();
        for trial in 0..count {
            // Trials share no seeds.
            let first = trial << 32;
            let killed = (first..first + SEEDS_MAX).find_map(|seed| {
                let check = (mutant.run)(seed).filter(|check| mutant.checks.contains(check))?;
                Some((seed - first + 1, check))
            });
            match killed {
                Some((seeds, check)) => {
                    trials.seeds.push(seeds);
                    *trials.killed_by.entry(check).or_insert(0) += 1;
                }
                None => trials.survived += 1,
            }
        }
        trials.seeds.sort_unstable();
        trials
    }

    /// The checks that killed it, most frequent first.
    fn killers(&self) -> String {
        let mut killers: Vec<_> =
            self.killed_by.iter().map(|(check, times)| (times, check)).collect();
        killers.sort_by_key(|&(times, _)| std::cmp::Reverse(times));
        let names: Vec<String> = killers.iter().map(|(_, check)| check.to_string()).collect();
        names.join(", ")
    }

    fn figures(&self) -> String {
        if self.survived > 0 {
            let trials = self.survived + self.seeds.len() as u64;
            return format!("survived {} of {trials} trials", self.survived);
        }
        let slow =
            percentile(&self.seeds, 50) > MEDIAN_MAX || percentile(&self.seeds, 95) > P95_MAX;
        format!("{} {}", spread(&self.seeds), if slow { "slow" } else { "" })
    }
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn spread(sorted: &[u64]) -> String {
    let (median, p95) = (percentile(sorted, 50), percentile(sorted, 95));
    format!("{median:>6} {p95:>5} {:>5}", sorted.last().unwrap_or(&0))
}

fn trials() -> u64 {
    std::env::var("SYNOD_TRIALS").map_or(TRIALS, |trials| trials.parse().expect("a number"))
}

/// What all mutants came to, each on one of as many threads as there are cores.
#[expect(clippy::disallowed_methods, reason = "how long each takes on this machine is shown")]
fn trials_of_all(mutants: &[Mutant]) -> Vec<Trials> {
    let (count, next) = (trials(), AtomicUsize::new(0));
    let worker = || {
        let mut results = Vec::new();
        while let Some((index, mutant)) = claim(&next, mutants) {
            let begin = Instant::now();
            results.push((index, Trials::of(mutant, count)));
            let Mutant { protocol, name, .. } = mutant;
            let seconds = begin.elapsed().as_secs_f64();
            eprintln!("{}/{} {protocol}: {name}, {seconds:.1} s", index + 1, mutants.len());
        }
        results
    };
    let mut results = thread::scope(|scope| {
        let workers = (0..thread::available_parallelism().map_or(1, usize::from))
            .map(|_| thread::Builder::new().name(WORKER.into()).spawn_scoped(scope, worker))
            .collect::<Vec<_>>();
        let results = |worker: io::Result<ScopedJoinHandle<'_, _>>| {
            worker.expect("a thread can be had").join().expect("it catches the panics of mutants")
        };
        workers.into_iter().flat_map(results).collect::<Vec<_>>()
    });
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, trials)| trials).collect()
}

fn claim<'m>(next: &AtomicUsize, mutants: &'m [Mutant]) -> Option<(usize, &'m Mutant)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, mutants.get(index)?))
}

/// The name of the threads that run mutants.
const WORKER: &str = "mutants";

/// Mutants panic often, which is no news on their threads.
fn silence_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().name() != Some(WORKER) {
            usual(panic);
        }
    }));
}

#[test]
fn every_mutant_is_noticed() {
    let mutants = mutants();
    silence_panics();
    let results = trials_of_all(&mutants);
    drop(panic::take_hook());
    println!("\n{:<13} {:<38} {:<24} median   p95   max", "protocol", "mutant", "killed by");
    for (Mutant { protocol, name, .. }, result) in mutants.iter().zip(&results) {
        let (killers, figures) = (result.killers(), result.figures());
        let row = format!("{protocol:<13} {name:<38} {killers:<24} {figures}");
        println!("{}", row.trim_end());
    }
    let survivors = results.iter().filter(|result| result.survived > 0).count();
    let mut seeds: Vec<_> = results.into_iter().flat_map(|result| result.seeds).collect();
    seeds.sort_unstable();
    println!(
        "{} mutants, {} killed; seeds to kill over all trials: median {}, p95 {}",
        mutants.len(),
        mutants.len() - survivors,
        percentile(&seeds, 50),
        percentile(&seeds, 95)
    );
    assert_eq!(survivors, 0, "so many mutants survived");
}
