//! Once warm, a turn takes no memory: neither a replica's nor the load generator's.
//!
//! Three replicas and one load thread run as they do in a measured run, over loopback TCP, each on
//! a thread of its own. After a warm-up under load every thread counts its own allocations.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![allow(missing_docs, reason = "a test has no readers of its documentation")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use allocation_counter::AllocationInfo;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use synod::greeting::Key;
use synod::io::uring::{Listener, Uring, Wait, clock, listen, thread_cpu_ns};
use synod::io::{Address, Io};
use synod::load::{LoadThread, Piece, Plan, Recording, Shared, Used};
use synod::node::{Node, Settings};
use synod::wal::{FileStorage, WalLimits};
use synod_protocols::abd::Abd;
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::paxos::Paxos;
use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::{
    Config, Default as DefaultValue, PARAMETERS_MAX, Protocol, Service,
};
use synod_protocols::quorum::Quorum;
use synod_protocols::raft::Raft;
use synod_protocols::two_phase_commit::TwoPhaseCommit;
use synod_protocols::types::ReplicaId;
use synod_protocols::viewstamped::Viewstamped;
use synod_protocols::zab::Zab;
use synod_workloads::{
    Arrival, Bank, KeyDistribution, Keys, Load, Mix, Phases, Transaction, Values,
};
use tempfile::TempDir;

const REPLICAS: u8 = 3;
const CLIENTS: u32 = 64;
const KEYS: u64 = 10_000;

/// What each thread does before it counts: long enough for every buffer to reach its size and for
/// the replicas to hold as many batches as they ever retain.
const WARM_UP_NS: u64 = 1_000_000_000;

/// Every thread counts for twice so many turns at least, as with a disk every second one is the end of
/// a write and brings no message, and so long: several heartbeats, scans, chunks of recorded
/// operations, and an interval of latencies.
const TURNS: u64 = 2_000;
const COUNTING_NS: u64 = 1_000_000_000;

/// What takes memory as it goes does so whenever it is counted. What only grows to the most that was
/// ever needed, as an arena does, may do so late on a busy machine, and is counted again.
const COUNTS_MAX: u32 = 4;

/// A run that takes longer hangs.
const RUN_NS_MAX: u64 = 60_000_000_000;

const FRAME_BYTES_MAX: u32 = 256 << 10;

/// More log than a run writes: a snapshot takes memory for a copy of the session table.
const SNAPSHOT_BYTES: u64 = 128 << 20;

const LOG: WalLimits =
    WalLimits { segment_bytes: 4 << 20, write_bytes_max: 512 << 10, writes_in_flight: 2 };

#[test]
fn turns_of_a_log_protocol_take_no_memory() {
    assert_no_allocation::<MultiPaxos>(None, 16);
}

#[test]
fn turns_of_a_log_protocol_without_a_leader_take_no_memory() {
    assert_no_allocation::<Paxos>(None, 16);
}

#[test]
fn turns_of_a_log_protocol_without_a_leader_with_a_disk_take_no_memory() {
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<Paxos>(Some(folder.path()), 100);
}

#[test]
fn turns_of_a_register_protocol_take_no_memory() {
    assert_no_allocation::<Abd>(None, 16);
}

#[test]
fn turns_of_a_log_protocol_with_a_disk_take_no_memory() {
    let folder = TempDir::new().unwrap();
    // Values that are too long to lie in an entry of the store.
    assert_no_allocation::<MultiPaxos>(Some(folder.path()), 100);
}

#[test]
fn turns_of_a_register_protocol_with_a_disk_take_no_memory() {
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<Abd>(Some(folder.path()), 100);
}

#[test]
fn turns_of_quorums_of_votes_take_no_memory() {
    assert_no_allocation::<Quorum>(None, 16);
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<Quorum>(Some(folder.path()), 100);
}

#[test]
fn turns_of_raft_take_no_memory() {
    assert_no_allocation::<Raft>(None, 16);
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<Raft>(Some(folder.path()), 100);
}

#[test]
fn turns_of_viewstamped_replication_take_no_memory() {
    assert_no_allocation::<Viewstamped>(None, 16);
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<Viewstamped>(Some(folder.path()), 100);
}

#[test]
fn turns_of_zab_take_no_memory() {
    assert_no_allocation::<Zab>(None, 16);
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<Zab>(Some(folder.path()), 100);
}

#[test]
fn turns_of_two_phase_commit_take_no_memory() {
    assert_no_allocation::<TwoPhaseCommit>(None, 16);
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<TwoPhaseCommit>(Some(folder.path()), 100);
    assert_no_allocation_under::<TwoPhaseCommit>(None, transfers());
}

