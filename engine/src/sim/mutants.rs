//! Replicas, logs and repairs with one rule broken, in the simulated world. Each must be noticed
//! within a few seeds by a check that is meant for it, or the simulator is worth nothing.
//!
//! `scripts/mutants engine` runs the test with more trials and shows its table.
//!
//! What is missing and why: records replayed twice change nothing, as protocols replay them so that
//! they may come again after a checkpoint whose snapshot was never finished. The end of a write taken
//! for another's is noticed where one disk decides: elsewhere a second replica has to miss the same.
//! Damage in the middle of a log that is taken for its torn end was noticed only now and then within
//! 400 seeds: plans that make it show are still to be found. So it is with clocks that run further apart
//! than a lease allows for: most often those that are fast lead.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use synod_protocols::abd::Abd;
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::paxos::Paxos;
use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::{Protocol, Unit};
use synod_protocols::quorum::Quorum;
use synod_protocols::raft::Raft;
use synod_protocols::two_phase_commit::TwoPhaseCommit;
use synod_protocols::unreplicated::Unreplicated;
use synod_protocols::viewstamped::Viewstamped;
use synod_protocols::zab::Zab;
use synod_workloads::{Arrival, Concern, Random, Transaction};

use super::Check;
use super::campaign::run_caught;
use super::mutation::Mutation;
use super::plan::{Action, Fault, Plan, Target};
use crate::latency::Latency;
use crate::wal::WalLimits;

/// Seeds of one trial, after which the mutant counts as survived.
const SEEDS_MAX: u64 = 400;

/// Trials of each mutant, unless `SYNOD_TRIALS` says otherwise.
const TRIALS: u64 = 1;

/// Seeds of each shape of plans that run with nothing broken, for each protocol, and must not fail.
const SOUND_SEEDS: u64 = 10;

const MS: u64 = 1_000_000;

/// For how long faults strike.
const FAULTS_NS: u64 = 5_000 * MS;

/// What a mutant's plans are made for, whatever else the seed says.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// What goes wrong, in turn with crashes.
    actions: &'static [Action],
    /// Faults in a run.
    faults: u64,
    /// Whether the log is often cut, and small.
    cuts: bool,
    /// How gets are answered, if not as the seed says.
    reads: Option<&'static str>,
}

const CRASHES: Shape = Shape {
    actions: &[Action::Crash, Action::Crash, Action::Isolate],
    faults: 25,
    cuts: false,
    reads: None,
};
const LOSSES: Shape = Shape {
    actions: &[Action::Wipe, Action::Isolate, Action::Crash],
    faults: 15,
    cuts: false,
    reads: None,
};
/// So many losses that one follows another.
const MANY_LOSSES: Shape = Shape {
    actions: &[Action::Wipe, Action::Isolate, Action::Crash],
    faults: 120,
    cuts: false,
    reads: None,
};
const DAMAGE: Shape = Shape {
    actions: &[Action::Rot, Action::Misdirect, Action::Isolate],
    faults: 15,
    cuts: false,
    reads: None,
};
const MISPLACED: Shape =
    Shape { actions: &[Action::Misdirect, Action::Crash], faults: 25, cuts: true, reads: None };
/// So many crashes that replicas which know of something are often down together.
const OUTAGES: Shape = Shape { actions: &[Action::Crash], faults: 80, cuts: false, reads: None };
const CUTS: Shape =
    Shape { actions: &[Action::Crash, Action::Isolate], faults: 25, cuts: true, reads: None };
/// Leaders are cut off, and answer gets as others lead.
const fn reading(way: &'static str) -> Shape {
    let actions = &[Action::Isolate, Action::Isolate, Action::Crash];
    Shape { actions, faults: 50, cuts: false, reads: Some(way) }
}

