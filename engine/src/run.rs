//! `synod run`: a workload from beginning to end.
//!
//! For each repeat and protocol: start the cluster, load it, break what is to be broken, stop it,
//! check the history, keep everything in the run folder. The controller's thread only watches.

mod breakable;
mod ceiling;
mod faults;
mod gates;
mod machine;
mod measure;
mod progress;
mod simulated;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::channel;
use hdrhistogram::Histogram;
use synod_results::check::{self, HistoryFile, Verdict};
use synod_results::environment::Environment;
use synod_results::hgrm;
use synod_results::history::HistoryError;
use synod_results::run_folder::{PartFolder, RunFolder};
use synod_results::service;
use synod_results::summary::{LatencySummary, ProtocolResult, SCHEMA_VERSION, Summary};
use synod_workloads::{Arrival, ProtocolChoice, Workload};

use self::ceiling::Ceiling;
use self::faults::{Moment, Schedule};
use self::machine::{Edges, Machine};
use self::measure::Observed;
use self::progress::ProgressLine;
use self::simulated::Simulate;
use crate::cluster::orders::Status;
use crate::cluster::{self, Cluster, Placed, Places};
use crate::greeting::Key;
use crate::io::memory::{Hub, MemoryIo};
use crate::io::uring::{Uring, Wait, clock, thread_cpu_ns};
use crate::load::writer::{self, Files, Written};
use crate::load::{LoadThread, Noticed, Plan, Recording, Shared};
use crate::{registry, replica};
use synod_protocols::protocol::Service;

/// Pieces that wait for the writer at most: four million operations. A load thread that finds no
/// room waits, which shows in its results; a bounded channel also takes no memory as it goes.
const PIECES_MAX: usize = 1024;

/// A run without progress for so long is ended.
const WATCHDOG_NS: u64 = 15_000_000_000;

/// Memory that the check of a history may take.
pub const CHECK_BYTES_MAX: u64 = 4 << 30;

/// What the user asked for besides the workload.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where run folders are made.
    pub runs: PathBuf,
    /// Set by Ctrl-C: what was measured is kept and marked incomplete.
    pub interrupted: Arc<AtomicBool>,
    /// Whether to tell how far the run is.
    pub progress: bool,
    /// Whether to measure what the machine allows, to show it beside each protocol.
    pub limits: bool,
    /// Whether to run in virtual time instead.
    pub simulated: bool,
}

/// A finished or interrupted run.
#[derive(Debug)]
pub struct Outcome {
    /// What came out.
    pub summary: Summary,
    /// Where it is kept.
    pub folder: PathBuf,
}

/// Runs a workload.
///
/// # Errors
/// A sentence: what the machine or the file system refused.
pub fn run(workload: &Workload, options: &Options) -> Result<Outcome, String> {
    let catalog = registry::catalog();
    let began = wall_clock();
    let date = utc_date(began);
    let mut summary = Summary {
        schema_version: SCHEMA_VERSION,
        name: workload.name.clone(),
        date: date.clone(),
        commit: env!("SYNOD_COMMIT").to_owned(),
        dirty: env!("SYNOD_DIRTY") == "true",
        synod_version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: workload.seed,
        workload: workload.to_json(&catalog),
        machine: Environment::read(Path::new("/"), env!("SYNOD_RUSTC")),
        results: Vec::new(),
        complete: false,
    };
    let yaml = workload.to_yaml(&catalog);
    let folder = RunFolder::create(&options.runs, &date, &workload.name, &yaml)
        .map_err(|error| error.to_string())?;
    let mut complete = true;
    let progress = ProgressLine::new(options.progress);
    let ceiling = if options.limits && !options.simulated {
        measure_ceiling(workload, &progress)?
    } else {
        None
    };
    for repeat in 0..workload.repeats {
        for protocol in &workload.protocols {
            if options.interrupted.load(Ordering::Relaxed) {
                complete = false;
                break;
            }
            let part =
                folder.create_part(&protocol.label, repeat).map_err(|error| error.to_string())?;
            let single =
                Single { workload, protocol, repeat, options, part: &part, progress: &progress };
            let (mut result, whole) = single.run()?;
            if let Some(ceiling) = &ceiling {
                single.tell("measuring the limit of the log");
                result.limits = ceiling.beside(workload, &result)?;
                progress.tell("");
            }
            complete &= whole;
            summary.results.push(result);
            folder.write_summary(&summary).map_err(|error| error.to_string())?;
        }
    }
    summary.complete = complete;
    folder.write_summary(&summary).map_err(|error| error.to_string())?;
    Ok(Outcome { summary, folder: folder.path().to_owned() })
}

