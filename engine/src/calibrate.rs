//! `synod calibrate`: what the machines of the simulator must cost to be like this one.
//!
//! A few short runs, each of which makes another thing expensive, are measured here; then the costs
//! are searched with which the simulator comes to the same. The simulator itself is what is fitted, not
//! a formula for it: how large batches become, how often a thread has a turn and who waits for
//! whom follows from the costs, and no sum over counted events would say it. It is deterministic, so
//! differences show what each cost does.
//!
//! Only closed loops are measured: how much they did, and the median latency. By Little's law the mean
//! latency would say again how much they did.

pub mod fit;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::Ordering;

use synod_results::summary::ProtocolResult;
use synod_workloads::{Cost, Cpu, MachineModel, Workload, load};

use self::fit::{Search, least_squares};
use crate::explore::Explorer;
use crate::predict::{Figures, Others, forecast};
use crate::registry;
use crate::run::Options;

/// What all runs have in common: 100,000 keys, as the default is, but nobody waits until they are
/// written, and logs that are made quickly but are long enough that no snapshot is due: the simulator
/// takes no time for those.
const BASE: &str = "
name: calibration
protocols: [multi_paxos]
cluster:
  durability: none
  log: { segment_bytes: 16MiB, snapshot_bytes: 128MiB }
load:
  mix: { put: 100% }
  keys: { count: 100k, preload: false }
phases: { warm_up: 150ms, measure: 500ms, cool_down: 20ms }
";

/// The runs: a name, and what is different.
const POINTS: [(&str, &[&str]); 18] = [
    ("one client", &["load.clients=1"]),
    ("16 clients", &["load.clients=16"]),
    ("256 clients", &["load.clients=256"]),
    ("4096 clients", &["load.clients=4096"]),
    ("batches of one", &["load.clients=256", "cluster.batch.max_ops=1"]),
    ("1 KiB values", &["load.clients=256", "load.values.fixed=1KiB"]),
    ("8 KiB values", &["load.clients=64", "load.values.fixed=8KiB"]),
    ("registers", &["protocols=[abd]", "load.clients=256"]),
    ("registers, one client", &["protocols=[abd]", "load.clients=1"]),
    ("registers, 4096 clients", &["protocols=[abd]", "load.clients=4096"]),
    ("registers, synced", &["protocols=[abd]", "cluster.durability=group", "load.clients=256"]),
    ("one replica", &["protocols=[unreplicated]", "load.clients=256"]),
    (
        "one replica, synced",
        &["protocols=[unreplicated]", "cluster.durability=group", "load.clients=256"],
    ),
    ("synced, one client", &["cluster.durability=group", "load.clients=1"]),
    ("synced, 64 clients", &["cluster.durability=group", "load.clients=64"]),
    ("synced, 1024 clients", &["cluster.durability=group", "load.clients=1024"]),
    (
        "synced, 4 KiB values",
        &["cluster.durability=group", "load.clients=256", "load.values.fixed=4KiB"],
    ),
    ("each synced", &["cluster.durability=each", "load.clients=64", "cluster.batch.max_ops=4"]),
];

/// How long a simulated run goes on before it is measured.
const SIMULATED_WARM_UP_NS: u64 = 10_000_000;

/// Operations that are measured in the simulator, about: not much but the seed varies there.
const SIMULATED_OPERATIONS: f64 = 1_000.0;

/// The shortest and the longest time for them.
const SIMULATED_NS: [f64; 2] = [30e6, 2e9];

/// Keys there: how many there are does not show in virtual time, but takes real time. They are written
/// before, so that all connections know the leader.
const SIMULATED_KEYS: u64 = 1_000;

/// What an error of the median latency weighs, if one of the throughput weighs 1.
const MEDIAN_WEIGHT: f64 = 0.5;

/// Threads that simulate.
const THREADS: usize = 2;

/// The search for the costs.
const SEARCH: Search = Search { rounds: 15, pull: 0.02 };

/// Where the search begins, and what holds where the runs tell nothing: what came out on a virtual
/// machine with two processors. From afar the search may end in a valley that is not the deepest.
pub(crate) const fn start(processors: u16) -> MachineModel {
    MachineModel {
        processors,
        away_ns: 0,
        between_ns: 10_000_000,
        cpu: Cpu {
            turn_ns: 2_100,
            switch_ns: 1_300,
            arrival_ns: 1_400,
            send_ns: 2_700,
            kib_ns: 580,
            command_ns: 170,
            register_ns: 110,
            message_ns: 80,
            operation_ns: 290,
            write_ns: 46_000,
        },
        network_ns: 70,
        disk_ns: 54_000,
        disk_tail_ns: 41_000,
        disk_gap_ns: 23_000,
        disk_kib_ns: 1_500,
    }
}

