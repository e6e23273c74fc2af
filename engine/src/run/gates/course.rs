//! Gates of the course of a run: its figures must fit each other, no replica may have stood still,
//! and its seconds must be of one state.

use synod_results::statistics::steady::{Steadiness, steadiness};
use synod_results::summary::{Gate, Second};
use synod_results::units;
use synod_workloads::Phases;

use super::{failed, passed, warned};
use crate::cluster::orders::Status;
use crate::load::Passed;
use crate::run::measure::grown;

/// Little's law may be off by so large a share: latencies are kept to three digits.
const LAW_MAX: f64 = 0.01;

/// A replica without a turn for so long stood still...
const STALL_NS: u64 = 1_000_000_000;

/// ... if the others of its group took so many in that time: with little to do, all may sleep.
const STALL_TURNS: u64 = 1000;

/// What Little's law speaks of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    /// Whether clients wait for their answers before they go on.
    pub(super) is_closed: bool,
    /// Whether the time of some operations is in no latency, for a reason that is known: faults,
    /// or operations that were given up.
    pub(super) is_disturbed: bool,
    /// Latencies of the measured operations, added up.
    pub(super) latencies_ns: f64,
}

/// The mean number under way is throughput times mean latency (Little 1961). The number is counted
/// on the clock of the load threads as time passes; the other side is what was recorded, and what
/// operations that the edges of the window cut have of it. Both count an operation from when it was
/// meant to start, so that clients who think are not under way.
pub(super) fn law(law: Law, passed_by_thread: impl Iterator<Item = Passed>) -> Gate {
    const NAME: &str = "Little's law holds";
    if !law.is_closed {
        return passed(NAME, "not asked: an open loop has no number under way".to_owned());
    }
    let (mut for_ns, mut in_flight_ns, mut older_ns) = (0.0_f64, 0.0, 0.0);
    for passed in passed_by_thread {
        for_ns = for_ns.max(passed.for_ns as f64);
        in_flight_ns += passed.in_flight_ns as f64;
        older_ns += passed.older_ns as f64;
    }
    if for_ns == 0.0 || in_flight_ns == 0.0 {
        return passed(NAME, "unknown: the measured window has no end".to_owned());
    }
    let expected_ns = law.latencies_ns + older_ns;
    let off = (expected_ns / in_flight_ns - 1.0).abs();
    let detail = format!(
        "{} under way on average, {} after throughput and latency: off by {:.2} %",
        units::figure(in_flight_ns / for_ns),
        units::figure(expected_ns / for_ns),
        off * 100.0
    );
    if off <= LAW_MAX {
        passed(NAME, detail)
    } else if law.is_disturbed {
        warned(NAME, detail + ", as operations were given up or faults struck")
    } else {
        failed(NAME, detail)
    }
}

/// The replicas of a run went on all the time: `logs` has for each what it said, each time for each
/// group. One that is dead, and an end of all progress, have ended the run before.
pub(super) fn no_stall(logs: &[Vec<Vec<Status>>], window_ns: (u64, u64), faults: usize) -> Gate {
    const NAME: &str = "no replica stood still";
    if faults > 0 {
        return passed(NAME, "not asked: faults were to stop some".to_owned());
    }
    let groups = logs.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let mut stalls = Vec::new();
    for group in 0..groups {
        let samples: Vec<Vec<Status>> = logs
            .iter()
            .map(|log| log.iter().filter_map(|said| said.get(group).copied()).collect())
            .collect();
        for (replica, own) in samples.iter().enumerate() {
            let (from_ns, until_ns) = longest_stop(own, window_ns);
            let turns = |other: &Vec<Status>| {
                grown(other, from_ns, until_ns, |status| status.counters.turns)
            };
            let others: u64 = samples.iter().map(turns).sum::<u64>() - turns(own);
            if until_ns - from_ns >= STALL_NS && others >= STALL_TURNS {
                let seconds = (until_ns - from_ns) as f64 / 1e9;
                stalls.push(format!("replica {replica}, group {group} for {seconds:.1} s"));
            }
        }
    }
    if stalls.is_empty() {
        return passed(NAME, "all had turns while others had".to_owned());
    }
    warned(NAME, format!("without a turn: {}", stalls.join(", ")))
}

/// The longest time in the window in which a replica took no turn, as far as it has said.
fn longest_stop(samples: &[Status], (from_ns, until_ns): (u64, u64)) -> (u64, u64) {
    let mut longest = (from_ns, from_ns);
    let mut last_ns = from_ns;
    let mut turns = None;
    let within = samples.iter().filter(|status| (from_ns..until_ns).contains(&status.at_ns));
    for status in within {
        if turns.replace(status.counters.turns) != Some(status.counters.turns) {
            if status.at_ns - last_ns > longest.1 - longest.0 {
                longest = (last_ns, status.at_ns);
            }
            last_ns = status.at_ns;
        }
    }
    if until_ns.saturating_sub(last_ns) > longest.1 - longest.0 {
        (last_ns, until_ns)
    } else {
        longest
    }
}

