//! A replica: one pinned thread for each group, and one that listens to the controller. They have a
//! process of their own, or share the controller's.

use std::io::{self, BufRead, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use crossbeam::channel::{self, Receiver, Sender};
use synod_protocols::protocol::{Change, Config, PARAMETERS_MAX, Protocol, Role};
use synod_protocols::types::{ReplicaId, Replicas};

use crate::cluster::orders::{Enlist, Order, Report, Status, WireAddress};
use crate::emulate::{Control, Emulated};
use crate::greeting::Key;
use crate::io::memory::{self, Hub, MemoryIo};
use crate::io::uring::{self, Uring, Wait, thread_cpu_ns};
use crate::io::{Address, Io};
use crate::node::{Node, Settings};
use crate::registry::{self, Visit};
use crate::wal::{FileStorage, WalLimits, log_records};

/// How often a replica tells the controller how it is doing.
const STATUS_EVERY: Duration = Duration::from_millis(50);

/// What a record has around its payload in a write, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 4096;

/// The largest write of the log: what may gather while the disk is busy.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// What the threads of one replica share.
#[derive(Debug, Default)]
struct Shared {
    ready: AtomicUsize,
    start: AtomicBool,
    stop: AtomicBool,
}

/// Tells the controller something.
type Say<'a> = &'a dyn Fn(Report) -> Result<(), String>;

/// A process that serves until the controller says stop or goes away.
///
/// # Errors
/// A sentence for the controller's user: what could not be done.
pub fn serve() -> Result<(), String> {
    obey(read_orders(), &write_report, None)
}

/// Serves in the controller's process until it says stop or drops the other end of `orders`. All
/// threads are over when this returns.
///
/// # Errors
/// A sentence for the controller's user: what could not be done.
pub(crate) fn serve_here(
    orders: Receiver<String>,
    say: Say<'_>,
    hub: &Arc<Hub>,
) -> Result<(), String> {
    obey(orders, say, Some(hub))
}

fn obey(orders: Receiver<String>, say: Say<'_>, hub: Option<&Arc<Hub>>) -> Result<(), String> {
    let first = orders.recv().map_err(|_| "no orders came".to_owned())?;
    let enlist: Enlist =
        serde_json::from_str(&first).map_err(|error| format!("orders make no sense: {error}"))?;
    enlist.check()?;
    let protocol = enlist.protocol.clone();
    registry::with_protocol(&protocol, Serve { enlist, orders, say, hub })
        .unwrap_or_else(|| Err(format!("there is no protocol called {protocol}")))
}

/// Lines of the standard input; the channel ends when the controller is gone.
fn read_orders() -> Receiver<String> {
    let (sender, receiver) = channel::unbounded();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn write_report(report: Report) -> Result<(), String> {
    let line = serde_json::to_string(&report).map_err(|error| error.to_string())?;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

struct Serve<'a> {
    enlist: Enlist,
    orders: Receiver<String>,
    say: Say<'a>,
    /// What connects the replicas of this process, when it has them all.
    hub: Option<&'a Arc<Hub>>,
}

/// What a group's thread accepts connections from.
enum Listener {
    Socket(uring::Listener),
    Memory(memory::Listener, Arc<Hub>),
}

impl Listener {
    fn address(&self) -> &Address {
        match self {
            Self::Socket(listener) => listener.address(),
            Self::Memory(listener, _) => listener.address(),
        }
    }
}

impl Visit for Serve<'_> {
    type Output = Result<(), String>;

    fn visit<P: Protocol + 'static>(self) -> Self::Output {
        let Self { enlist, orders, say, hub } = self;
        let mut listeners = Vec::new();
        for address in &enlist.listen {
            listeners.push(listen(&Address::from(address.clone()), hub)?);
        }
        let addresses: Vec<WireAddress> =
            listeners.iter().map(|listener| listener.address().clone().into()).collect();
        say(Report::Listening(addresses))?;
        let peers = match next_order(&orders)? {
            Some(Order::Meet(peers)) => peers,
            Some(Order::Stop) | None => return Ok(()),
            Some(other) => return Err(format!("told of {other:?} before whom to meet")),
        };
        let shared = Arc::new(Shared::default());
        let statuses: Arc<[AtomicCell<Status>]> =
            enlist.listen.iter().map(|_| AtomicCell::default()).collect();
        let (failed, failures) = channel::bounded(enlist.listen.len());
        let records: Arc<[AtomicUsize]> =
            enlist.listen.iter().map(|_| AtomicUsize::new(0)).collect();
        let control = enlist.links.clone().map(|rules| Arc::new(Control::new(rules)));
        let (mut threads, mut changes) = (Vec::new(), Vec::new());
        for (group, listener) in listeners.into_iter().enumerate() {
            let (change, changed) = channel::unbounded();
            changes.extend(P::CHANGES.then_some(change));
            let peers = peers[group].iter().cloned().map(Address::from).collect();
            let thread = GroupThread {
                settings: settings(&enlist, group, peers, Key::random()?),
                enlist: enlist.clone(),
                group,
                shared: Arc::clone(&shared),
                statuses: Arc::clone(&statuses),
                records: Arc::clone(&records),
                failed: failed.clone(),
                control: control.clone(),
                changes: changed,
            };
            let spawned = thread::Builder::new()
                .name(format!("group {group}"))
                .spawn(move || thread.run::<P>(listener))
                .map_err(|error| format!("a thread could not be started: {error}"))?;
            threads.push(spawned);
        }
        let (statuses, records) = (&statuses, &records);
        let watch = Watch { shared: &shared, statuses, records, control, changes };
        let watched = watch.until_the_end(&orders, &failures, say);
        if hub.is_some() {
            // The end of a process ends its threads; here nothing else does.
            shared.stop.store(true, Ordering::Release);
            for thread in threads {
                thread.join().map_err(|_| "a group's thread panicked".to_owned())?;
            }
        }
        watched
    }
}

