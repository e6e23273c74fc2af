//! Breaking things on time, and the evidence that they broke.

mod changes;
mod lasting;

use synod_results::check::HistoryFile;
use synod_results::history::HistoryError;
use synod_results::{gaps, summary};
use synod_workloads::{
    Concern, Fault, FaultAction, FaultEvent, Phases, Random, Target, Trigger, Workload,
};

use self::changes::Asked;
use self::lasting::{Lasting, Progress};
use super::breakable::Breakable;

/// How long a target that is not there yet is looked for: a group may be without a leader.
const GIVE_UP_NS: u64 = 2_000_000_000;

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Since the start of the warm-up.
    pub(super) at_ns: u64,
    /// Operations that ended since the start of the measurement; `None` before it.
    pub(super) measured_ops: Option<u64>,
}

/// What is still to be broken or mended.
#[derive(Debug)]
pub(super) struct Schedule {
    planned: Vec<Planned>,
    ends: Vec<End>,
    lasting: Vec<Lasting>,
    /// What was asked for, and is not done yet.
    asked: Vec<Asked>,
    /// Replicas that are paused, and those that are killed.
    paused: Vec<usize>,
    killed: Vec<usize>,
    /// Restarts that are told when the replica is ready: which of `done`, who, and since when.
    returning: Vec<(usize, usize, u64)>,
    watched: Watched,
    random: Random,
    done: Vec<summary::Fault>,
}

/// A fault that is not over.
#[derive(Debug)]
struct Planned {
    fault: Fault,
    /// When, once that is known.
    due_ns: Option<u64>,
    times_left: u32,
}

/// Something that ends by itself.
#[derive(Clone, Copy, Debug)]
struct End {
    due_ns: u64,
    id: usize,
    mend: FaultAction,
}

/// What faults may wait for, as it was seen last.
#[derive(Clone, Copy, Default, Debug)]
struct Watched {
    leader: Option<usize>,
    /// Whether another replica has led.
    elected: bool,
    /// Replicas that had come back, all in all.
    returned: Option<u64>,
    /// Whether one has since.
    ready: bool,
}

impl Watched {
    fn look(&mut self, cluster: &impl Breakable) {
        let leader = cluster.leader();
        self.elected |= self.leader.is_some() && leader.is_some() && leader != self.leader;
        self.leader = leader.or(self.leader);
        let returned = cluster.returned();
        self.ready |= *self.returned.get_or_insert(returned) < returned;
    }
}

impl Schedule {
    /// Each repeat of a run draws its own targets.
    pub(super) fn new(workload: &Workload, repeat: u32) -> Self {
        let seed = workload.seed.wrapping_add(u64::from(repeat));
        let planned = workload.faults.iter().map(|fault| Planned {
            fault: fault.clone(),
            due_ns: fault.trigger.at_ns(),
            times_left: fault.repeat.times,
        });
        Self {
            planned: planned.collect(),
            ends: Vec::new(),
            lasting: Vec::new(),
            asked: Vec::new(),
            paused: Vec::new(),
            killed: Vec::new(),
            returning: Vec::new(),
            watched: Watched::default(),
            random: Random::new(seed, Concern::Faults),
            done: Vec::new(),
        }
    }

    /// Does what is due.
    pub(super) fn act(&mut self, moment: Moment, cluster: &mut impl Breakable) {
        self.watched.look(cluster);
        let now_ns = moment.at_ns;
        self.settle(now_ns, cluster);
        while let Some(place) = self.ends.iter().position(|end| end.due_ns <= now_ns) {
            let End { id, mend, .. } = self.ends.swap_remove(place);
            self.mend(now_ns, mend, id, cluster);
        }
        for planned in &mut self.planned {
            let happened = match planned.fault.trigger {
                Trigger::At(_) => false,
                Trigger::AfterOps(wanted) => moment.measured_ops.is_some_and(|ops| ops >= wanted),
                Trigger::On(FaultEvent::LeaderElected) => self.watched.elected,
                Trigger::On(FaultEvent::ReplicaReady) => self.watched.ready,
            };
            if planned.due_ns.is_none() && happened {
                planned.due_ns = Some(now_ns + planned.fault.delay_ns);
            }
        }
        // The order of the file, where several are due.
        for mut planned in std::mem::take(&mut self.planned) {
            self.try_strike(now_ns, &mut planned, cluster);
            if planned.times_left > 0 {
                self.planned.push(planned);
            }
        }
    }