impl Shape {
    fn plan<P: Protocol>(self, seed: u64) -> Plan {
        // Of three replicas one that is wrong is half of a majority.
        let drawn = (0..)
            .map(|again| Plan::draw::<P>(seed ^ again << 48))
            .filter(|drawn| drawn.faults.iter().all(|fault| !fault.action.is_change()))
            .find(|drawn| usize::from(drawn.replicas) == P::REPLICAS_MAX.min(3))
            .expect("many do");
        let random = &mut Random::new(seed ^ 0x6d75_7461_6e74, Concern::World);
        let mut faults: Vec<Fault> = (0..self.faults)
            .map(|_| Fault {
                at_ns: random.below(FAULTS_NS),
                action: self.actions[index(random, self.actions.len())],
                target: if random.below(2) == 0 { Target::Leader } else { Target::Any },
                for_ns: 1 + random.below(500 * MS),
            })
            .collect();
        faults.sort_by_key(|fault| fault.at_ns);
        let segment_bytes = drawn.log.map_or(136 << 10, |log| log.write_bytes_max);
        let log = WalLimits { segment_bytes, write_bytes_max: 136 << 10, writes_in_flight: 4 };
        let mut plan = Plan { faults, faults_ns: FAULTS_NS, log: Some(log), ..drawn };
        plan.disk = Latency::around([MS, 5 * MS][index(random, 2)], random);
        plan.network.latency = Latency::Exponential(50_000, 2 * MS);
        // Enough is asked for that something is always under way.
        plan.load.clients = 4;
        plan.load.arrival = Arrival::Closed { outstanding: 1, think_ns: 4 * MS };
        if let Transaction::ReadWrite { .. } = plan.load.transaction {
            plan.load.keys.count = 12;
        }
        if self.cuts {
            plan.snapshot_bytes = 128 << 10;
        }
        if let Some(way) = self.reads {
            read_by::<P>(way, &mut plan);
        }
        plan
    }
}

/// Gets are answered in this way, and a leader that is cut off is not missed for long.
fn read_by<P: Protocol>(way: &str, plan: &mut Plan) {
    for (place, parameter) in plan.parameters.iter_mut().zip(P::PARAMETERS) {
        *place = match (parameter.name, parameter.unit) {
            ("reads", Unit::Choice(ways)) => {
                ways.iter().position(|(name, _)| *name == way).expect("it is one") as u64
            }
            ("heartbeat", _) => 10 * MS,
            ("election_timeout", _) => 100 * MS,
            ("check_quorum" | "pre_vote", _) => 1,
            _ => *place,
        };
    }
    let replicas = usize::from(plan.replicas);
    P::validate(replicas, &plan.parameters[..P::PARAMETERS.len()]).expect("they fit");
    // Who is not answered soon finds the new leader while the old one still answers others.
    plan.load.timeout_ns = 20 * MS;
    // Gets have connections of their own.
    plan.limits.clients_max = 1 + 2 * usize::from(plan.load.connections);
}

fn index(random: &mut Random, below: usize) -> usize {
    usize::try_from(random.below(below as u64)).expect("a few")
}

/// One row of the table.
struct Mutant {
    protocol: &'static str,
    name: &'static str,
    /// The checks that are meant to notice it. A seed that fails otherwise does not count.
    checks: &'static [Check],
    run: Box<dyn Fn(u64) -> Option<Check>>,
}

type Row = (&'static str, Mutation, Shape, &'static [Check]);

const ANY: &[Check] =
    &[Check::Assertion, Check::Agreement, Check::Recovery, Check::Convergence, Check::History];
const AGREEMENT: &[Check] = &[Check::Agreement, Check::History];
const HISTORY: &[Check] = &[Check::History];

const UNREPLICATED: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, CRASHES, AGREEMENT),
    ("end of a write taken for another's", Mutation::ConfusesWrites, CRASHES, AGREEMENT),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, AGREEMENT),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, ANY),
    ("block counts wherever it lies", Mutation::IgnoresPlace, CUTS, ANY),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
    ("snapshot without sessions", Mutation::OmitsSessions, CUTS, HISTORY),
    ("repeat executed again", Mutation::ExecutesRepeats, CRASHES, HISTORY),
];

const MULTI_PAXOS: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, OUTAGES, AGREEMENT),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, AGREEMENT),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, AGREEMENT),
    ("block counts wherever it lies", Mutation::IgnoresPlace, MISPLACED, ANY),
    ("lost replica starts as whole", Mutation::ForgetsLoss, LOSSES, AGREEMENT),
    ("note of loss removed too early", Mutation::RegainsEarly, LOSSES, AGREEMENT),
    ("promises while lost", Mutation::AnswersWhileLost(1 << 1), LOSSES, AGREEMENT),
    ("one answers for all others", Mutation::OneAnswersForAll(1 << 12 | 0b1100), LOSSES, AGREEMENT),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
    ("snapshot without sessions", Mutation::OmitsSessions, CUTS, ANY),
    ("repeat executed again", Mutation::ExecutesRepeats, CRASHES, HISTORY),
    ("leader under a lease answers at once", Mutation::ServesAtOnce, reading("lease"), HISTORY),
    ("quorum read without asking", Mutation::ServesAtOnce, reading("quorum"), HISTORY),
];