/// What a protocol of a workload does in virtual time, on machines of its model: quick, for nothing
/// is checked or kept, and its faults are left out.
///
/// # Errors
/// A sentence: why the simulated cluster came to nothing.
pub fn forecast(workload: &Workload, protocol: &ProtocolChoice) -> Result<LatencySummary, String> {
    simulated::forecast(workload, protocol)
}

/// What the machine allows where three replicas and the load generator will be.
fn measure_ceiling(
    workload: &Workload,
    progress: &ProgressLine,
) -> Result<Option<Ceiling>, String> {
    let replicas = usize::from(workload.cluster.replicas);
    let placed = cluster::place(workload, replicas, &cluster::processors());
    progress.tell("measuring what this machine allows");
    // Each measurement makes and removes a folder of its own, on the disk that the logs are on.
    let disk = workload.cluster.data.clone().unwrap_or_else(std::env::temp_dir);
    cluster::private_folder(&disk)
        .map_err(|error| format!("the folder {} cannot be made: {error}", disk.display()))?;
    ceiling::measure(workload, &placed, wait_of(workload, &placed), &disk)
}

/// What threads do when they have nothing to do.
fn wait_of(workload: &Workload, placed: &Placed) -> Wait {
    let groups = usize::from(workload.cluster.cores);
    let threads = placed.replicas.len() * groups + placed.load.len();
    replica::wait(cluster::wait_name(&workload.cluster, threads, cluster::processors().len()))
}

/// One protocol, once.
struct Single<'a> {
    workload: &'a Workload,
    protocol: &'a ProtocolChoice,
    repeat: u32,
    options: &'a Options,
    part: &'a PartFolder,
    progress: &'a ProgressLine,
}

/// The threads that load the cluster and write down what happens.
struct Loading {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Noticed>>,
    writer: JoinHandle<io::Result<Written>>,
}

/// What is left of a run, real or simulated, besides its files.
#[derive(Default)]
struct Ran {
    placed: Placed,
    start_ns: u64,
    noticed: Vec<Noticed>,
    written: Written,
    logs: Vec<Vec<Vec<Status>>>,
    faults: Vec<synod_results::summary::Fault>,
    trouble: Option<String>,
    edges: Edges,
}

/// How the watched part of a run ended.
#[derive(Default)]
struct Watched {
    start_ns: u64,
    faults: Vec<synod_results::summary::Fault>,
    trouble: Option<String>,
    edges: Edges,
}

