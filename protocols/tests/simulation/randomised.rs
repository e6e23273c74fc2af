//! Random plans by seed. A failure names its seed.

use std::panic::{AssertUnwindSafe, catch_unwind};

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

use crate::cluster::{Summary, run};
use crate::plan::Plan;

/// Runs one plan; a failed assertion is a failure like any other.
pub(crate) fn outcome<P: Protocol>(plan: &Plan) -> Result<Summary, String> {
    catch_unwind(AssertUnwindSafe(|| run::<P>(plan))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(message.unwrap_or_else(|| "a panic without a message".into()))
    })
}

fn seeds(default: u64) -> u64 {
    match std::env::var("SYNOD_SEEDS") {
        Ok(seeds) => seeds.parse().expect("SYNOD_SEEDS is a number"),
        Err(_) => default,
    }
}

fn campaign<P: Protocol>(count: u64) -> Vec<Summary> {
    campaign_with::<P>(count, Plan::draw::<P>)
}

/// Runs many seeds and shows, on the standard output of the test, what they amounted to.
fn campaign_with<P: Protocol>(count: u64, draw: fn(u64) -> Plan) -> Vec<Summary> {
    let mut failures = Vec::new();
    let mut summaries = Vec::new();
    for seed in 0..seeds(count) {
        let plan = draw(seed);
        match outcome::<P>(&plan) {
            Ok(summary) => summaries.push(summary),
            Err(failure) => failures.push(format!("seed {seed}: {failure}\n{plan:?}")),
        }
    }
    let total = |count: fn(&Summary) -> u64| summaries.iter().map(count).sum::<u64>();
    println!(
        "{}: {} seeds, {} steps, {} operations and {} of unknown outcome, {} crashes, \
         {} snapshots, {} checkpoints, {} transfers, {} changes of voters, {} handoffs, recovery {} ms \
         at most",
        P::NAME,
        seeds(count),
        total(|summary| summary.steps),
        total(|summary| summary.finished as u64),
        total(|summary| summary.unknown as u64),
        total(|summary| summary.crashes),
        total(|summary| summary.snapshots),
        total(|summary| summary.checkpoints),
        total(|summary| summary.transfers),
        total(|summary| summary.changes),
        total(|summary| summary.handoffs),
        summaries.iter().map(|summary| summary.recovery_ns).max().unwrap_or(0) / 1_000_000,
    );
    let shown = failures.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} seeds failed:\n{shown}", failures.len());
    summaries
}

#[test]
fn unreplicated_survives_its_faults() {
    campaign::<Unreplicated>(1_000);
}

#[test]
fn abd_survives_its_faults() {
    campaign::<Abd>(1_000);
}

#[test]
fn quorum_survives_its_faults() {
    let summaries = campaign::<Quorum>(1_000);
    assert!(summaries.iter().any(|summary| summary.handoffs > 0), "no hint was ever handed off");
}

#[test]
fn sloppy_quorums_survive_their_faults() {
    let summaries = campaign_with::<Quorum>(1_000, |seed| Plan::draw::<Quorum>(seed).sloppy());
    let with_handoffs = summaries.iter().filter(|summary| summary.handoffs > 0).count();
    assert!(with_handoffs > summaries.len() / 4, "hints were handed off in {with_handoffs} runs");
}

#[test]
fn two_phase_commit_survives_its_faults() {
    campaign::<TwoPhaseCommit>(2_000);
}

#[test]
fn paxos_commit_survives_its_faults() {
    campaign::<PaxosCommit>(2_000);
}

#[test]
fn money_only_moves_with_two_phase_commit() {
    campaign_with::<TwoPhaseCommit>(1_000, |seed| Plan::draw::<TwoPhaseCommit>(seed).banking());
}

#[test]
fn money_only_moves_with_paxos_commit() {
    campaign_with::<PaxosCommit>(1_000, |seed| Plan::draw::<PaxosCommit>(seed).banking());
}

#[test]
fn hot_keys_starve_nobody_with_two_phase_commit() {
    campaign_with::<TwoPhaseCommit>(300, |seed| Plan::draw::<TwoPhaseCommit>(seed).contended());
}

#[test]
fn hot_keys_starve_nobody_with_paxos_commit() {
    campaign_with::<PaxosCommit>(300, |seed| Plan::draw::<PaxosCommit>(seed).contended());
}

#[test]
fn multi_paxos_survives_its_faults() {
    let summaries = campaign::<MultiPaxos>(1_000);
    assert!(summaries.iter().any(|summary| summary.snapshots > 0), "no snapshot was ever needed");
}

#[test]
fn paxos_survives_its_faults() {
    let summaries = campaign::<Paxos>(1_000);
    assert!(summaries.iter().any(|summary| summary.snapshots > 0), "no snapshot was ever needed");
}

