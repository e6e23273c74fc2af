//! A workload in virtual time: the same nodes, load threads, faults and results as in a real run, in
//! the world of the simulator.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::channel::{self, Receiver, Sender};
use synod_protocols::protocol::{Change, Protocol};
use synod_results::record::LatencyTotals;
use synod_results::summary::LatencySummary;
use synod_workloads::{Fault, ProtocolChoice, Workload};

use super::breakable::Breakable;
use super::faults::{Moment, Schedule};
use super::{PIECES_MAX, Ran, Single, WATCHDOG_NS};
use crate::cluster::links::{LinkFault, Links};
use crate::cluster::orders::Status;
use crate::cluster::{self, Placed};
use crate::emulate::Evidence;
use crate::load::writer;
use crate::load::{Piece, Recording, Used};
use crate::registry::{self, Visit};
use crate::sim::plan::Plan;
use crate::sim::workload::plan_of;
use crate::sim::world::World;

/// How often the controller looks, in virtual time: as often as that of a real cluster.
const LOOK_NS: u64 = 10_000_000;

/// How often replicas say how they are doing, in virtual time.
const STATUS_NS: u64 = 50_000_000;

/// Runs one protocol of a workload in virtual time.
pub(super) struct Simulate<'a, 'b>(pub(super) &'a Single<'b>);

impl Visit for Simulate<'_, '_> {
    type Output = Result<Ran, String>;

    fn visit<P: Protocol + 'static>(self) -> Self::Output {
        let Self(single) = self;
        let replicas = cluster::replicas_of(single.workload, single.protocol);
        let plan = plan_of(single.workload, single.protocol, single.repeat, replicas);
        let threads = single.workload.load.threads;
        let (pieces, written) = channel::bounded(PIECES_MAX);
        let (mut give_back, mut recordings) = (Vec::new(), Vec::new());
        for thread in 0..threads {
            let (back, used) = channel::unbounded();
            give_back.push(back);
            recordings.push(Recording::new(thread, pieces.clone(), used));
        }
        drop(pieces);
        let files = single.files();
        let writer = std::thread::spawn(move || writer::write(&written, &give_back, &files));
        let placed = Placed {
            replicas: vec![vec![0; plan.groups]; replicas],
            load: vec![0; usize::from(threads)],
        };
        let ran = Controller::<P>::new(single, plan, recordings).run();
        let written = writer
            .join()
            .map_err(|_| "the writer failed".to_owned())?
            .map_err(|error| format!("the results cannot be written: {error}"))?;
        Ok(Ran { placed, written, ..ran })
    }
}

/// Runs one protocol of a workload in virtual time for its latencies alone: no history is kept or
/// checked, no fault strikes, and nothing is written.
struct Forecast<'a> {
    workload: &'a Workload,
    protocol: &'a ProtocolChoice,
}

impl Visit for Forecast<'_> {
    type Output = Result<LatencySummary, String>;

    fn visit<P: Protocol + 'static>(self) -> Self::Output {
        let Self { workload, protocol } = self;
        let plan = plan_of(workload, protocol, 0, cluster::replicas_of(workload, protocol));
        let threads = usize::from(workload.load.threads);
        let (pieces, recorded) = channel::unbounded();
        let (backs, used): (Vec<_>, Vec<_>) = (0..threads).map(|_| channel::unbounded()).unzip();
        let recordings =
            (0..).zip(used).map(|(thread, used)| Recording::new(thread, pieces.clone(), used));
        let mut cluster = SimulatedCluster::<P>::new(workload, plan, recordings.collect());
        drop(pieces);
        let mut totals = LatencyTotals::default();
        let mut goes_on = |cluster: &mut SimulatedCluster<P>,
                           done: fn(&World<P>, usize) -> bool| {
            let mut seen = (0, cluster.world.now);
            while !done(&cluster.world, threads) {
                cluster.world.run_until(cluster.world.now + LOOK_NS, |world| done(world, threads));
                take_in(&recorded, &backs, &mut totals);
                if let Some(failure) = &cluster.world.failure {
                    return Err(failure.clone());
                }
                let completed = cluster.world.completed();
                if completed != seen.0 {
                    seen = (completed, cluster.world.now);
                } else if cluster.world.now - seen.1 > WATCHDOG_NS {
                    return Err(format!("no operation ended: {}", cluster.world.describe()));
                }
            }
            Ok(())
        };
        goes_on(&mut cluster, |world, threads| world.preloaded() == threads)?;
        cluster.world.begin();
        goes_on(&mut cluster, |world, _| world.is_over())?;
        let ended = cluster.world.finish();
        take_in(&recorded, &backs, &mut totals);
        if let Some(disagreement) = ended.seen.disagreement {
            return Err(disagreement);
        }
        let seconds = workload.phases.measure_ns as f64 / 1e9;
        Ok(LatencySummary::of(&totals.overall(), seconds))
    }
}

