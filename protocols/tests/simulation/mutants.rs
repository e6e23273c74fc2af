//! Worlds with one rule broken. Each must be noticed within so many seeds, or the checks are
//! worth nothing.

use synod_protocols::abd::Abd;
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::protocol::Protocol;
use synod_protocols::unreplicated::Unreplicated;

use crate::mutation::Mutation;
use crate::plan::Plan;
use crate::randomised::outcome;
use crate::transcripts::replay;

/// Seeds after which a mutant counts as unnoticed.
const SEEDS_MAX: u64 = 10_000;

/// Runs seeds until one fails, and insists that it fails for the expected reason.
fn is_noticed<P: Protocol>(mutation: Mutation, reason: &str) {
    for seed in 0..SEEDS_MAX {
        let plan = Plan { mutation: Some(mutation), ..Plan::draw::<P>(seed) };
        if let Err(failure) = outcome::<P>(&plan)
            && failure.contains(reason)
        {
            let first = failure.lines().next().unwrap_or_default();
            println!("{} {mutation:?}: noticed after {} seeds: {first}", P::NAME, seed + 1);
            return;
        }
    }
    panic!("{} {mutation:?}: not noticed in {SEEDS_MAX} seeds", P::NAME);
}

macro_rules! mutants {
    ($($name:ident: $protocol:ty, $mutation:expr, $reason:literal;)*) => {$(
        #[test]
        fn $name() {
            is_noticed::<$protocol>($mutation, $reason);
        }
    )*};
}

mutants! {
    unreplicated_answers_early: Unreplicated, Mutation::SendsEarly, "two values are chosen";
    unreplicated_loses_its_last_record: Unreplicated, Mutation::LosesLastRecord, "";
    unreplicated_cuts_its_log_early: Unreplicated, Mutation::CutsLogEarly, "";
    unreplicated_client_repeats_as_new: Unreplicated, Mutation::RepeatsAsNew,
        "is not linearizable";

    multi_paxos_sends_early: MultiPaxos, Mutation::SendsEarly, "two values are chosen";
    multi_paxos_votes_early: MultiPaxos, Mutation::SendsKindEarly(5), "two values are chosen";
    multi_paxos_loses_its_last_record: MultiPaxos, Mutation::LosesLastRecord,
        "two values are chosen";
    multi_paxos_forgets_promises: MultiPaxos, Mutation::ForgetsRecords(1), "two values are chosen";
    multi_paxos_forgets_votes: MultiPaxos, Mutation::ForgetsRecords(2), "two values are chosen";
    multi_paxos_forgets_what_it_learned: MultiPaxos, Mutation::ForgetsRecords(3), "";
    multi_paxos_forgets_checkpoints: MultiPaxos, Mutation::ForgetsRecords(4), "";
    multi_paxos_hides_votes: MultiPaxos, Mutation::HidesVotes, "two values are chosen";
    multi_paxos_loses_every_vote_of_phase_1: MultiPaxos, Mutation::DropsMessages(2), "no progress";
    multi_paxos_never_learns: MultiPaxos, Mutation::DropsMessages(9), "";
    multi_paxos_quorums_of_one: MultiPaxos, Mutation::QuorumsOfOne, "two values are chosen";
    multi_paxos_snapshots_without_sessions: MultiPaxos, Mutation::SnapshotsWithoutSessions, "";
    multi_paxos_cuts_its_log_early: MultiPaxos, Mutation::CutsLogEarly, "";
    multi_paxos_forgets_what_was_installed: MultiPaxos, Mutation::ForgetsInstalled, "";
    multi_paxos_client_repeats_as_new: MultiPaxos, Mutation::RepeatsAsNew, "is not linearizable";

    abd_sends_early: Abd, Mutation::SendsEarly, "is not linearizable";
    abd_answers_queries_early: Abd, Mutation::SendsKindEarly(2), "is not linearizable";
    abd_acknowledges_writes_early: Abd, Mutation::SendsKindEarly(4), "is not linearizable";
    abd_loses_its_last_record: Abd, Mutation::LosesLastRecord, "";
    abd_forgets_its_lives: Abd, Mutation::ForgetsRecords(1), "";
    abd_forgets_writes: Abd, Mutation::ForgetsRecords(2), "is not linearizable";
    abd_ignores_writes: Abd, Mutation::IgnoresWrites, "is not linearizable";
    abd_loses_acknowledgements: Abd, Mutation::DropsMessages(4), "no progress";
}

/// A promise that leaves early matters only if the acceptor then votes for the old leader and the
/// new leader did not hear of it: too rare for random plans, so the steps are written down.
const LOST_PROMISE: &str = "
> cluster 3
> timeout r0
> deliver
> timeout r2
> write r2
> deliver r2 r1
> crash r1
> start r1
> deliver r1 r2
> deliver r2 r2
> write r2
> deliver r2 r2
> put r0 1 10
> deliver r0 r1
> write r1
> deliver r1 r0
> write r0
> deliver r0 r0
> put r2 1 20
> deliver r2 r1
> write r1
> deliver r1 r2
> write r2
> deliver r2 r2
";

#[test]
fn multi_paxos_promises_early() {
    replay::<MultiPaxos>(LOST_PROMISE, None);
    let mutation = Some(Mutation::SendsKindEarly(3));
    let broken = std::panic::catch_unwind(|| replay::<MultiPaxos>(LOST_PROMISE, mutation));
    let message = broken.expect_err("two values were chosen for one slot, and nobody noticed");
    let message = message.downcast_ref::<String>().expect("a formatted message");
    assert!(message.contains("two values are chosen"), "{message}");
}
