//! What must hold of the schedule of faults, so that each can leave evidence.

use super::Checker;
use crate::diagnostics::found;
use crate::names::Named as _;
use crate::spec::{Durability, Fault, FaultAction, Target, Transport};
use crate::units::format_duration;

impl Checker<'_> {
    pub(super) fn faults(&mut self) {
        let faults = &self.workload.faults;
        for (index, fault) in faults.iter().enumerate() {
            let path = format!("faults.{index}");
            self.fault_target(&path, fault);
            self.fault_time(&path, fault);
            self.fault_restart(&path, fault);
            self.fault_transport(&path, fault);
        }
        let mut in_time: Vec<usize> = (0..faults.len()).collect();
        in_time.sort_by_key(|index| faults[*index].at_ns);
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

    fn fault_time(&mut self, path: &str, fault: &Fault) {
        let total_ns = self.workload.phases.total_ns();
        let (at, restart) = (format!("{path}.at"), format!("{path}.restart_after"));
        if !self.settings.sound(&["phases", &at, &restart]) {
            return;
        }
        let end = format!("the phases end at {}", format_duration(total_ns));
        if fault.at_ns >= total_ns {
            self.fault(
                &[&at],
                found(&format_duration(fault.at_ns)),
                format!("{end}, and a fault that never comes would prove nothing"),
                "write an earlier time, or a longer phases.measure".into(),
            );
        } else if let Some(after_ns) = fault.restart_after_ns
            && fault.at_ns + after_ns >= total_ns
        {
            self.fault(
                &[&restart],
                format!("found a restart at {}", format_duration(fault.at_ns + after_ns)),
                format!("{end}, and the restart would never come"),
                "write a shorter time, or a longer phases.measure".into(),
            );
        }
    }

    fn fault_restart(&mut self, path: &str, fault: &Fault) {
        let (action, restart) = (format!("{path}.action"), format!("{path}.restart_after"));
        if !self.settings.sound(&[&action, &restart, "cluster.durability"]) {
            return;
        }
        if fault.restart_after_ns.is_some() && fault.action != FaultAction::Kill {
            self.fault(
                &[&restart],
                format!("found it beside `action: {}`", fault.action.name()),
                "only what was killed is restarted".into(),
                "remove it, or write `action: kill`".into(),
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

    /// What shares a process shares its end.
    fn fault_transport(&mut self, path: &str, fault: &Fault) {
        let action = format!("{path}.action");
        let breaks = matches!(fault.action, FaultAction::Kill | FaultAction::Pause);
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
            if fault.action == cause && fault.restart_after_ns.is_none() {
                standing += 1;
            } else if fault.action == undo && standing > 0 {
                standing -= 1;
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