/// Adds up what was recorded, and gives the memory back.
fn take_in(recorded: &Receiver<Piece>, backs: &[Sender<Used>], totals: &mut LatencyTotals) {
    for piece in recorded.try_iter() {
        let (thread, used) = match piece {
            Piece::Operations(mut chunk) => {
                chunk.clear();
                (0, Used::Operations(chunk))
            }
            Piece::Latencies(timed) => {
                if timed.measured {
                    totals.add(&timed.interval);
                }
                (usize::from(timed.thread), Used::Latencies(timed.interval.clear()))
            }
        };
        let _thread_is_done = backs[thread].send(used);
    }
}

/// What a protocol of a workload does in virtual time, without its faults.
pub(super) fn forecast(
    workload: &Workload,
    protocol: &ProtocolChoice,
) -> Result<LatencySummary, String> {
    registry::with_protocol(&protocol.name, Forecast { workload, protocol })
        .expect("the workload was checked")
}

/// Watches a simulated cluster as the controller of a real one does.
struct Controller<'a, 'b, P: Protocol> {
    single: &'a Single<'b>,
    cluster: SimulatedCluster<P>,
    logs: Vec<Vec<Vec<Status>>>,
    /// Operations that had ended when one did last, and when that was.
    seen: (u64, u64),
}

impl<'a, 'b, P: Protocol> Controller<'a, 'b, P> {
    fn new(single: &'a Single<'b>, plan: Plan, recordings: Vec<Recording>) -> Self {
        let cluster = SimulatedCluster::<P>::new(single.workload, plan, recordings);
        let logs = vec![Vec::new(); cluster.len()];
        Self { single, cluster, logs, seen: (0, 0) }
    }

    fn run(mut self) -> Ran {
        let threads = usize::from(self.single.workload.load.threads);
        let mut trouble = self.watch(None, |cluster| cluster.world.preloaded() == threads).err();
        let start_ns = self.cluster.world.now + 1;
        let mut faults = Vec::new();
        if trouble.is_none() {
            self.cluster.world.begin();
            let mut schedule = Schedule::new(self.single.workload, self.single.repeat);
            let watched =
                self.watch(Some((&mut schedule, start_ns)), |cluster| cluster.world.is_over());
            trouble = watched.err();
            faults = schedule.finish(&mut self.cluster, &self.single.workload.phases);
        }
        let ended = self.cluster.world.finish();
        let disagreement = ended.seen.disagreement;
        Ran {
            start_ns,
            noticed: ended.noticed,
            logs: self.logs,
            faults,
            trouble: trouble.or(disagreement),
            ..Ran::default()
        }
    }

    /// Goes on until `done`, or until something goes wrong.
    fn watch(
        &mut self,
        mut schedule: Option<(&mut Schedule, u64)>,
        done: impl Fn(&SimulatedCluster<P>) -> bool,
    ) -> Result<(), String> {
        let phases = self.single.workload.phases;
        let mut before_measuring = None;
        while !done(&self.cluster) {
            let until = self.cluster.world.now + LOOK_NS;
            self.cluster.world.run_until(until, |_| false);
            let now = self.cluster.world.now;
            if let Some(failure) = &self.cluster.world.failure {
                return Err(failure.clone());
            }
            if now / STATUS_NS != (now - LOOK_NS) / STATUS_NS {
                self.note_statuses();
            }
            let completed = self.cluster.world.completed();
            if completed != self.seen.0 {
                self.seen = (completed, now);
            }
            let start_ns = schedule.as_ref().map_or(0, |(_, start_ns)| *start_ns);
            self.single.tell_phase(start_ns, now, completed);
            if let Some((schedule, start_ns)) = &mut schedule {
                let at_ns = now.saturating_sub(*start_ns);
                let measures = at_ns >= phases.warm_up_ns;
                let measured_ops =
                    measures.then(|| completed - *before_measuring.get_or_insert(completed));
                schedule.act(Moment { at_ns, measured_ops }, &mut self.cluster);
            }
            self.trouble(now)?;
        }
        Ok(())
    }