    fn try_strike(&mut self, now_ns: u64, planned: &mut Planned, cluster: &mut impl Breakable) {
        let Some(due_ns) = planned.due_ns.filter(|&due_ns| due_ns <= now_ns) else { return };
        let fault = &planned.fault;
        match self.choose(fault, cluster) {
            Some(id) => self.strike(now_ns, fault, id, cluster),
            None if now_ns > due_ns + GIVE_UP_NS => {
                self.note(now_ns, fault.action, target_name(fault.target), String::new());
            }
            None => return,
        }
        planned.times_left -= 1;
        planned.due_ns = Some(due_ns + fault.repeat.every_ns);
    }

    fn choose(&mut self, fault: &Fault, cluster: &impl Breakable) -> Option<usize> {
        let candidates: Vec<usize> = if fault.action == FaultAction::Resume {
            self.paused.clone()
        } else if fault.action == FaultAction::Restart {
            self.killed.clone()
        } else {
            let is_open = |change| changes::is_open(change, cluster);
            (0..cluster.len())
                .filter(|&id| fault.action == FaultAction::Remove || self.is_up(id, cluster))
                .filter(|&id| changes::change_of(fault.action, id).is_none_or(is_open))
                .collect()
        };
        let leader = cluster.leader();
        let undoes =
            matches!(fault.action, FaultAction::Resume | FaultAction::Restart | FaultAction::Add);
        let fitting: Vec<usize> = candidates
            .into_iter()
            .filter(|&id| match fault.target {
                Target::Replica(wanted) => id == usize::from(wanted),
                Target::Random => true,
                // What was broken or removed leads no more: any of those is meant.
                Target::Leader | Target::Follower if undoes => true,
                Target::Leader => leader == Some(id),
                Target::Follower => leader != Some(id),
            })
            .collect();
        let draw = self.random.below(fitting.len().max(1) as u64);
        fitting.get(usize::try_from(draw).ok()?).copied()
    }

    /// Whether the replica serves: one that is still reading its log is not struck again.
    fn is_up(&self, id: usize, cluster: &impl Breakable) -> bool {
        cluster.is_alive(id)
            && cluster.replayed(id).is_some()
            && !self.paused.contains(&id)
            && !self.lasting.iter().any(|lasting| lasting.ends(id))
    }

    fn strike(&mut self, at_ns: u64, fault: &Fault, id: usize, cluster: &mut impl Breakable) {
        let mut ends = |mend, after_ns: Option<u64>| {
            self.ends.extend(after_ns.map(|after_ns| End { due_ns: at_ns + after_ns, id, mend }));
        };
        let evidence = match fault.action {
            FaultAction::Kill | FaultAction::Wipe => {
                ends(FaultAction::Restart, fault.restart_after_ns);
                self.killed.push(id);
                if fault.action == FaultAction::Wipe { cluster.wipe(id) } else { cluster.kill(id) }
            }
            FaultAction::Pause => {
                ends(FaultAction::Resume, fault.for_ns);
                self.paused.push(id);
                cluster.pause(id)
            }
            FaultAction::Resume | FaultAction::Restart => {
                return self.mend(at_ns, fault.action, id, cluster);
            }
            FaultAction::Degrade
            | FaultAction::Partition
            | FaultAction::Stall
            | FaultAction::DiskError => {
                self.lasting.push(Lasting::begin(self.done.len(), at_ns, fault, id, cluster));
                // It comes later, if it comes.
                String::new()
            }
            FaultAction::Transfer | FaultAction::Add | FaultAction::Remove => {
                let change = changes::change_of(fault.action, id).expect("it is one");
                self.asked.push(Asked::begin(self.done.len(), at_ns, change, cluster));
                String::new()
            }
        };
        let role = match fault.target {
            Target::Leader => " (leader)",
            Target::Follower => " (follower)",
            Target::Random | Target::Replica(_) => "",
        };
        self.note(at_ns, fault.action, format!("replica {id}{role}"), evidence);
    }

    fn mend(&mut self, at_ns: u64, mend: FaultAction, id: usize, cluster: &mut impl Breakable) {
        let evidence = if mend == FaultAction::Resume {
            self.paused.retain(|&paused| paused != id);
            cluster.resume(id)
        } else {
            assert_eq!(mend, FaultAction::Restart, "nothing else mends");
            self.killed.retain(|&killed| killed != id);
            self.returning.push((self.done.len(), id, at_ns));
            cluster.restart(id)
        };
        self.note(at_ns, mend, format!("replica {id}"), evidence);
    }

