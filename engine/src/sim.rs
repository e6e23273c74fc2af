//! The simulator: the same protocol code and the same node driver, in virtual time from one seed.
//!
//! A seed stands for a [`plan`]: a cluster, a workload, a network, disks, clocks and faults. Its
//! [`world`] is an event heap; replicas and the load generator run on machines whose turns it calls.
//! Real frames travel between them and real log writes go to their disks. A run has three parts:
//!
//! 1. Faults strike while clients ask.
//! 2. Everything heals, and all vote again who were asked not to. But only as many replicas as the
//!    protocol needs go on, chosen by the seed; the others stand still. Clients must get answers
//!    within a bound.
//! 3. All go on. When the clients are done, replicas must come to hold the same, and what was
//!    answered must be there.
//!
//! Everywhere the protocol's invariants hold after each step, replicas never commit different things,
//! and the history of the clients is as the protocol promises.

pub mod campaign;
pub mod disk;
pub mod models;
#[cfg(test)]
mod mutants;
#[cfg(test)]
pub(crate) mod mutation;
mod network;
pub mod observe;
pub mod plan;
pub mod trace;
pub mod workload;
pub(crate) mod world;

use std::collections::BTreeMap;

use crossbeam::channel::unbounded;
use synod_protocols::protocol::{Change, Protocol, Service};
use synod_protocols::types::ReplicaId;
use synod_results::check::{self, Consistency};
use synod_results::history::Operation;
use synod_workloads::{Concern, Random};

pub use self::network::Traffic;
use self::observe::Seen;
use self::plan::Plan;
use self::trace::TraceLine;
pub use self::world::Tally;
use self::world::{Ended, World};
use crate::load::{Piece, Recording};
use crate::registry::promise_of;

/// After everything has healed clients get answers within this, unless the plan is slowed down.
const PROGRESS_NS_MAX: u64 = 30_000_000_000;

/// How much longer for each replica that stands still: clients ask one after the other, and wait longer
/// each time.
const FROZEN_NS: u64 = 15_000_000_000;

/// How long until an administrator asks again, unless the plan is slowed down.
const ASK_AGAIN_NS: u64 = 1_000_000_000;

/// Answers that count as progress.
const PROGRESS_OPERATIONS: u64 = 20;

/// How long replicas may take to agree once nobody asks.
const SETTLE_NS_MAX: u64 = 30_000_000_000;

/// Memory for the check of a history.
const CHECK_BYTES_MAX: u64 = 1 << 30;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub tally: Tally,
    /// Virtual time from beginning to end.
    pub simulated_ns: u64,
    /// Operations in the history, and how many of them without a known outcome.
    pub operations: u64,
    /// Operations whose outcome is not known.
    pub unknown: u64,
    /// Virtual time from the healing until there was progress.
    pub recovery_ns: u64,
    /// What replicas did together.
    pub seen: Seen,
    /// What was wrong, if anything.
    pub failure: Option<Failure>,
}

/// What was wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which check found it.
    pub check: Check,
    /// A sentence.
    pub sentence: String,
}

/// The checks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// An assertion of the protocol or the engine.
    Assertion,
    /// Replicas committed the same.
    Agreement,
    /// A replica starts from what its disk holds.
    Recovery,
    /// Clients get answers once everything is healed.
    Progress,
    /// Replicas come to hold the same.
    Convergence,
    /// The history is as the protocol promises.
    History,
    /// What was answered is there in the end.
    Durability,
}

impl Check {
    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assertion => "assertion",
            Self::Agreement => "agreement",
            Self::Recovery => "recovery",
            Self::Progress => "progress",
            Self::Convergence => "convergence",
            Self::History => "history",
            Self::Durability => "durability",
        }
    }
}

/// Runs a plan to its end, or until a check fails. Panics of the protocol or the engine are the
/// caller's to catch.
#[must_use]
pub fn run<P: Protocol>(plan: &Plan, trace: bool) -> Outcome {
    Seen::begin(trace);
    let (full, pieces) = unbounded();
    let (_, used) = unbounded();
    let recording = Recording::new(0, full, used).without_latencies();
    let mut world = World::<P>::new(plan.clone(), vec![recording]);
    world.begin();
    let lived = live(&mut world, plan);
    let simulated_ns = world.now;
    let recovery_ns = lived.as_ref().copied().unwrap_or(0);
    let contents = lived.is_ok().then(|| world.contents());
    let Ended { tally, seen, .. } = world.finish();
    let history: Vec<Operation> = pieces
        .try_iter()
        .flat_map(|piece| match piece {
            Piece::Operations(operations) => operations,
            Piece::Latencies(_) => unreachable!("none are kept"),
        })
        .collect();
    let unknown = history.iter().filter(|operation| operation.end_ns == u64::MAX).count() as u64;
    let promise = promise_of::<P>(plan.replicas.into(), &plan.parameters);
    let failure = lived
        .err()
        .or_else(|| seen.disagreement.clone().map(|sentence| failed(Check::Agreement, sentence)))
        .or_else(|| check_history(&history, promise))
        .or_else(|| check_durability(&history, contents.as_ref()?, promise));
    let operations = history.len() as u64;
    Outcome { tally, simulated_ns, operations, unknown, recovery_ns, seen, failure }
}