const PAXOS: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, OUTAGES, AGREEMENT),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, AGREEMENT),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, AGREEMENT),
    ("block counts wherever it lies", Mutation::IgnoresPlace, MISPLACED, ANY),
    ("lost replica starts as whole", Mutation::ForgetsLoss, LOSSES, AGREEMENT),
    ("note of loss removed too early", Mutation::RegainsEarly, MANY_LOSSES, AGREEMENT),
    ("promises while lost", Mutation::AnswersWhileLost(1 << 1), MANY_LOSSES, AGREEMENT),
    (
        "one answers for all others",
        Mutation::OneAnswersForAll(1 << 12 | 0b100),
        MANY_LOSSES,
        AGREEMENT,
    ),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
    ("snapshot without sessions", Mutation::OmitsSessions, CUTS, ANY),
    ("repeat executed again", Mutation::ExecutesRepeats, CRASHES, HISTORY),
];

const RAFT: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, OUTAGES, AGREEMENT),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, AGREEMENT),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, ANY),
    ("block counts wherever it lies", Mutation::IgnoresPlace, MISPLACED, ANY),
    ("lost replica starts as whole", Mutation::ForgetsLoss, LOSSES, ANY),
    ("note of loss removed too early", Mutation::RegainsEarly, MANY_LOSSES, ANY),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
    ("snapshot without sessions", Mutation::OmitsSessions, CUTS, ANY),
    ("repeat executed again", Mutation::ExecutesRepeats, CRASHES, HISTORY),
    ("leader under a lease answers at once", Mutation::ServesAtOnce, reading("lease"), HISTORY),
    ("leader answers without asking", Mutation::ServesAtOnce, reading("read_index"), HISTORY),
];

const VIEWSTAMPED: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, OUTAGES, AGREEMENT),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, AGREEMENT),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, ANY),
    ("block counts wherever it lies", Mutation::IgnoresPlace, MISPLACED, ANY),
    ("lost replica starts as whole", Mutation::ForgetsLoss, MANY_LOSSES, AGREEMENT),
    ("note of loss removed too early", Mutation::RegainsEarly, MANY_LOSSES, AGREEMENT),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
    ("snapshot without sessions", Mutation::OmitsSessions, CUTS, ANY),
    ("repeat executed again", Mutation::ExecutesRepeats, CRASHES, HISTORY),
];

const ZAB: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, OUTAGES, AGREEMENT),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, AGREEMENT),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, ANY),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
    ("snapshot without sessions", Mutation::OmitsSessions, CUTS, ANY),
    ("repeat executed again", Mutation::ExecutesRepeats, CRASHES, HISTORY),
    ("local read behind what was seen", Mutation::ServesAtOnce, reading("local"), HISTORY),
];

const ABD: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, CRASHES, HISTORY),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, HISTORY),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, AGREEMENT),
    ("lost replica starts as whole", Mutation::ForgetsLoss, LOSSES, AGREEMENT),
    ("answers queries while lost", Mutation::AnswersWhileLost(1 << 1), LOSSES, AGREEMENT),
    ("one sends registers for all others", Mutation::OneAnswersForAll(1), LOSSES, AGREEMENT),
];

const QUORUM: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, CRASHES, HISTORY),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, HISTORY),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, AGREEMENT),
    ("lost replica starts as whole", Mutation::ForgetsLoss, LOSSES, AGREEMENT),
    ("answers reads while lost", Mutation::AnswersWhileLost(1 << 1), LOSSES, AGREEMENT),
];

const TWO_PHASE_COMMIT: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, OUTAGES, ANY),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, ANY),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, ANY),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
];

const PAXOS_COMMIT: &[Row] = &[
    ("write durable in a cache only", Mutation::CachesWrites, OUTAGES, ANY),
    ("sends before the disk", Mutation::SendsEarly, CRASHES, ANY),
    ("last record not replayed", Mutation::SkipsLastRecord, CRASHES, ANY),
    ("log replayed from too late", Mutation::SkipsToDurable, CUTS, ANY),
    ("log cut before the checkpoint", Mutation::CutsLogEarly, CUTS, ANY),
];