/// A run, and what came out.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What sets it apart from others.
    pub name: String,
    /// What was run: one protocol, in a closed loop. Its model says what others took meanwhile.
    pub workload: Workload,
    /// What came out: the median of its repeats.
    pub measured: Figures,
}

/// A model, and how well it explains what was measured.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// The costs.
    pub model: MachineModel,
    /// What was measured.
    pub samples: Vec<Sample>,
    /// For each sample what the simulator says.
    pub expected: Vec<Figures>,
}

/// What a caller hears meanwhile.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A run is over.
    Ran(&'a str, &'a ProtocolResult),
    /// A round of the search is over: its number, and by how much the simulator is off, as the root of
    /// the mean square.
    Searched(usize, f64),
}

/// The runs of a calibration.
#[must_use]
pub fn points() -> Vec<(&'static str, Workload)> {
    let read = |(name, set): (&'static str, &[&str])| {
        let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
        let workload = load(Path::new("calibration"), BASE, &registry::catalog(), &set);
        (name, workload.expect("the runs of the calibration are valid"))
    };
    POINTS.into_iter().map(read).collect()
}

/// Measures and fits; folders are made below `suites`. Nothing comes out if it was interrupted.
///
/// # Errors
/// A sentence: what the machine or the file system refused.
pub fn calibrate(
    repeats: u32,
    suites: &Path,
    options: &Options,
    hear: &mut dyn FnMut(&Progress<'_>),
) -> Result<Option<Calibrated>, String> {
    let mut measuring = Measuring::begin(suites, options)?;
    for repeat in 0..repeats {
        if !measuring.round(repeat, hear)? {
            break;
        }
    }
    measuring.fit(options, hear)
}

/// The runs of a calibration while they are made.
#[derive(Debug)]
pub struct Measuring {
    explorer: Explorer,
    points: Vec<(&'static str, Workload)>,
    /// For each of them, who else used the processors, and what came out.
    seen: Vec<(Others, Vec<Figures>)>,
}

impl Measuring {
    /// Begins, in a new folder below `suites`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn begin(suites: &Path, options: &Options) -> Result<Self, String> {
        let named = ("calibration", "What runs cost on this machine.");
        let explorer = Explorer::begin(named, &["run"], BASE, suites, options)?;
        let points = points();
        let seen = vec![(Others::default(), Vec::new()); points.len()];
        Ok(Self { explorer, points, seen })
    }

    /// Each run once, so that what drifts falls on all of them alike. False if it was interrupted.
    ///
    /// # Errors
    /// A sentence: what the machine or the file system refused, or whose history was wrong.
    pub fn round(
        &mut self,
        repeat: u32,
        hear: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<bool, String> {
        for ((name, workload), (others, figures)) in self.points.iter().zip(&mut self.seen) {
            others.add(&Others::look());
            let Some(summary) = self.explorer.run(&[name], repeat, workload.clone())? else {
                return Ok(false);
            };
            let result = &summary.results[0];
            hear(&Progress::Ran(name, result));
            if !result.verdict.is_pass() {
                return Err(format!("the run `{name}` failed: {}", result.verdict.words()));
            }
            figures.push(Figures::of(&result.overall));
        }
        Ok(true)
    }

    /// Finds the model that explains the runs. Nothing comes out if it, or one of them, was interrupted.
    ///
    /// # Errors
    /// A sentence: what the file system refused.
    pub fn fit(
        self,
        options: &Options,
        hear: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Option<Calibrated>, String> {
        let interrupted = || options.interrupted.load(Ordering::Relaxed);
        self.explorer.end(!interrupted())?;
        if interrupted() {
            return Ok(None);
        }
        let sample = |((name, mut workload), (others, figures)): ((&str, Workload), _)| {
            let (others, figures): (Others, Vec<Figures>) = (others, figures);
            workload.model = others.beside(&workload.model);
            Some(Sample { name: name.to_owned(), workload, measured: Figures::median(&figures)? })
        };
        let samples: Vec<Sample> =
            self.points.into_iter().zip(self.seen).filter_map(sample).collect();
        let processors = u16::try_from(crate::cluster::processors().len()).unwrap_or(u16::MAX);
        let all = MachineModel::COSTS.map(|(key, _)| key);
        let found = fitted(&start(processors), &all, &samples, &mut |round, off| {
            hear(&Progress::Searched(round, off));
            if interrupted() { Err("interrupted".to_owned()) } else { Ok(()) }
        });
        if interrupted() {
            return Ok(None);
        }
        let model = found?;
        let expected = expected(&model, &samples)?;
        Ok(Some(Calibrated { model, samples, expected }))
    }
}

/// The model with which the simulator explains the samples best, by the squares of the logarithms,
/// which weigh each sample by its relative error. Only the costs with these keys change.
///
/// # Errors
/// A sentence: a sample that the simulator cannot run, or what `hear` says.
pub fn fitted(
    start: &MachineModel,
    keys: &[&str],
    samples: &[Sample],
    hear: &mut dyn FnMut(usize, f64) -> Result<(), String>,
) -> Result<MachineModel, String> {
    let mut model = *start;
    let costs: Vec<f64> = chosen(keys).map(|(_, cost)| *cost(&mut model) as f64).collect();
    let residuals = |costs: &[f64]| {
        let expected = expected(&with(start, keys, costs), samples)?;
        let off = |(expected, sample): (&Figures, &Sample)| {
            let measured = &sample.measured;
            let throughput = (expected.ops_per_second / measured.ops_per_second).ln();
            [throughput, MEDIAN_WEIGHT * (expected.p50_ns / measured.p50_ns).ln()]
        };
        Ok::<_, String>(expected.iter().zip(samples).flat_map(off).collect())
    };
    let found = least_squares(&costs, SEARCH, residuals, |round, squares| {
        hear(round, (squares / samples.len() as f64).sqrt())
    })?;
    Ok(with(start, keys, &found))
}

fn chosen(keys: &[&str]) -> impl Iterator<Item = Cost> {
    MachineModel::COSTS.into_iter().filter(|(key, _)| keys.contains(key))
}

/// A model with other costs of these keys, in the order of [`MachineModel::COSTS`].
fn with(model: &MachineModel, keys: &[&str], costs: &[f64]) -> MachineModel {
    let mut model = *model;
    for ((_, place), cost) in chosen(keys).zip(costs) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let cost = cost.round() as u64;
        *place(&mut model) = cost;
    }
    model
}

/// What the simulator says of each sample.
///
/// # Errors
/// A sentence: a sample that the simulator cannot run.
pub fn expected(model: &MachineModel, samples: &[Sample]) -> Result<Vec<Figures>, String> {
    let one = |sample: &Sample| {
        let mut workload = sample.workload.clone();
        let MachineModel { away_ns, between_ns, .. } = workload.model;
        workload.model = MachineModel { away_ns, between_ns, ..*model };
        workload.phases.warm_up_ns = SIMULATED_WARM_UP_NS;
        let enough_ns = SIMULATED_OPERATIONS / sample.measured.ops_per_second * 1e9;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
        let measure_ns = enough_ns.clamp(SIMULATED_NS[0], SIMULATED_NS[1]) as u64;
        workload.phases.measure_ns = measure_ns;
        workload.phases.cool_down_ns = 0;
        (workload.load.keys.count, workload.load.keys.preload) = (SIMULATED_KEYS, true);
        // A cost so high that nothing ends says at least that it is too high.
        let figures = forecast(&workload)?;
        let (ops_per_second, p50_ns) = (figures.ops_per_second.max(1.0), figures.p50_ns.max(1.0));
        Ok(Figures { ops_per_second, p50_ns, ..figures })
    };
    // Worlds are apart from each other, and each is one thread.
    std::thread::scope(|scope| {
        let mine = |first| move || samples.iter().skip(first).step_by(THREADS).map(one).collect();
        let running: Vec<_> = (0..THREADS).map(|first| scope.spawn(mine(first))).collect();
        let mut found: Vec<_> = Vec::new();
        for thread in running {
            let figures: Result<Vec<Figures>, String> =
                thread.join().map_err(|_| "a simulation failed".to_owned())?;
            found.push(figures?.into_iter());
        }
        Ok((0..samples.len()).filter_map(|place| found[place % THREADS].next()).collect())
    })
}