/// The whole seconds of the window are of one state, in throughput and in the median latency. An
/// open loop shows in the one what a closed loop shows in the other.
pub(super) fn steady(series: &[Second], phases: &Phases, why_not: Option<&str>) -> Gate {
    const NAME: &str = "the state is steady";
    const SECOND_NS: u64 = 1_000_000_000;
    if let Some(why) = why_not {
        return passed(NAME, format!("not asked: {why}"));
    }
    let from = phases.warm_up_ns.div_ceil(SECOND_NS);
    let until = (phases.warm_up_ns + phases.measure_ns) / SECOND_NS;
    let place = |second: u64| usize::try_from(second).unwrap_or(usize::MAX).min(series.len());
    let (from, until) = (place(from), place(until));
    let seconds = series.get(from..until).unwrap_or_default();
    let figures: [(&str, Vec<f64>); 2] = [
        ("throughput", seconds.iter().map(|second| second.ops as f64).collect()),
        ("p50", seconds.iter().map(|second| second.p50_ns as f64).collect()),
    ];
    let mut words = Vec::new();
    for (name, values) in figures {
        words.extend(match steadiness(&values) {
            Steadiness::TooShort => {
                let count = values.len();
                return passed(NAME, format!("unknown: {count} whole seconds are too few to tell"));
            }
            Steadiness::Steady => None,
            Steadiness::WarmingUp { seconds, share } => Some(format!(
                "{name} is steady only from second {seconds} of the window on: before, it was {:.0} % \
                 {}",
                share.abs() * 100.0,
                if share > 0.0 { "lower" } else { "higher" },
            )),
            Steadiness::Drifting { share } => {
                Some(format!("{name} never comes to rest: it changes by {:+.0} %", share * 100.0))
            }
        });
    }
    if words.is_empty() {
        return passed(NAME, format!("throughput and p50 over {} seconds", seconds.len()));
    }
    warned(NAME, words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Counters;

    #[test]
    fn latencies_have_to_explain_what_is_under_way() {
        // Two threads with four operations each for a second, 2000 ended, and the last ones cut.
        let thread = Passed { for_ns: 1_000_000, in_flight_ns: 4_000_000, older_ns: 50_000 };
        let judge = |latencies_ns, is_disturbed| {
            let recorded = Law { is_closed: true, is_disturbed, latencies_ns };
            law(recorded, [thread, thread].into_iter())
        };
        let gate = judge(7_900_000.0, false);
        assert!(gate.ok && !gate.warning, "{}", gate.detail);
        let gate = judge(7_700_000.0, false);
        assert!(!gate.ok);
        assert_eq!(
            gate.detail,
            "8.00 under way on average, 7.80 after throughput and latency: off by 2.50 %"
        );
        let gate = judge(7_700_000.0, true);
        assert!(gate.ok && gate.warning, "{}", gate.detail);
        let open = Law { is_closed: false, is_disturbed: false, latencies_ns: 1.0 };
        assert!(law(open, [thread].into_iter()).ok);
        let recorded = Law { is_closed: true, is_disturbed: false, latencies_ns: 1.0 };
        let gate = law(recorded, [Passed::default()].into_iter());
        assert!(gate.ok && gate.detail.starts_with("unknown"), "{}", gate.detail);
    }

    /// A replica with one group that takes 5000 turns a second and says so each tenth of a second,
    /// but not in the seconds of `stop`.
    fn log(stop: std::ops::Range<u64>) -> Vec<Vec<Status>> {
        let mut turns = 0;
        (0..=50)
            .map(|tenth| {
                turns += if stop.contains(&(tenth / 10)) { 0 } else { 500 };
                let counters = Counters { turns, ..Counters::default() };
                vec![Status { at_ns: tenth * 100_000_000, counters, ..Status::default() }]
            })
            .collect()
    }

    #[test]
    fn a_replica_that_stands_still_among_others_is_named() {
        let window = (0, 5_000_000_000);
        let gate = no_stall(&[log(9..9), log(9..9)], window, 0);
        assert!(gate.ok && !gate.warning, "{}", gate.detail);
        let gate = no_stall(&[log(9..9), log(2..4)], window, 0);
        assert!(gate.ok && gate.warning);
        assert_eq!(gate.detail, "without a turn: replica 1, group 0 for 2.1 s");
        let gate = no_stall(&[log(3..9), log(9..9)], window, 0);
        assert_eq!(gate.detail, "without a turn: replica 0, group 0 for 2.1 s");
        let gate = no_stall(&[log(2..4), log(2..4)], window, 0);
        assert!(!gate.warning, "all sleep: {}", gate.detail);
        assert!(!no_stall(&[log(9..9), log(2..4)], window, 1).warning);
    }

    fn seconds(ops: impl Iterator<Item = u64>) -> Vec<Second> {
        ops.map(|ops| Second { ops, p50_ns: 1000, ..Second::default() }).collect()
    }

    #[test]
    fn a_state_is_steady_or_from_when_on_it_is() {
        let phases = |measure_s: u64| Phases {
            warm_up_ns: 1_500_000_000,
            measure_ns: measure_s * 1_000_000_000,
            cool_down_ns: 0,
        };
        // The warm-up is slow, and ends in the middle of a second.
        let noise = |second: u64| 1000 + second * 7 % 5;
        let series = seconds((0..40).map(|second| if second < 2 { 10 } else { noise(second) }));
        let gate = steady(&series, &phases(30), None);
        assert!(gate.ok && !gate.warning, "{}", gate.detail);
        let series = seconds((0..40).map(|second| if second < 8 { 500 } else { noise(second) }));
        let gate = steady(&series, &phases(30), None);
        assert!(gate.ok && gate.warning);
        assert_eq!(
            gate.detail,
            "throughput is steady only from second 6 of the window on: before, it was 50 % lower"
        );
        let series = seconds((0..40).map(|second| 1000 - 10 * second));
        let gate = steady(&series, &phases(30), None);
        assert!(gate.warning && gate.detail.contains("never comes to rest"), "{}", gate.detail);
        let gate = steady(&series, &phases(5), None);
        assert!(!gate.warning);
        assert_eq!(gate.detail, "unknown: 4 whole seconds are too few to tell");
        assert!(!steady(&series, &phases(30), Some("the load has steps")).warning);
    }
}
