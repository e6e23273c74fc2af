//! Gates of the machine: others must not have had it, and it must not have changed.

use synod_results::summary::Gate;
use synod_workloads::format_bytes;

use super::{failed, passed, warned};
use crate::run::machine::{Edges, Machine};

/// Of the time of all processors, so much may be stolen without a word.
const STEAL_WARN: f64 = 0.01;

/// With so much of it the figures are those of a neighbor.
const STEAL_FAIL: f64 = 0.05;

/// A processor whose pace is away from its earlier one by a larger share has changed it.
const PACE_WARN: f64 = 0.05;

const STEAL: &str = "processors were not stolen";
const PACE: &str = "processors kept their pace";
const SWAP: &str = "nothing was swapped";
const MEMORY: &str = "memory kept within its limit";

/// All of them. A run in virtual time has no machine that could disturb it.
pub(super) fn all(edges: &Edges, memory_bytes_max: u64, simulated: bool) -> [Gate; 4] {
    let unjudged = |why: &str| [STEAL, PACE, SWAP, MEMORY].map(|name| passed(name, why.to_owned()));
    if simulated {
        return unjudged("virtual time does not depend on the machine");
    }
    let Some((before, after)) = edges.both() else {
        return unjudged("unknown: the measured window has no end");
    };
    [
        steal(before, after),
        pace(before, after),
        swap(before, after),
        memory(after, memory_bytes_max),
    ]
}

fn steal(before: &Machine, after: &Machine) -> Gate {
    let (Some(first), Some(last)) = (before.ticks, after.ticks) else {
        return passed(STEAL, "unknown: the kernel does not show stolen time".to_owned());
    };
    let whole = last.0.saturating_sub(first.0);
    let share = last.1.saturating_sub(first.1) as f64 / whole.max(1) as f64;
    let detail = format!(
        "the hypervisor took {:.1} % of the processors' time ({:.0} % is noted, {:.0} % too much)",
        share * 100.0,
        STEAL_WARN * 100.0,
        STEAL_FAIL * 100.0
    );
    if share > STEAL_FAIL {
        failed(STEAL, detail)
    } else if share > STEAL_WARN {
        warned(STEAL, detail)
    } else {
        passed(STEAL, detail)
    }
}

fn pace(before: &Machine, after: &Machine) -> Gate {
    let mut changes = Vec::new();
    let mut seen = 0;
    for ((processor, first), (_, last)) in before.pace_mhz.iter().zip(&after.pace_mhz) {
        let (Some(first), Some(last)) = (first, last) else { continue };
        seen += 1;
        if (last / first - 1.0).abs() > PACE_WARN {
            changes.push(format!("processor {processor} from {first:.0} to {last:.0} MHz"));
        }
    }
    if seen == 0 {
        return passed(PACE, "unknown: the kernel does not show it".to_owned());
    }
    if changes.is_empty() {
        let detail = format!("no more than {:.0} % apart at both ends", PACE_WARN * 100.0);
        return passed(PACE, detail);
    }
    warned(PACE, changes.join(", "))
}

fn swap(before: &Machine, after: &Machine) -> Gate {
    let swapped: Vec<String> = before
        .swapped_kib
        .iter()
        .chain(&after.swapped_kib)
        .filter_map(|(name, kib)| {
            kib.filter(|&kib| kib > 0).map(|kib| format!("{kib} KiB of {name}"))
        })
        .collect();
    if !swapped.is_empty() {
        return failed(SWAP, format!("in swap at an end of the window: {}", swapped.join(", ")));
    }
    if let (Some(first), Some(last)) = (before.pages_in, after.pages_in)
        && last > first
    {
        let detail =
            format!("the machine read {} pages from swap, for whom is not known", last - first);
        return warned(SWAP, detail);
    }
    if after.swapped_kib.iter().any(|(_, kib)| kib.is_none()) {
        return passed(SWAP, "unknown: the kernel does not show it".to_owned());
    }
    passed(SWAP, "no process of the run at either end".to_owned())
}