impl Single<'_> {
    /// The result, and whether it is whole.
    fn run(&self) -> Result<(ProtocolResult, bool), String> {
        let mut ran = if self.options.simulated {
            let simulate = Simulate(self);
            registry::with_protocol(&self.protocol.name, simulate).expect("it was checked")?
        } else {
            self.run_really()?
        };
        self.tell("checking the history");
        let verdict = self.check()?;
        let history = HistoryFile::new(&self.part.history());
        faults::note_gaps(&mut ran.faults, &history, ran.start_ns, &self.workload.phases)
            .map_err(|error| error.to_string())?;
        let service = self.service(&history, ran.start_ns).map_err(|error| error.to_string())?;
        let whole = ran.trouble.is_none();
        let result = measure::result(Observed {
            service,
            workload: self.workload,
            protocol: self.protocol,
            repeat: self.repeat,
            placed: &ran.placed,
            start_ns: ran.start_ns,
            noticed: &ran.noticed,
            written: &ran.written,
            logs: ran.logs,
            faults: ran.faults,
            trouble: ran.trouble,
            edges: ran.edges,
            simulated: self.options.simulated,
            promise: cluster::chosen(self.workload, self.protocol).promise,
            verdict,
        });
        self.keep(&ran.written, &result)?;
        self.progress.tell("");
        Ok((result, whole))
    }

    fn run_really(&self) -> Result<Ran, String> {
        let scratch = Scratch::new()?;
        let places = Places {
            data: self.workload.cluster.data.clone().unwrap_or_else(|| scratch.path().join("data")),
            sockets: scratch.path().to_owned(),
            program: std::env::current_exe().map_err(|error| error.to_string())?,
        };
        cluster::private_folder(&places.data).map_err(|error| {
            format!("the data folder {} cannot be made: {error}", places.data.display())
        })?;
        let replicas = cluster::replicas_of(self.workload, self.protocol);
        let placed = cluster::place(self.workload, replicas, &cluster::processors());
        let identity = clock().0 ^ u64::from(std::process::id()) << 40;
        let key = Key::random()?;
        self.tell("starting");
        let mut cluster =
            Cluster::start(self.workload, self.protocol, &placed, (identity, key), &places)?;
        let loading = self.load(&cluster, &placed, (identity, key.for_clients()))?;
        let watched = self.watch(&mut cluster, &loading, &placed);
        loading.shared.stop.store(watched.trouble.is_some(), Ordering::Relaxed);
        let noticed: Vec<Noticed> = loading
            .threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a load thread failed".to_owned()))
            .collect::<Result<_, _>>()?;
        cluster.stop();
        let written = loading
            .writer
            .join()
            .map_err(|_| "the writer failed".to_owned())?
            .map_err(|error| format!("the results cannot be written: {error}"))?;
        Ok(Ran {
            start_ns: watched.start_ns,
            noticed,
            written,
            logs: cluster.take_logs(),
            faults: watched.faults,
            trouble: watched.trouble,
            edges: watched.edges,
            placed,
        })
    }

    fn load(
        &self,
        cluster: &Cluster,
        placed: &Placed,
        (identity, key): (u64, Key),
    ) -> Result<Loading, String> {
        let load = &self.workload.load;
        let shared = Arc::new(Shared::default());
        let (pieces, written) = channel::bounded(PIECES_MAX);
        let mut give_back = Vec::new();
        let mut threads = Vec::new();
        let wait = wait_of(self.workload, placed);
        let traits = registry::traits(&self.protocol.name).expect("the workload was checked");
        for thread in 0..load.threads {
            let (back, used) = channel::unbounded();
            give_back.push(back);
            let plan = Plan {
                thread,
                threads: load.threads,
                cluster: identity,
                key,
                nonces: Key::random()?,
                groups: cluster.addresses(),
                load: load.clone(),
                phases: self.workload.phases,
                seed: self.workload.seed.wrapping_add(u64::from(self.repeat)),
                repeatable: traits.service == Service::StateMachine,
                reads: cluster::chosen(self.workload, self.protocol).reads,
                frame_bytes_max: self.workload.cluster.limits.frame_bytes,
            };
            let recording = Recording::new(thread, pieces.clone(), used);
            let (shared, hub) = (Arc::clone(&shared), cluster.hub().cloned());
            let processor = placed.load[usize::from(thread)];
            let spawned = thread::Builder::new()
                .name(format!("load {thread}"))
                .spawn(move || load_thread(plan, recording, shared, processor, wait, hub))
                .map_err(|error| format!("a load thread could not be started: {error}"))?;
            threads.push(spawned);
        }
        let files = self.files();
        drop(pieces);
        let failed = Arc::clone(&shared);
        let writer = thread::spawn(move || {
            let result = writer::write(&written, &give_back, &files);
            failed.writing_failed.store(result.is_err(), Ordering::Release);
            result
        });
        Ok(Loading { shared, threads, writer })
    }

    /// Where the writer writes.
    fn files(&self) -> Files {
        let threads = self.workload.load.threads;
        Files {
            history: self.part.history(),
            hlogs: (0..threads).map(|n| self.part.hlog(&format!("load-{n}"))).collect(),
            began: wall_clock(),
        }
    }

    /// Watches until the load ends by itself, or something goes wrong.
    fn watch(&self, cluster: &mut Cluster, loading: &Loading, placed: &Placed) -> Watched {
        let phases = &self.workload.phases;
        let mut schedule = Schedule::new(self.workload, self.repeat);
        let mut watched = Watched::default();
        let mut seen = (0, clock());
        let mut before_measuring = None;
        while loading.threads.iter().any(|thread| !thread.is_finished()) {
            cluster.listen(Duration::from_millis(10));
            let now = clock();
            let shared = &loading.shared;
            let threads = loading.threads.len();
            if watched.start_ns == 0 && shared.preloaded.load(Ordering::Acquire) == threads {
                watched.start_ns = now.0 + 5_000_000;
                shared.start_at_ns.store(watched.start_ns, Ordering::Release);
            }
            let completed = shared.completed.load(Ordering::Relaxed);
            if completed != seen.0 {
                seen = (completed, now);
            }
            self.tell_phase(watched.start_ns, now.0, completed);
            if watched.start_ns != 0 {
                let at_ns = now.0.saturating_sub(watched.start_ns);
                let measures = at_ns >= phases.warm_up_ns;
                let measured_ops =
                    measures.then(|| completed - *before_measuring.get_or_insert(completed));
                watched.edges.note(at_ns, phases, || machine(cluster, placed));
                schedule.act(Moment { at_ns, measured_ops }, cluster);
            }
            watched.trouble = self.trouble(cluster, loading, now.since(seen.1));
            if watched.trouble.is_some() {
                break;
            }
        }
        if watched.start_ns != 0 {
            // With no cool-down the load may be over before the end of the window is looked at.
            let at_ns = clock().0.saturating_sub(watched.start_ns);
            watched.edges.note(at_ns, phases, || machine(cluster, placed));
        }
        watched.faults = schedule.finish(cluster, phases);
        watched
    }

    fn trouble(&self, cluster: &mut Cluster, loading: &Loading, idle_ns: u64) -> Option<String> {
        if self.options.interrupted.load(Ordering::Relaxed) {
            return Some("interrupted".to_owned());
        }
        if let Some(death) = cluster.unexpected_death() {
            return Some(death);
        }
        if loading.shared.writing_failed.load(Ordering::Acquire) {
            return Some("the results cannot be written".to_owned());
        }
        if idle_ns < WATCHDOG_NS {
            return None;
        }
        let outstanding = loading.shared.outstanding.load(Ordering::Relaxed);
        let leader =
            cluster.leader().map_or_else(|| "nobody".to_owned(), |id| format!("replica {id}"));
        let alive: Vec<String> = (0..cluster.len())
            .filter(|&id| cluster.is_alive(id))
            .map(|id| id.to_string())
            .collect();
        Some(format!(
            "no operation ended for {} s: {outstanding} wait for an answer, {leader} leads, alive \
             are replicas {}",
            WATCHDOG_NS / 1_000_000_000,
            alive.join(", "),
        ))
    }

    /// How long operations took once they were sent, if that is not how they are timed anyway.
    fn service(
        &self,
        history: &HistoryFile,
        start_ns: u64,
    ) -> Result<Option<Histogram<u64>>, HistoryError> {
        if matches!(self.workload.load.arrival, Arrival::Closed { .. }) {
            return Ok(None);
        }
        let phases = &self.workload.phases;
        let from_ns = start_ns + phases.warm_up_ns;
        service::times(history, &(from_ns..from_ns + phases.measure_ns)).map(Some)
    }

    fn check(&self) -> Result<Verdict, String> {
        let history = HistoryFile::new(&self.part.history());
        let verdict = check::check(
            &history,
            cluster::chosen(self.workload, self.protocol).promise,
            CHECK_BYTES_MAX,
            &|| clock().0,
        )
        .map_err(|error| error.to_string())?;
        if let Some(violation) = verdict.violation() {
            let svg = check::draw(violation);
            self.part.write_violation(&svg).map_err(|error| error.to_string())?;
        }
        Ok(verdict)
    }

    fn keep(&self, written: &Written, result: &ProtocolResult) -> Result<(), String> {
        self.part
            .write_hgrm(&hgrm::render(&written.measured.overall()))
            .and_then(|()| self.part.write_throughput(&result.series))
            .map_err(|error| error.to_string())
    }

    fn tell_phase(&self, start_ns: u64, now_ns: u64, completed: u64) {
        self.progress.tell_often(|| {
            let phase = self.phase(start_ns, now_ns);
            self.line(&format!("{phase}, {completed} operations"))
        });
    }

    fn phase(&self, start_ns: u64, now_ns: u64) -> String {
        let phases = &self.workload.phases;
        let at = now_ns.saturating_sub(start_ns);
        let seconds = |ns: u64| ns as f64 / 1e9;
        let measuring = phases.warm_up_ns..phases.warm_up_ns + phases.measure_ns;
        if start_ns == 0 {
            "writing all keys".to_owned()
        } else if at < phases.warm_up_ns {
            format!("warming up, {:.1} of {:.1} s", seconds(at), seconds(phases.warm_up_ns))
        } else if measuring.contains(&at) {
            let measured = at - phases.warm_up_ns;
            format!("measuring, {:.1} of {:.1} s", seconds(measured), seconds(phases.measure_ns))
        } else {
            "cooling down".to_owned()
        }
    }

    fn tell(&self, what: &str) {
        self.progress.tell(&self.line(what));
    }

    fn line(&self, what: &str) -> String {
        format!("{} (run {}): {what}", self.protocol.label, self.repeat + 1)
    }
}