#[test]
fn raft_survives_its_faults() {
    let summaries = campaign::<Raft>(1_000);
    assert!(summaries.iter().any(|summary| summary.snapshots > 0), "no snapshot was ever needed");
    assert!(summaries.iter().any(|summary| summary.transfers > 0), "nothing was handed over");
    assert!(summaries.iter().any(|summary| summary.changes > 0), "who votes never changed");
}

#[test]
fn raft_survives_changes_again_and_again() {
    campaign_with::<Raft>(1_000, |seed| Plan::draw::<Raft>(seed).changing_often());
}

#[test]
fn raft_survives_administrators_on_both_sides() {
    let summaries = campaign_with::<Raft>(200, |seed| {
        Plan::draw::<Raft>(seed).split(if seed.is_multiple_of(2) { 3 } else { 4 })
    });
    assert!(summaries.iter().all(|summary| summary.changes > 0), "who votes never changed");
}

#[test]
fn viewstamped_survives_its_faults() {
    let summaries = campaign::<Viewstamped>(1_000);
    assert!(summaries.iter().any(|summary| summary.snapshots > 0), "no snapshot was ever needed");
}

#[test]
fn zab_survives_its_faults() {
    let summaries = campaign::<Zab>(1_000);
    assert!(summaries.iter().any(|summary| summary.snapshots > 0), "no snapshot was ever needed");
}

#[test]
fn leases_of_raft_survive_clocks_that_drift() {
    campaign_with::<Raft>(300, |seed| Plan::draw::<Raft>(seed).drifting());
    campaign_with::<Raft>(20, |seed| Plan::draw::<Raft>(seed).drifting_apart());
}

#[test]
fn raft_answers_gets_of_clients_that_roam() {
    campaign_with::<Raft>(20, |seed| Plan::draw::<Raft>(seed).reading_apart());
}

#[test]
fn zab_survives_an_oracle_that_names_anybody() {
    let misled = |seed| Plan { any_oracle: true, ..Plan::draw::<Zab>(seed) };
    campaign_with::<Zab>(500, misled);
}

#[test]
fn writes_that_power_cuts_end_are_no_loss() {
    campaign_with::<Unreplicated>(100, cutting_power::<Unreplicated>);
    campaign_with::<Abd>(100, cutting_power::<Abd>);
    campaign_with::<Quorum>(100, cutting_power::<Quorum>);
    campaign_with::<TwoPhaseCommit>(200, cutting_power::<TwoPhaseCommit>);
    campaign_with::<PaxosCommit>(200, cutting_power::<PaxosCommit>);
    campaign_with::<MultiPaxos>(200, cutting_power::<MultiPaxos>);
    campaign_with::<Paxos>(200, cutting_power::<Paxos>);
    campaign_with::<Raft>(200, cutting_power::<Raft>);
    campaign_with::<Viewstamped>(200, cutting_power::<Viewstamped>);
    campaign_with::<Zab>(200, cutting_power::<Zab>);
}

#[test]
fn lives_that_end_before_they_are_on_disk_are_no_loss() {
    campaign_with::<TwoPhaseCommit>(60, |seed| Plan::draw::<TwoPhaseCommit>(seed).cut_short());
    campaign_with::<PaxosCommit>(60, |seed| Plan::draw::<PaxosCommit>(seed).outrunning_disk());
}

#[test]
fn checkpoints_between_ballots_forget_nothing() {
    campaign_with::<PaxosCommit>(200, |seed| {
        Plan::draw::<PaxosCommit>(seed * 8 + 3).checkpointing()
    });
}

fn cutting_power<P: Protocol>(seed: u64) -> Plan {
    Plan { cut_percent: 30, ..Plan::draw::<P>(seed) }
}

#[test]
fn replicas_get_back_what_was_on_a_lost_disk() {
    campaign_with::<MultiPaxos>(200, |seed| Plan::draw::<MultiPaxos>(seed).losing::<MultiPaxos>());
    campaign_with::<Raft>(200, |seed| Plan::draw::<Raft>(seed).losing::<Raft>());
    campaign_with::<Viewstamped>(200, |seed| {
        Plan::draw::<Viewstamped>(seed).losing::<Viewstamped>()
    });
    campaign_with::<Viewstamped>(200, |seed| Plan::draw::<Viewstamped>(seed).forgetting());
    campaign_with::<Abd>(200, |seed| Plan::draw::<Abd>(seed).losing::<Abd>());
    campaign_with::<Quorum>(200, |seed| Plan::draw::<Quorum>(seed).losing::<Quorum>());
}

/// Seeds that once found a bug.
#[test]
fn seeds_that_failed_before() {
    // The record of an installed snapshot was replayed like a checkpoint of the own store, so that
    // a vote that had lost was taken for the chosen value.
    let failure = outcome::<MultiPaxos>(&Plan::draw::<MultiPaxos>(318)).err();
    assert_eq!(failure, None);
}