fn memory(after: &Machine, bytes_max: u64) -> Gate {
    let known = after.resident_kib.iter().filter_map(|(name, kib)| Some(((*kib)?, name)));
    let Some((kib, name)) = known.max() else {
        return passed(MEMORY, "unknown: the kernel does not show it".to_owned());
    };
    let (most, limit) = (format_bytes(kib * 1024), format_bytes(bytes_max));
    let detail = format!("{name} had {most} at most; `cluster.limits.memory` is {limit}");
    if kib * 1024 > bytes_max { failed(MEMORY, detail) } else { passed(MEMORY, detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY_BYTES_MAX: u64 = 1 << 20;

    fn judge(before: Machine, after: Machine) -> [Gate; 4] {
        all(&Edges { before: Some(before), after: Some(after) }, MEMORY_BYTES_MAX, false)
    }

    #[test]
    fn who_had_more_memory_than_allowed_is_named() {
        let with = |kib| Machine {
            resident_kib: vec![("replica 0".to_owned(), Some(7)), ("replica 1".to_owned(), kib)],
            ..Machine::default()
        };
        let [.., within] = judge(with(None), with(Some(1024)));
        assert_eq!(outcome(&within), (true, false), "{}", within.detail);
        let [.., above] = judge(with(None), with(Some(1025)));
        assert_eq!(outcome(&above), (false, false));
        assert!(above.detail.starts_with("replica 1 had "), "{}", above.detail);
        let [.., unknown] = judge(Machine::default(), Machine::default());
        assert_eq!(outcome(&unknown), (true, false));
    }

    /// Whether it held, and whether it held with a warning.
    fn outcome(gate: &Gate) -> (bool, bool) {
        (gate.ok, gate.warning)
    }

    #[test]
    fn stolen_time_is_noted_and_much_of_it_is_too_much() {
        for (stolen, expected) in
            [(10, (true, false)), (11, (true, true)), (50, (true, true)), (51, (false, false))]
        {
            let at = |ticks| Machine { ticks: Some(ticks), ..Machine::default() };
            let [gate, ..] = judge(at((500, 90)), at((1500, 90 + stolen)));
            assert_eq!(outcome(&gate), expected, "{}", gate.detail);
        }
        let [gate, ..] = judge(Machine::default(), Machine::default());
        assert!(gate.ok && gate.detail.starts_with("unknown"), "{}", gate.detail);
    }

    #[test]
    fn another_pace_is_noted() {
        let at = |mhz| Machine { pace_mhz: vec![(0, None), (3, mhz)], ..Machine::default() };
        let [_, gate, ..] = judge(at(Some(2000.0)), at(Some(2099.0)));
        assert_eq!(outcome(&gate), (true, false));
        let [_, gate, ..] = judge(at(Some(2000.0)), at(Some(1800.0)));
        assert_eq!(outcome(&gate), (true, true));
        assert_eq!(gate.detail, "processor 3 from 2000 to 1800 MHz");
        let [_, gate, ..] = judge(at(None), at(Some(1800.0)));
        assert!(gate.ok && !gate.warning && gate.detail.starts_with("unknown"));
    }

    #[test]
    fn a_process_in_swap_fails_and_swapping_of_others_is_noted() {
        let at = |kib, pages_in| Machine {
            swapped_kib: vec![("replica 1".to_owned(), kib)],
            pages_in,
            ..Machine::default()
        };
        let [_, _, gate, _] = judge(at(Some(0), Some(5)), at(Some(0), Some(5)));
        assert_eq!(outcome(&gate), (true, false));
        let [_, _, gate, _] = judge(at(Some(0), Some(5)), at(Some(64), Some(5)));
        assert_eq!(outcome(&gate), (false, false));
        assert_eq!(gate.detail, "in swap at an end of the window: 64 KiB of replica 1");
        let [_, _, gate, _] = judge(at(Some(0), Some(5)), at(Some(0), Some(8)));
        assert_eq!(outcome(&gate), (true, true));
        let [_, _, gate, _] = judge(at(None, None), at(None, None));
        assert!(gate.ok && gate.detail.starts_with("unknown"), "{}", gate.detail);
    }

    #[test]
    fn virtual_time_is_not_disturbed() {
        assert!(
            all(&Edges::default(), MEMORY_BYTES_MAX, true)
                .iter()
                .all(|gate| gate.ok && !gate.warning)
        );
        assert!(
            all(&Edges::default(), MEMORY_BYTES_MAX, false)
                .iter()
                .all(|gate| gate.detail.contains("unknown"))
        );
    }
}