fn failed(check: Check, sentence: String) -> Failure {
    Failure { check, sentence }
}

/// The three parts of a run. Returns how long the cluster took to answer again.
fn live<P: Protocol>(world: &mut World<P>, plan: &Plan) -> Result<u64, Failure> {
    world.run_until(plan.faults_ns, |_| false);
    recovered(world)?;
    world.heal();
    let healed_at = world.now;
    // Who has lost what it promised needs all others to get it back.
    if !world.run_until(healed_at + plan.slowness * PROGRESS_NS_MAX, World::is_whole) {
        recovered(world)?;
        let sentence = format!("a replica did not get back what it lost: {}", world.describe());
        return Err(failed(Check::Progress, sentence));
    }
    let_all_vote(world, plan)?;
    let frozen = choose_frozen::<P>(plan);
    world.freeze(&frozen);
    progress(world, plan, frozen.len(), "after all faults were healed")?;
    let recovery_ns = world.now - healed_at;
    world.thaw(&frozen);
    progress(world, plan, 0, "with all replicas")?;
    world.stop_load();
    let end = world.now + plan.slowness * SETTLE_NS_MAX;
    if !world.run_until(end, World::is_settled) {
        recovered(world)?;
        let sentence = format!("the replicas did not come to hold the same: {}", world.describe());
        return Err(failed(Check::Convergence, sentence));
    }
    if P::SERVICE == Service::StateMachine && !world.is_alike() {
        let sentence = "replicas that applied the same do not hold the same".to_owned();
        return Err(failed(Check::Convergence, sentence));
    }
    Ok(recovery_ns)
}

/// The administrator lets everybody vote, so that any majority can go on without the others.
fn let_all_vote<P: Protocol>(world: &mut World<P>, plan: &Plan) -> Result<(), Failure> {
    let end = world.now + plan.slowness * PROGRESS_NS_MAX;
    for id in (0..plan.replicas).filter(|_| P::CHANGES) {
        // Also of one that votes: something else that was asked before may still wait for its turn.
        loop {
            world.change(Change::Add(ReplicaId(id)));
            world.run_until(world.now + plan.slowness * ASK_AGAIN_NS, |_| false);
            if world.votes(usize::from(id)) {
                break;
            }
            if world.now >= end {
                recovered(world)?;
                let sentence = format!("replica {id} was not let vote: {}", world.describe());
                return Err(failed(Check::Progress, sentence));
            }
        }
    }
    Ok(())
}

fn recovered<P: Protocol>(world: &World<P>) -> Result<(), Failure> {
    match (&world.failure, Seen::disagreement()) {
        (Some(sentence), _) => Err(failed(Check::Recovery, sentence.clone())),
        (None, Some(sentence)) => Err(failed(Check::Agreement, sentence)),
        (None, None) => Ok(()),
    }
}

fn progress<P: Protocol>(
    world: &mut World<P>,
    plan: &Plan,
    frozen: usize,
    when: &str,
) -> Result<(), Failure> {
    let wanted = world.completed() + PROGRESS_OPERATIONS;
    let end = world.now + plan.slowness * (PROGRESS_NS_MAX + frozen as u64 * FROZEN_NS);
    if world.run_until(end, |world| world.completed() >= wanted) {
        return Ok(());
    }
    recovered(world)?;
    Err(failed(Check::Progress, format!("no progress {when}: {}", world.describe())))
}

/// Replicas that stand still while the others must get along without them.
fn choose_frozen<P: Protocol>(plan: &Plan) -> Vec<usize> {
    let mut random = Random::new(plan.seed ^ 0xf0, Concern::World);
    let replicas = usize::from(plan.replicas);
    let mut all: Vec<usize> = (0..replicas).collect();
    for place in (1..replicas).rev() {
        all.swap(place, usize::try_from(random.below(place as u64 + 1)).expect("few"));
    }
    all.split_off(plan.quorum_max::<P>())
}

fn check_history(history: &[Operation], promise: Consistency) -> Option<Failure> {
    let verdict = check::check(history, promise, CHECK_BYTES_MAX, &|| 0)
        .expect("a history in memory can be read");
    (!verdict.is_pass()).then(|| failed(Check::History, verdict.to_string()))
}

/// Of clocks that differ, the later write may lose: who promises no more than that what was written
/// is read some time is not held to it.
fn check_durability(
    history: &[Operation],
    contents: &BTreeMap<u64, u64>,
    promise: Consistency,
) -> Option<Failure> {
    let losses = match promise {
        Consistency::StrictlySerializable
        | Consistency::Linearizable
        | Consistency::Sequential
        | Consistency::Regular => check::durability(history, contents),
        Consistency::Eventual => Vec::new(),
    };
    losses.first().map(|loss| failed(Check::Durability, loss.to_string()))
}

/// The messages of a run, for people.
#[must_use]
pub fn messages<P: Protocol>(plan: &Plan) -> Vec<TraceLine> {
    run::<P>(plan, true).seen.into_trace()
}