fn load_thread(
    plan: Plan,
    recording: Recording,
    shared: Arc<Shared>,
    processor: usize,
    wait: Wait,
    hub: Option<Arc<Hub>>,
) -> Noticed {
    core_affinity::set_for_current(core_affinity::CoreId { id: processor });
    if let Some(hub) = hub {
        let io = MemoryIo::new(wait, hub, None);
        return LoadThread::new(plan, io, shared, recording, thread_cpu_ns).run();
    }
    let io = match Uring::new(wait, None) {
        Ok(io) => io,
        Err(error) => {
            // The replicas have made rings, so this is as rare as it is final.
            eprintln!("load generator: {error}");
            std::process::exit(3);
        }
    };
    LoadThread::new(plan, io, shared, recording, thread_cpu_ns).run()
}

/// The machine as it is now: the processors and the processes of a run.
fn machine(cluster: &Cluster, placed: &Placed) -> Machine {
    let processors = placed.replicas.iter().flatten().chain(&placed.load).copied().collect();
    let own = (machine::LOAD.to_owned(), std::process::id());
    let replicas = cluster.processes().map(|(id, process)| (format!("replica {id}"), process));
    let processes: Vec<(String, u32)> = replicas.chain([own]).collect();
    Machine::read(Path::new("/"), &processors, &processes)
}

/// A temporary folder that vanishes with this.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self, String> {
        let name = format!("synod-{}-{}", std::process::id(), clock().0);
        let path = std::env::temp_dir().join(name);
        cluster::private_folder(&path).map_err(|error| {
            format!("the temporary folder {} cannot be made: {error}", path.display())
        })?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "the date of a run is for people")]
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The date and the time, after RFC 3339.
pub(crate) fn now() -> String {
    utc_date(wall_clock())
}

/// RFC 3339 in UTC, to the second. (Days to civil date: Hinnant, *chrono-compatible low-level date
/// algorithms*.)
fn utc_date(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_799, "2024-02-28T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc_date(Duration::from_secs(seconds)), date);
        }
    }
}