fn listen(address: &Address, hub: Option<&Arc<Hub>>) -> Result<Listener, String> {
    match (address, hub) {
        (Address::Memory(number), Some(hub)) => hub
            .listen(*number)
            .map(|listener| Listener::Memory(listener, Arc::clone(hub)))
            .map_err(|error| error.to_string()),
        (Address::Tcp(_) | Address::Unix(_) | Address::Memory(_), _) => {
            listen_patiently(address).map(Listener::Socket)
        }
    }
}

/// A port that was just given up by a killed process may need a moment.
fn listen_patiently(address: &Address) -> Result<uring::Listener, String> {
    let mut left = 50;
    loop {
        match uring::listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && left > 0 => {
                left -= 1;
                pause(Duration::from_millis(20));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the control thread has nothing else to do")]
fn pause(duration: Duration) {
    thread::sleep(duration);
}

fn next_order(orders: &Receiver<String>) -> Result<Option<Order>, String> {
    let Ok(line) = orders.recv() else { return Ok(None) };
    serde_json::from_str(&line)
        .map(Some)
        .map_err(|error| format!("an order makes no sense: {error}"))
}

fn settings(enlist: &Enlist, group: usize, peers: Vec<Address>, nonces: Key) -> Settings {
    let mut parameters = [0; PARAMETERS_MAX];
    parameters[..enlist.parameters.len()].copy_from_slice(&enlist.parameters);
    Settings {
        protocol: Config {
            id: ReplicaId(enlist.id),
            replicas: usize::from(enlist.replicas),
            window: enlist.window,
            retain_bytes: enlist.retain_bytes,
            log_records: log_records(enlist.durability == "each", enlist.writes_in_flight),
            parameters,
            observers: usize::from(enlist.observers),
            witnesses: usize::from(enlist.witnesses),
            lost: false,
        },
        cluster: enlist.cluster,
        key: enlist.key,
        nonces,
        group: u16::try_from(group).expect("groups are few"),
        peers,
        seed: enlist.seed ^ (group as u64) << 48,
        batch_ops_max: enlist.batch_ops_max,
        batch_bytes_max: enlist.batch_bytes_max,
        linger_ns: enlist.linger_ns,
        objective_ns: enlist.objective_ns,
        frame_bytes_max: enlist.frame_bytes_max,
        pending_ops_max: enlist.pending_ops_max,
        keys_expected: enlist.keys_expected,
        sessions_max: enlist.sessions_max,
        snapshot_bytes: enlist.snapshot_bytes,
        clients_max: enlist.clients_max,
        sync_each: enlist.durability == "each",
        founding: enlist.founding,
    }
}

/// What the control thread sees of the groups.
struct Watch<'a> {
    shared: &'a Shared,
    statuses: &'a [AtomicCell<Status>],
    records: &'a [AtomicUsize],
    /// Emulated faults, in a run that has them.
    control: Option<Arc<Control>>,
    /// To each group what an administrator asks for; to none where nothing can be asked.
    changes: Vec<Sender<Change>>,
}

impl Watch<'_> {
    /// Obeys the controller until it says stop or is gone.
    fn until_the_end(
        &self,
        orders: &Receiver<String>,
        failures: &Receiver<String>,
        say: Say<'_>,
    ) -> Result<(), String> {
        let groups = self.statuses.len();
        let mut told_ready = false;
        loop {
            let wait = if told_ready { STATUS_EVERY } else { Duration::from_millis(2) };
            match orders.recv_timeout(wait) {
                Ok(line) => {
                    if !self.obey(&line)? {
                        break;
                    }
                }
                Err(channel::RecvTimeoutError::Timeout) => {}
                Err(channel::RecvTimeoutError::Disconnected) => break,
            }
            if let Ok(failure) = failures.try_recv() {
                return Err(failure);
            }
            if !told_ready && self.shared.ready.load(Ordering::Acquire) == groups {
                told_ready = true;
                let records = self.records.iter();
                let records = records.map(|count| count.load(Ordering::Relaxed) as u64).collect();
                say(Report::Ready(records))?;
            } else if told_ready {
                self.tell_status(say)?;
            }
        }
        self.shared.stop.store(true, Ordering::Release);
        self.tell_status(say)
    }

    /// Carries out an order. False when it is the last.
    fn obey(&self, line: &str) -> Result<bool, String> {
        let order = serde_json::from_str(line)
            .map_err(|error| format!("an order makes no sense: {error}"))?;
        match (order, &self.control) {
            (Order::Start, _) => self.shared.start.store(true, Ordering::Release),
            (Order::Stop, _) => return Ok(false),
            (Order::Meet(_), _) => return Err("told twice whom to meet".to_owned()),
            (Order::Links(rules), Some(control)) => control.set_rules(rules),
            (Order::Stall(for_ns), Some(control)) => {
                control.stall_until(uring::clock() + for_ns);
            }
            (Order::FailWrite, Some(control)) => control.fail_next_write(),
            (Order::Change(_), _) if self.changes.is_empty() => {
                return Err("told to change what this protocol does not change".to_owned());
            }
            (Order::Change(change), _) => {
                for group in &self.changes {
                    let _it_has_ended = group.send(change.into());
                }
            }
            (Order::Links(_) | Order::Stall(_) | Order::FailWrite, None) => {
                return Err("told of faults in a run without any".to_owned());
            }
        }
        Ok(true)
    }

    fn tell_status(&self, say: Say<'_>) -> Result<(), String> {
        say(Report::Status(self.statuses.iter().map(AtomicCell::load).collect()))?;
        match &self.control {
            Some(control) => say(Report::Evidence(control.evidence())),
            None => Ok(()),
        }
    }
}

/// The sizes of a log whose records fit frames of `frame_bytes_max`.
pub(crate) fn log_limits(
    segment_bytes: usize,
    frame_bytes_max: usize,
    writes_in_flight: usize,
    sync_each: bool,
) -> WalLimits {
    // A write holds the longest record. It is much shorter than a segment, whose end stays unused
    // where a whole write does not fit any more.
    let write_bytes_min = frame_bytes_max + RECORD_OVERHEAD_BYTES;
    let write_bytes_max = if sync_each {
        write_bytes_min
    } else {
        (segment_bytes / 16).clamp(write_bytes_min, WRITE_BYTES_MAX.max(write_bytes_min))
    }
    .next_multiple_of(4096);
    let segments_max = u32::MAX as usize / write_bytes_max;
    WalLimits {
        segment_bytes: segment_bytes.div_ceil(write_bytes_max).min(segments_max) * write_bytes_max,
        write_bytes_max,
        writes_in_flight,
    }
}

/// The thread of one group.
struct GroupThread {
    settings: Settings,
    enlist: Enlist,
    group: usize,
    shared: Arc<Shared>,
    statuses: Arc<[AtomicCell<Status>]>,
    records: Arc<[AtomicUsize]>,
    failed: Sender<String>,
    control: Option<Arc<Control>>,
    /// What an administrator asks for.
    changes: Receiver<Change>,
}

/// How often a group's thread tells how it is doing.
const PUBLISH_NS: u64 = 20_000_000;

impl GroupThread {
    fn run<P: Protocol>(self, listener: Listener) {
        if let Err(failure) = self.try_run::<P>(listener) {
            // The control thread ends with these as its last words.
            let _control_thread_is_gone = self.failed.send(failure);
        }
    }

    fn try_run<P: Protocol>(&self, listener: Listener) -> Result<(), String> {
        let processor = self.enlist.processors[self.group];
        if !core_affinity::set_for_current(core_affinity::CoreId { id: processor }) {
            return Err(format!("processor {processor} cannot be used by this process"));
        }
        let wait = wait(&self.enlist.wait);
        match listener {
            Listener::Socket(listener) => {
                let io = Uring::new(wait, Some(listener)).map_err(|error| error.to_string())?;
                match &self.control {
                    None => self.open_and_start::<P, _>(io),
                    Some(control) => self.open_and_start::<P, _>(self.emulate(io, control)),
                }
            }
            Listener::Memory(listener, hub) => {
                assert_eq!(self.enlist.durability, "none", "the workload was checked");
                let io = MemoryIo::new(wait, hub, Some(listener));
                self.start(Node::<P, _>::new(self.settings.clone(), io), 0)
            }
        }
    }

    /// The same with faults around it.
    fn emulate(&self, io: Uring, control: &Arc<Control>) -> Emulated<Uring> {
        let Settings { protocol, peers, seed, .. } = &self.settings;
        let seed = seed ^ u64::from(protocol.id.0) << 56;
        Emulated::new(io, Arc::clone(control), peers.clone(), seed)
    }

    fn open_and_start<P: Protocol, I: Io<Storage = FileStorage>>(
        &self,
        io: I,
    ) -> Result<(), String> {
        let (node, records) = self.open_node::<P, I>(io)?;
        self.start(node, records)
    }

    /// Serves as soon as everybody is ready.
    fn start<P: Protocol, I: Io>(
        &self,
        mut node: Node<P, I>,
        records: usize,
    ) -> Result<(), String> {
        self.records[self.group].store(records, Ordering::Relaxed);
        self.shared.ready.fetch_add(1, Ordering::Release);
        while !self.shared.start.load(Ordering::Acquire) {
            pause(Duration::from_millis(1));
            if self.shared.stop.load(Ordering::Acquire) {
                return Ok(());
            }
        }
        self.serve(&mut node)
    }

    fn open_node<P: Protocol, I: Io<Storage = FileStorage>>(
        &self,
        io: I,
    ) -> Result<(Node<P, I>, usize), String> {
        let enlist = &self.enlist;
        if enlist.durability == "none" {
            return Ok((Node::new(self.settings.clone(), io), 0));
        }
        let folder = enlist.data.join(format!("group-{}", self.group));
        let storage = || FileStorage::open(&folder);
        let limits = log_limits(
            usize::try_from(enlist.segment_bytes).expect("segments are small"),
            enlist.frame_bytes_max as usize,
            enlist.writes_in_flight,
            self.settings.sync_each,
        );
        let (node, opened) = Node::open(self.settings.clone(), io, storage, limits)?;
        if let Some(loss) = opened.loss {
            let id = enlist.id;
            eprintln!(
                "replica {id}: {loss}: starting with nothing, to be made whole by the others"
            );
        }
        Ok((node, usize::try_from(opened.records).expect("counted in memory")))
    }

    fn serve<P: Protocol, I: Io>(&self, node: &mut Node<P, I>) -> Result<(), String> {
        let mut publish_at = node.now();
        while !self.shared.stop.load(Ordering::Relaxed) {
            if P::CHANGES
                && let Ok(change) = self.changes.try_recv()
            {
                node.change(change);
            }
            node.turn().map_err(|fatal| fatal.to_string())?;
            node.end_turn(uring::clock);
            if node.now() >= publish_at {
                publish_at = node.now() + PUBLISH_NS;
                self.statuses[self.group].store(Status {
                    leads: matches!(node.role(), Role::Leader),
                    voters: node.voters().map(Replicas::bits),
                    counters: node.counters(),
                    cpu_ns: thread_cpu_ns(),
                    at_ns: node.now().0,
                });
            }
        }
        Ok(())
    }
}

/// How a thread waits, by its name in orders.
pub(crate) fn wait(name: &str) -> Wait {
    match name {
        "busy" => Wait::Busy,
        "block" => Wait::Block,
        _ => Wait::Yield,
    }
}