#[test]
fn turns_of_paxos_commit_take_no_memory() {
    assert_no_allocation::<PaxosCommit>(None, 16);
    let folder = TempDir::new().unwrap();
    assert_no_allocation::<PaxosCommit>(Some(folder.path()), 100);
    assert_no_allocation_under::<PaxosCommit>(None, transfers());
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What the threads of a run share.
struct Run {
    /// Set when the threads are to count.
    counts: AtomicBool,
    /// Threads that have counted.
    counted: AtomicUsize,
    stop: AtomicBool,
    until_ns: u64,
}

impl Run {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && clock().0 < self.until_ns
    }

    /// Turns until the run is over, and counts allocations when it is time to.
    fn drive(&self, mut turn: impl FnMut()) -> Option<Counted> {
        let _others_stop_too = StopOnDrop(self);
        let mut counted = None;
        while self.goes_on() {
            turn();
            if counted.is_none() && self.counts.load(Ordering::Acquire) {
                counted = Some(count(&mut turn));
                self.counted.fetch_add(1, Ordering::Release);
            }
        }
        counted
    }
}

/// Ends the run when one of its threads panics.
struct StopOnDrop<'a>(&'a Run);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Counted {
    turns: u64,
    memory: AllocationInfo,
}

fn count(turn: &mut impl FnMut()) -> Counted {
    let mut counted = count_once(turn);
    for _ in 1..COUNTS_MAX {
        if counted.memory.count_total > 0 {
            counted = count_once(turn);
        }
    }
    counted
}

fn count_once(turn: &mut impl FnMut()) -> Counted {
    let until_ns = clock().0 + COUNTING_NS;
    let mut turns = 0;
    let memory = allocation_counter::measure(|| {
        while turns < 2 * TURNS || clock().0 < until_ns {
            turn();
            turns += 1;
        }
    });
    Counted { turns, memory }
}

fn assert_no_allocation<P: Protocol + 'static>(folder: Option<&Path>, value_bytes: u32) {
    assert_no_allocation_under::<P>(folder, load(value_bytes));
}

fn assert_no_allocation_under<P: Protocol + 'static>(folder: Option<&Path>, load: Load) {
    // Twenty threads at once would only wait for each other. What a failed test leaves is nothing.
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let any_port = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listeners: Vec<Listener> = (0..REPLICAS).map(|_| listen(&any_port).unwrap()).collect();
    let peers: Vec<Address> = listeners.iter().map(|listener| listener.address().clone()).collect();
    let run = Run {
        counts: AtomicBool::new(false),
        counted: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        until_ns: clock().0 + RUN_NS_MAX,
    };
    let (full, pieces) = bounded(64);
    let (give_back, used) = unbounded();
    let plan = plan::<P>(peers.clone(), load);
    thread::scope(|scope| {
        let replicas: Vec<_> = (0..)
            .zip(listeners)
            .map(|(id, listener)| {
                let (run, settings) = (&run, settings::<P>(id, peers.clone()));
                scope.spawn(move || replicate::<P>(run, settings, listener, folder))
            })
            .collect();
        scope.spawn(move || take_in(&pieces, &give_back));
        let shared = Arc::new(Shared::default());
        let loading = Arc::clone(&shared);
        let run = &run;
        let load =
            scope.spawn(move || generate(run, plan, &loading, Recording::new(0, full, used)));
        conduct(run, &shared);
        for (id, replica) in replicas.into_iter().enumerate() {
            let counted = replica.join().unwrap();
            assert_eq!(counted.memory.count_total, 0, "{} replica {id}: {counted:?}", P::NAME);
        }
        let (counted, completed) = load.join().unwrap();
        println!("{}: {completed} operations, load thread {} turns", P::NAME, counted.turns);
        assert_eq!(counted.memory.count_total, 0, "{} load generator: {counted:?}", P::NAME);
        assert!(completed > TURNS, "the load generator was busy: {completed} operations");
    });
}

/// Starts the load when the keys are there, lets all threads count, and ends the run.
fn conduct(run: &Run, shared: &Shared) {
    let _all_stop_at_the_end = StopOnDrop(run);
    let mut start_ns = 0;
    while run.goes_on() && run.counted.load(Ordering::Acquire) <= usize::from(REPLICAS) {
        thread::park_timeout(std::time::Duration::from_millis(10));
        if start_ns == 0 && shared.preloaded.load(Ordering::Acquire) > 0 {
            start_ns = clock().0;
            shared.start_at_ns.store(start_ns, Ordering::Release);
        }
        if start_ns != 0 && clock().0 >= start_ns + WARM_UP_NS {
            run.counts.store(true, Ordering::Release);
        }
    }
}

fn replicate<P: Protocol>(
    run: &Run,
    settings: Settings,
    listener: Listener,
    folder: Option<&Path>,
) -> Counted {
    let io = Uring::new(Wait::Block, Some(listener)).unwrap();
    let id = settings.protocol.id;
    let mut node = match folder {
        None => Node::<P, _>::new(settings, io),
        Some(folder) => {
            let storage = || FileStorage::open(&folder.join(id.to_string()));
            Node::open(settings, io, storage, LOG).unwrap().0
        }
    };
    let counted = run.drive(|| {
        node.turn().unwrap();
        node.end_turn(clock);
    });
    let counters = node.counters();
    println!("{} {id}: {counters:?}", P::NAME);
    assert!(counters.messages_received > TURNS, "{id} was busy: {counters:?}");
    // Each segment may end with a gap that is smaller than the largest write.
    assert!(counters.log_bytes < SNAPSHOT_BYTES / 8 * 7, "{id} took a snapshot: {counters:?}");
    assert_eq!(counters.log_writes > TURNS / 2, folder.is_some(), "{id}: {counters:?}");
    counted.expect("the replica lived to count")
}