    fn note_statuses(&mut self) {
        for (id, log) in self.logs.iter_mut().enumerate() {
            log.push(self.cluster.world.statuses(id));
        }
    }

    fn trouble(&self, now: u64) -> Result<(), String> {
        if self.single.options.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        let unexpected = (0..self.cluster.len()).find_map(|id| {
            let words = self.cluster.world.last_words(id)?;
            (!self.cluster.doomed[id]).then(|| format!("replica {id} ended: {words}"))
        });
        if let Some(death) = unexpected {
            return Err(death);
        }
        if now - self.seen.1 < WATCHDOG_NS {
            return Ok(());
        }
        let seconds = WATCHDOG_NS / 1_000_000_000;
        Err(format!("no operation ended for {seconds} s: {}", self.cluster.world.describe()))
    }
}

/// A world as something that a schedule of faults can strike.
struct SimulatedCluster<P: Protocol> {
    world: World<P>,
    links: Option<Links>,
    /// Replicas that are to end by themselves, or have ended on purpose.
    doomed: Vec<bool>,
    returned: u64,
}

impl<P: Protocol> SimulatedCluster<P> {
    fn new(workload: &Workload, plan: Plan, recordings: Vec<Recording>) -> Self {
        let replicas = usize::from(plan.replicas);
        let mut cluster = Self {
            world: World::new(plan, recordings),
            links: Links::of(workload, replicas),
            doomed: vec![false; replicas],
            returned: 0,
        };
        cluster.tell_links();
        cluster
    }

    fn tell_links(&mut self) {
        let Some(links) = &self.links else { return };
        for id in 0..self.doomed.len() {
            self.world.control(id).set_rules(links.rules(id));
        }
    }
}

impl<P: Protocol> Breakable for SimulatedCluster<P> {
    fn len(&self) -> usize {
        self.doomed.len()
    }

    fn is_alive(&self, id: usize) -> bool {
        self.world.is_alive(id)
    }

    fn leader(&self) -> Option<usize> {
        self.world.leader()
    }

    fn statuses(&self, id: usize) -> Vec<Status> {
        self.world.statuses(id)
    }

    fn replayed(&self, id: usize) -> Option<u64> {
        self.world.replayed(id)
    }

    fn returned(&self) -> u64 {
        self.returned
    }

    fn kill(&mut self, id: usize) -> String {
        self.doomed[id] = true;
        self.world.kill(id, false);
        format!("ended in its life {}", self.world.life(id))
    }

    fn wipe(&mut self, id: usize) -> String {
        self.doomed[id] = true;
        self.world.kill(id, true);
        format!("ended in its life {}, its disk was emptied", self.world.life(id))
    }

    fn restart(&mut self, id: usize) -> String {
        self.doomed[id] = false;
        self.world.restart(id);
        self.returned += 1;
        format!("life {}", self.world.life(id))
    }

    fn pause(&mut self, id: usize) -> String {
        self.world.freeze(&[id]);
        "stands still".to_owned()
    }

    fn resume(&mut self, id: usize) -> String {
        self.world.thaw(&[id]);
        "goes on".to_owned()
    }

    fn begin_link_fault(&mut self, fault: &Fault, target: usize) -> Option<LinkFault> {
        let begun = self.links.as_mut()?.begin(fault, target);
        self.tell_links();
        Some(begun)
    }

    fn end_link_fault(&mut self, fault: LinkFault) {
        if let Some(links) = &mut self.links {
            links.end(fault);
        }
        self.tell_links();
    }

    fn stall(&mut self, id: usize, for_ns: u64) {
        let until = synod_protocols::types::Time(self.world.now + for_ns);
        self.world.control(id).stall_until(until);
    }

    fn fail_write(&mut self, id: usize) {
        self.doomed[id] = true;
        self.world.control(id).fail_next_write();
    }

    fn change(&mut self, change: Change) {
        self.world.change(change);
    }

    fn evidence(&self, id: usize) -> Evidence {
        Arc::clone(self.world.control(id)).evidence()
    }

    fn last_words(&mut self, id: usize) -> Option<String> {
        self.world.last_words(id).map(str::to_owned)
    }
}
