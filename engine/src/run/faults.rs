//! Breaking things on time, and the evidence that they broke.

use synod_results::summary;
use synod_workloads::{Concern, Fault, FaultAction, Phases, Random, Target, Workload};

use crate::cluster::Cluster;

/// How often a target that is not there yet is looked for: a group may be without a leader.
const GIVE_UP_NS: u64 = 2_000_000_000;

/// What is still to be broken or mended.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The next last.
    faults: Vec<Fault>,
    /// Replicas to start again: when, and who.
    restarts: Vec<(u64, usize)>,
    /// Replicas that are paused, and those that are killed.
    paused: Vec<usize>,
    killed: Vec<usize>,
    random: Random,
    done: Vec<summary::Fault>,
}

impl Schedule {
    pub(super) fn new(workload: &Workload) -> Self {
        let mut faults = workload.faults.clone();
        faults.sort_by_key(|fault| std::cmp::Reverse(fault.at_ns));
        Self {
            faults,
            restarts: Vec::new(),
            paused: Vec::new(),
            killed: Vec::new(),
            random: Random::new(workload.seed, Concern::Faults),
            done: Vec::new(),
        }
    }

    /// Does what is due `at_ns` after the start of the warm-up.
    pub(super) fn act(&mut self, at_ns: u64, cluster: &mut Cluster) {
        if let Some(place) = self.restarts.iter().position(|&(due, _)| due <= at_ns) {
            let (_, id) = self.restarts.swap_remove(place);
            self.restart(at_ns, id, cluster);
        }
        let Some(&fault) = self.faults.last().filter(|fault| fault.at_ns <= at_ns) else { return };
        match self.choose(&fault, cluster) {
            Some(id) => {
                self.faults.pop();
                self.strike(at_ns, &fault, id, cluster);
            }
            None if at_ns > fault.at_ns + GIVE_UP_NS => {
                self.faults.pop();
                self.note(at_ns, fault.action, format!("{:?}", fault.target), String::new());
            }
            None => {}
        }
    }

    fn choose(&mut self, fault: &Fault, cluster: &Cluster) -> Option<usize> {
        let candidates: Vec<usize> = match fault.action {
            FaultAction::Resume => self.paused.clone(),
            FaultAction::Restart => self.killed.clone(),
            FaultAction::Kill | FaultAction::Pause => (0..cluster.len())
                .filter(|&id| cluster.is_alive(id) && !self.paused.contains(&id))
                .collect(),
        };
        let leader = cluster.leader();
        let undoes = matches!(fault.action, FaultAction::Resume | FaultAction::Restart);
        let fitting: Vec<usize> = candidates
            .into_iter()
            .filter(|&id| match fault.target {
                Target::Replica(wanted) => id == usize::from(wanted),
                Target::Random => true,
                // What was broken leads no more: any of the broken is meant.
                Target::Leader | Target::Follower if undoes => true,
                Target::Leader => leader == Some(id),
                Target::Follower => leader != Some(id),
            })
            .collect();
        let draw = self.random.below(fitting.len().max(1) as u64);
        fitting.get(usize::try_from(draw).ok()?).copied()
    }

    fn strike(&mut self, at_ns: u64, fault: &Fault, id: usize, cluster: &mut Cluster) {
        let evidence = match fault.action {
            FaultAction::Kill => {
                self.killed.push(id);
                if let Some(after) = fault.restart_after_ns {
                    self.restarts.push((at_ns + after, id));
                }
                cluster.kill(id)
            }
            FaultAction::Pause => {
                self.paused.push(id);
                cluster.pause(id)
            }
            FaultAction::Resume => {
                self.paused.retain(|&paused| paused != id);
                cluster.resume(id)
            }
            FaultAction::Restart => return self.restart(at_ns, id, cluster),
        };
        let role = match fault.target {
            Target::Leader => " (leader)",
            Target::Follower => " (follower)",
            Target::Random | Target::Replica(_) => "",
        };
        self.note(at_ns, fault.action, format!("replica {id}{role}"), evidence);
    }

    fn restart(&mut self, at_ns: u64, id: usize, cluster: &mut Cluster) {
        self.killed.retain(|&killed| killed != id);
        let evidence = cluster.restart(id).unwrap_or_default();
        self.note(at_ns, FaultAction::Restart, format!("replica {id}"), evidence);
    }

    fn note(&mut self, at_ns: u64, action: FaultAction, target: String, evidence: String) {
        let action = match action {
            FaultAction::Kill => "kill",
            FaultAction::Pause => "pause",
            FaultAction::Resume => "resume",
            FaultAction::Restart => "restart",
        };
        let at_s = at_ns as f64 / 1e9;
        self.done.push(summary::Fault { at_s, action: action.to_owned(), target, evidence });
    }

    /// What was done, in order, with times from the start of the measurement. What was planned
    /// and not done has no evidence.
    pub(super) fn finish(mut self, cluster: &Cluster, phases: &Phases) -> Vec<summary::Fault> {
        for fault in std::mem::take(&mut self.faults) {
            self.note(fault.at_ns, fault.action, format!("{:?}", fault.target), String::new());
        }
        for fault in &mut self.done {
            fault.at_s -= phases.warm_up_ns as f64 / 1e9;
            let id = fault.target.strip_prefix("replica ").and_then(|id| id.parse().ok());
            if fault.action == "restart" {
                // A replica that never became ready has not come back.
                let replayed = id.and_then(|id: usize| cluster.replayed(id));
                fault.evidence = replayed.map_or_else(String::new, |records| {
                    format!("{}, {records} records replayed", fault.evidence)
                });
            }
        }
        self.done
    }
}