fn mutants_of<P: Protocol>(protocol: &'static str, rows: &[Row]) -> Vec<Mutant> {
    let mutant = |&(name, mutation, shape, checks): &Row| {
        let run = move |seed| {
            Mutation::set(Some(mutation));
            let outcome = run_caught::<P>(&shape.plan::<P>(seed));
            Mutation::set(None);
            outcome.failure.map(|failure| failure.check)
        };
        Mutant { protocol, name, checks, run: Box::new(run) }
    };
    rows.iter().map(mutant).collect()
}

/// Every mutant, or those whose protocol or name `SYNOD_MUTANTS` gives.
fn mutants() -> Vec<Mutant> {
    let mut mutants = mutants_of::<Unreplicated>("unreplicated", UNREPLICATED);
    mutants.extend(mutants_of::<MultiPaxos>("multi_paxos", MULTI_PAXOS));
    mutants.extend(mutants_of::<Paxos>("paxos", PAXOS));
    mutants.extend(mutants_of::<Raft>("raft", RAFT));
    mutants.extend(mutants_of::<Viewstamped>("viewstamped", VIEWSTAMPED));
    mutants.extend(mutants_of::<Zab>("zab", ZAB));
    mutants.extend(mutants_of::<Abd>("abd", ABD));
    mutants.extend(mutants_of::<Quorum>("quorum", QUORUM));
    mutants.extend(mutants_of::<TwoPhaseCommit>("two_phase_commit", TWO_PHASE_COMMIT));
    mutants.extend(mutants_of::<PaxosCommit>("paxos_commit", PAXOS_COMMIT));
    if let Ok(wanted) = std::env::var("SYNOD_MUTANTS") {
        mutants.retain(|mutant| mutant.protocol == wanted || mutant.name.contains(&wanted));
        assert!(!mutants.is_empty(), "there are no mutants of {wanted}");
    }
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
        killers.sort_by_key(|&(times, _)| Reverse(times));
        let names: Vec<&str> = killers.iter().map(|(_, check)| check.name()).collect();
        names.join(", ")
    }

    fn figures(&self) -> String {
        if self.survived == 0 {
            return spread(&self.seeds);
        }
        format!("survived {} of {} trials", self.survived, self.survived + self.seeds.len() as u64)
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

#[test]
fn every_mutant_is_noticed() {
    let trials =
        std::env::var("SYNOD_TRIALS").map_or(TRIALS, |trials| trials.parse().expect("a number"));
    let mutants = mutants();
    println!("\n{:<13} {:<38} {:<24} median   p95   max", "protocol", "mutant", "killed by");
    let (mut seeds, mut survivors) = (Vec::new(), 0);
    for (index, mutant) in mutants.iter().enumerate() {
        eprintln!("{}/{} {}: {}", index + 1, mutants.len(), mutant.protocol, mutant.name);
        let result = Trials::of(mutant, trials);
        let (killers, figures) = (result.killers(), result.figures());
        println!("{:<13} {:<38} {killers:<24} {figures}", mutant.protocol, mutant.name);
        survivors += usize::from(result.survived > 0);
        seeds.extend(result.seeds);
    }
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

fn assert_sound<P: Protocol>() {
    for shape in [CRASHES, LOSSES, DAMAGE, CUTS] {
        for seed in 0..SOUND_SEEDS {
            let failure = run_caught::<P>(&shape.plan::<P>(seed)).failure;
            // The sentence of a panic on a thread that catches panics is kept, not shown.
            if let Some(failure) = &failure {
                println!("{} seed {seed} of {shape:?}: {failure:?}", P::NAME);
            }
            assert_eq!(failure, None);
        }
    }
}

#[test]
fn the_plans_of_mutants_fail_only_with_something_broken() {
    assert_sound::<Unreplicated>();
    assert_sound::<MultiPaxos>();
    assert_sound::<Paxos>();
    assert_sound::<Raft>();
    assert_sound::<Viewstamped>();
    assert_sound::<Zab>();
    assert_sound::<Abd>();
    assert_sound::<Quorum>();
}
