//! What must hold of the schedule of faults, so that each can leave evidence.

use super::Checker;
use crate::catalog::Catalog;
use crate::diagnostics::found;
use crate::spec::{Durability, Fault, FaultAction, Target, Transport};
use crate::units::format_duration;

impl Checker<'_> {
    pub(super) fn faults(&mut self) {
        let faults = &self.workload.faults;
        for (index, fault) in faults.iter().enumerate() {
            let path = format!("faults.{index}");
            self.fault_target(&path, fault);
            self.fault_trigger(&path, fault);
            self.fault_time(&path, fault);
            self.fault_length(&path, fault);
            self.fault_links(&path, fault);
            self.fault_disk(&path, fault);
            self.fault_restart(&path, fault);
            self.fault_transport(&path, fault);
        }
        if faults.iter().any(|fault| fault.trigger.at_ns().is_none()) {
            // Who comes first is known only in the run.
            return;
        }
        let mut in_time: Vec<usize> = (0..faults.len()).collect();
        in_time.sort_by_key(|index| faults[*index].trigger.at_ns());
        self.fault_order(FaultAction::Pause, FaultAction::Resume, &in_time);
        self.fault_order(FaultAction::Kill, FaultAction::Restart, &in_time);
    }

    fn fault_target(&mut self, path: &str, fault: &Fault) {
        let replicas = self.workload.cluster.replicas;
        let target = format!("{path}.target");
        if !self.settings.sound(&[&target, "cluster.replicas"]) {
            return;
        }
        match fault.target {
            Target::Replica(number) if number >= replicas => {
                let last = replicas - 1;
                self.fault(
                    &[&target],
                    found(&number.to_string()),
                    format!("the {replicas} replicas are numbered from 0 to {last}"),
                    format!("write at most `{last}`, or raise cluster.replicas"),
                );
            }
            Target::Follower if replicas == 1 => self.fault(
                &[&target],
                found("follower"),
                "a single replica has no follower".into(),
                "write `leader`, or raise cluster.replicas".into(),
            ),
            Target::Leader | Target::Follower | Target::Random | Target::Replica(_) => {}
        }
    }

    /// One trigger, and only events are waited after.
    fn fault_trigger(&mut self, path: &str, fault: &Fault) {
        let keys = ["at", "after_ops", "on"].map(|key| format!("{path}.{key}"));
        let given: Vec<&String> = keys.iter().filter(|key| self.settings.given(key)).collect();
        let keys = [keys[0].as_str(), &keys[1], &keys[2]];
        if !self.settings.sound(&keys) {
            return;
        }
        match given.as_slice() {
            [] => self.fault(
                &[path],
                "found no trigger".into(),
                "a fault waits for `at`, for `after_ops` or for `on`".into(),
                "write for example `at: 2s`".into(),
            ),
            [_, second, ..] => self.fault(
                &[second],
                format!("found {} triggers", given.len()),
                "a fault waits for one of `at`, `after_ops` and `on`".into(),
                "keep one of them".into(),
            ),
            [_] if fault.trigger.at_ns().is_some() && fault.delay_ns > 0 => self.fault(
                &[&format!("{path}.delay")],
                "found it beside `at`".into(),
                "a delay counts from an event".into(),
                "write the time that is meant, or `on` or `after_ops` instead of `at`".into(),
            ),
            [_] => {}
        }
    }

    fn fault_time(&mut self, path: &str, fault: &Fault) {
        let total_ns = self.workload.phases.total_ns();
        let key = |key: &str| format!("{path}.{key}");
        let (at, every) = (key("at"), key("repeat.every"));
        let (lasts, restart) = (key("for"), key("restart_after"));
        if !self.settings.sound(&["phases", &at, &every, &lasts, &restart]) {
            return;
        }
        let end = format!("the phases end at {}", format_duration(total_ns));
        // When a fault without a time comes is known only in the run.
        let last_ns = fault.last_at_ns().unwrap_or(0);
        if fault.trigger.at_ns().is_some_and(|at_ns| at_ns >= total_ns) {
            self.fault(
                &[&at],
                found(&format_duration(last_ns)),
                format!("{end}, and a fault that never comes would prove nothing"),
                "write an earlier time, or a longer phases.measure".into(),
            );
        } else if last_ns >= total_ns {
            self.fault(
                &[&every],
                format!("found a last time at {}", format_duration(last_ns)),
                format!("{end}, and a fault that never comes would prove nothing"),
                "write a shorter time, or fewer times".into(),
            );
        } else if let Some(after_ns) = fault.restart_after_ns
            && last_ns + after_ns >= total_ns
        {
            self.fault(
                &[&restart],
                format!("found a restart at {}", format_duration(last_ns + after_ns)),
                format!("{end}, and the restart would never come"),
                "write a shorter time, or a longer phases.measure".into(),
            );
        } else if let Some(for_ns) = fault.for_ns
            && last_ns + for_ns >= total_ns
        {
            self.fault(
                &[&lasts],
                format!("found an end at {}", format_duration(last_ns + for_ns)),
                format!("{end}, and the fault would not end by itself"),
                "write a shorter time, or a longer phases.measure".into(),
            );
        }
    }

    fn fault_length(&mut self, path: &str, fault: &Fault) {
        let (action, lasts) = (format!("{path}.action"), format!("{path}.for"));
        if !self.settings.sound(&[&action, &lasts]) {
            return;
        }
        let may = fault.action == FaultAction::Pause || fault.action.is_of_links();
        if fault.for_ns.is_some() && !may && fault.action != FaultAction::Stall {
            self.fault(
                &[&lasts],
                format!("found it beside `action: {}`", fault.action.name()),
                "this does not last".into(),
                "remove it, or write `action: pause`".into(),
            );
        } else if fault.for_ns.is_none() && fault.action == FaultAction::Stall {
            self.fault(
                &[path],
                "found no length".into(),
                "a disk that stalls for ever is one that fails".into(),
                "write for example `for: 300ms`, or `action: disk_error`".into(),
            );
        }
    }

    fn fault_restart(&mut self, path: &str, fault: &Fault) {
        let (action, restart) = (format!("{path}.action"), format!("{path}.restart_after"));
        if !self.settings.sound(&[&action, &restart, "cluster.durability"]) {
            return;
        }
        if fault.restart_after_ns.is_some() && !fault.action.ends_replica() {
            self.fault(
                &[&restart],
                format!("found it beside `action: {}`", fault.action.name()),
                "only what was ended is restarted".into(),
                "remove it, or write `action: kill`".into(),
            );
            return;
        }
        if fault.action == FaultAction::Wipe && self.workload.cluster.durability == Durability::None
        {
            self.fault(
                &[&action],
                "found `wipe` with durability `none`".into(),
                "a replica without a log has nothing on disk".into(),
                "write `durability: group`, or `action: kill`".into(),
            );
            return;
        }
        let comes_back = fault.restart_after_ns.is_some() || fault.action == FaultAction::Restart;
        if comes_back && self.workload.cluster.durability == Durability::None {
            self.fault(
                &[&restart, &action],
                "found a restart with durability `none`".into(),
                "a replica that forgot its promises may not come back under its name".into(),
                "write `durability: group`, or leave the replica dead".into(),
            );
        }
    }

    /// Only some protocols change their leader and their voters when they are asked.
    pub(super) fn changes(&mut self, catalog: &Catalog) {
        for (index, fault) in self.workload.faults.iter().enumerate() {
            let (action, target) =
                (format!("faults.{index}.action"), format!("faults.{index}.target"));
            if !fault.action.is_change() || !self.settings.sound(&[&action, &target]) {
                continue;
            }
            let name = fault.action.name();
            let choices = self.settings.choices.iter();
            let unable = choices
                .map(|choice| &catalog.protocols[choice.index])
                .find(|protocol| !protocol.changes);
            if let Some(protocol) = unable {
                let able: Vec<&str> = catalog
                    .protocols
                    .iter()
                    .filter(|protocol| protocol.changes)
                    .map(|protocol| protocol.name)
                    .collect();
                self.fault(
                    &[&action],
                    found(name),
                    format!("{} does not change its leader or its voters", protocol.name),
                    format!("write `protocols: [{}]`, or remove the fault", able.join(", ")),
                );
            } else if fault.action == FaultAction::Transfer && fault.target == Target::Leader {
                self.fault(
                    &[&target],
                    found("leader"),
                    "who leads cannot be handed its own leadership".into(),
                    "write `follower`, or the number of a replica".into(),
                );
            }
        }
    }

    /// What shares a process shares its end.
    fn fault_transport(&mut self, path: &str, fault: &Fault) {
        let action = format!("{path}.action");
        let breaks =
            matches!(fault.action, FaultAction::Kill | FaultAction::Wipe | FaultAction::Pause);
        if fault.action.is_of_links()
            && self.workload.cluster.transport == Transport::Memory
            && self.settings.sound(&[&action, "cluster.transport"])
        {
            self.fault(
                &[&action],
                format!("found `{}` with transport `memory`", fault.action.name()),
                "replicas that share one process have no links".into(),
                "write `transport: unix`, or remove the fault".into(),
            );
        }
        if breaks
            && self.workload.cluster.transport == Transport::Memory
            && self.settings.sound(&[&action, "cluster.transport"])
        {
            self.fault(
                &[&action],
                format!("found `{}` with transport `memory`", fault.action.name()),
                "all replicas are threads of one process, so memory has no processes to kill or \
                 to pause"
                    .into(),
                "write `transport: unix`, or remove the fault".into(),
            );
        }
    }

    /// Each `undo` needs a `cause` before it that nothing else undid.
    fn fault_order(&mut self, cause: FaultAction, undo: FaultAction, in_time: &[usize]) {
        if !self.settings.sound(&["faults"]) {
            return;
        }
        let mut standing = 0_u32;
        for index in in_time {
            let fault = &self.workload.faults[*index];
            let ends = fault.restart_after_ns.is_some() || fault.for_ns.is_some();
            let times = fault.repeat.times;
            let causes =
                fault.action == cause || cause == FaultAction::Kill && fault.action.ends_replica();
            if causes && !ends {
                standing += times;
            } else if fault.action == undo && standing >= times {
                standing -= times;
            } else if fault.action == undo {
                self.fault(
                    &[&format!("faults.{index}.action")],
                    found(undo.name()),
                    format!("no {} before it is left to undo", cause.name()),
                    format!("add `action: {}` at an earlier time", cause.name()),
                );
            }
        }
    }
}