    /// Completes the evidence of what was not over at once.
    fn settle(&mut self, now_ns: u64, cluster: &mut impl Breakable) {
        for mut lasting in std::mem::take(&mut self.lasting) {
            match lasting.look(now_ns, cluster) {
                Progress::GoesOn => self.lasting.push(lasting),
                Progress::Over(evidence) => self.done[lasting.note].evidence = evidence,
                Progress::TargetEnded(evidence) => {
                    self.done[lasting.note].evidence = evidence;
                    let (id, after_ns) = lasting.restart();
                    self.killed.push(id);
                    self.ends.extend(after_ns.map(|after_ns| End {
                        due_ns: now_ns + after_ns,
                        id,
                        mend: FaultAction::Restart,
                    }));
                }
            }
        }
        let done = &mut self.done;
        self.asked.retain_mut(|asked| {
            let evidence = asked.look(now_ns, cluster);
            done[asked.note].evidence.push_str(evidence.as_deref().unwrap_or(""));
            evidence.is_none()
        });
        self.returning.retain(|&(note, id, began_ns)| {
            let Some(records) = cluster.replayed(id) else { return true };
            let evidence = &mut done[note].evidence;
            let after_s = now_ns.saturating_sub(began_ns) as f64 / 1e9;
            *evidence =
                format!("{evidence}, {records} records replayed, ready after {after_s:.2} s");
            false
        });
    }

    fn note(&mut self, at_ns: u64, action: FaultAction, target: String, evidence: String) {
        let action = action.name().to_owned();
        self.done.push(summary::Fault {
            at_s: at_ns as f64 / 1e9,
            action,
            target,
            evidence,
            gap_ns: None,
        });
    }

    /// What was done, in order, with times from the start of the measurement. What was planned
    /// and not done has no evidence.
    pub(super) fn finish(
        mut self,
        cluster: &mut impl Breakable,
        phases: &Phases,
    ) -> Vec<summary::Fault> {
        self.settle(phases.total_ns(), cluster);
        for lasting in std::mem::take(&mut self.lasting) {
            self.done[lasting.note].evidence = lasting.evidence(phases.total_ns(), cluster);
        }
        for (note, ..) in std::mem::take(&mut self.returning) {
            // A replica that never became ready has not come back.
            self.done[note].evidence.clear();
        }
        for planned in std::mem::take(&mut self.planned) {
            let at_ns = planned.due_ns.unwrap_or_else(|| phases.total_ns());
            for _ in 0..planned.times_left {
                let target = target_name(planned.fault.target);
                self.note(at_ns, planned.fault.action, target, String::new());
            }
        }
        for end in std::mem::take(&mut self.ends) {
            self.note(end.due_ns, end.mend, format!("replica {}", end.id), String::new());
        }
        for fault in &mut self.done {
            fault.at_s -= phases.warm_up_ns as f64 / 1e9;
        }
        self.done
    }
}

/// Notes for each fault that happened how long nothing was answered from then on, until something else
/// was broken; `start_ns` is the start of the warm-up on the clock of the history.
pub(super) fn note_gaps(
    faults: &mut [summary::Fault],
    history: &HistoryFile,
    start_ns: u64,
    phases: &Phases,
) -> Result<(), HistoryError> {
    if faults.is_empty() {
        return Ok(());
    }
    let measured_ns = start_ns + phases.warm_up_ns;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "after the start")]
    let moment_ns = |fault: &summary::Fault| (measured_ns as f64 + fault.at_s * 1e9) as u64;
    let breaks = |fault: &&summary::Fault| {
        ![FaultAction::Restart, FaultAction::Resume]
            .map(FaultAction::name)
            .contains(&&*fault.action)
    };
    let broken_ns: Vec<u64> = faults.iter().filter(breaks).map(moment_ns).collect();
    let until_ns = start_ns + phases.total_ns();
    let window = |fault: &summary::Fault| {
        let opens_ns = moment_ns(fault);
        let later = broken_ns.iter().copied().filter(|&other_ns| other_ns > opens_ns);
        (opens_ns, later.min().unwrap_or(until_ns))
    };
    let windows_ns: Vec<(u64, u64)> = faults.iter().map(window).collect();
    let gaps = gaps::longest(&windows_ns, history, (start_ns, until_ns))?;
    for (fault, gap_ns) in faults.iter_mut().zip(gaps) {
        fault.gap_ns = (!fault.evidence.is_empty()).then_some(gap_ns);
    }
    Ok(())
}

fn target_name(target: Target) -> String {
    match target {
        Target::Leader => "leader".to_owned(),
        Target::Follower => "follower".to_owned(),
        Target::Random => "random".to_owned(),
        Target::Replica(id) => format!("replica {id}"),
    }
}