fn generate(run: &Run, plan: Plan, shared: &Arc<Shared>, recording: Recording) -> (Counted, u64) {
    let io = Uring::new(Wait::Block, None).unwrap();
    assert!(io.now().0 < run.until_ns);
    let mut load = LoadThread::new(plan, io, Arc::clone(shared), recording, thread_cpu_ns);
    let counted = run.drive(|| assert!(load.turn(), "the load outlives the run"));
    (counted.expect("the load thread lived to count"), shared.completed.load(Ordering::Relaxed))
}

/// Takes the place of the thread that writes the results: gives the memory back.
fn take_in(pieces: &Receiver<Piece>, give_back: &Sender<Used>) {
    for piece in pieces {
        let used = match piece {
            Piece::Operations(mut chunk) => {
                chunk.clear();
                Used::Operations(chunk)
            }
            Piece::Latencies(timed) => Used::Latencies(timed.interval.clear()),
        };
        // The load thread may have ended before its last piece is looked at.
        let _nobody_there = give_back.send(used);
    }
}

fn settings<P: Protocol>(id: u8, peers: Vec<Address>) -> Settings {
    let mut parameters = [0; PARAMETERS_MAX];
    for (place, parameter) in parameters.iter_mut().zip(P::PARAMETERS) {
        *place = match parameter.default {
            DefaultValue::Fixed(value) => value,
            DefaultValue::Majority => u64::from(REPLICAS / 2 + 1),
        };
    }
    Settings {
        founding: true,
        protocol: Config {
            id: ReplicaId(id),
            replicas: usize::from(REPLICAS),
            window: 64,
            // Without a leader fewer operations are done: more would not be there after the warm-up.
            retain_bytes: if P::NAME == Paxos::NAME { 256 << 10 } else { 2 << 20 },
            log_records: usize::MAX,
            observers: 0,
            witnesses: 0,
            lost: false,
            parameters,
        },
        cluster: 1,
        key: Key::of_seed(1),
        nonces: Key::of_seed(2 + u64::from(id)),
        group: 0,
        peers,
        seed: 1,
        batch_ops_max: 256,
        batch_bytes_max: 64 << 10,
        linger_ns: 0,
        objective_ns: 0,
        frame_bytes_max: FRAME_BYTES_MAX,
        pending_ops_max: 4096,
        keys_expected: usize::try_from(KEYS).unwrap(),
        clients_max: 64,
        sessions_max: 4096,
        snapshot_bytes: SNAPSHOT_BYTES,
        sync_each: false,
    }
}

fn plan<P: Protocol>(replicas: Vec<Address>, load: Load) -> Plan {
    Plan {
        thread: 0,
        threads: 1,
        cluster: 1,
        key: Key::of_seed(1).for_clients(),
        nonces: Key::of_seed(9),
        groups: vec![replicas],
        load,
        phases: Phases { warm_up_ns: WARM_UP_NS, measure_ns: RUN_NS_MAX, cool_down_ns: 0 },
        seed: 1,
        repeatable: P::SERVICE == Service::StateMachine,
        reads: P::reads(&[0; PARAMETERS_MAX]),
        frame_bytes_max: FRAME_BYTES_MAX,
    }
}

/// Gets and writes of some keys more than of others.
fn load(value_bytes: u32) -> Load {
    Load {
        threads: 1,
        connections: REPLICAS.into(),
        clients: CLIENTS,
        arrival: Arrival::Closed { outstanding: 1, think_ns: 0 },
        mix: Mix { get: 0.5, put: 0.4, read_modify_write: 0.1, ..Mix::NOTHING },
        transaction: Transaction::ReadWrite { reads: 0, writes: 1 },
        keys: Keys {
            count: KEYS,
            first: 0,
            preload: true,
            distribution: KeyDistribution::Zipfian { theta: 0.99 },
        },
        values: Values::Fixed(value_bytes),
        timeout_ns: 5_000_000_000,
        give_up_ns: 20_000_000_000,
        sample_every: 64,
    }
}

/// Money that moves between accounts, and audits.
fn transfers() -> Load {
    let load = load(16);
    let mix = Mix { transaction: 1.0, ..Mix::NOTHING };
    let bank = Bank { accounts: 8, payees: 2, balance: 100, amount: 50, audits: 0.1 };
    let keys = Keys { distribution: KeyDistribution::Uniform, ..load.keys };
    Load { mix, transaction: Transaction::Transfer(bank), keys, ..load }
}
