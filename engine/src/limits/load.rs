//! The load generator alone: against a server that agrees with nobody and answers at once.
//!
//! What the generator cannot do here it cannot ask of a protocol either, so a run that comes near
//! this limit measures the generator.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam::channel::{Receiver, Sender, unbounded};
use hdrhistogram::Histogram;
use synod_protocols::command::{self, CommandLimits, Commands, Op, Reply, Status, VALUE_BYTES_MAX};
use synod_protocols::protocol::Reads;
use synod_protocols::types::Time;
use synod_results::record::LatencyTotals;
use synod_workloads::{
    Arrival, KeyDistribution, Keys, Load, Mix, Phases, Transaction, VALUE_ID_BYTES, Values, fill,
};

use super::lines::{Role, play};
use super::stopwatch::{nanoseconds, warm_up_ns};
use super::threads::{self, Scratch, StopOnDrop};
use super::{Entry, Options};
use crate::frame::{self, Frame, Kind};
use crate::greeting::{Accepting, Key, Nonces};
use crate::io::Address;
use crate::io::uring::{Uring, clock, thread_cpu_ns};
use crate::load::{LoadThread, Noticed, Piece, Plan, Recording, Shared, Used};

const KEYS: u64 = 1_000_000;

const VALUE_BYTES: u32 = 16;

/// Time for the threads to find each other before the load starts.
const SET_UP_NS: u64 = 50_000_000;

/// Measures one load thread, recording everything, with half gets and half puts. The server is on
/// another processor if the placement has one.
///
/// Two entries: operations in a second, and operations in a second of the load thread's processor
/// time. The second is larger where the server is the bottleneck and the load thread sleeps.
///
/// # Errors
/// When a processor, the directory or the ring is not to be had, or a reply was damaged.
pub fn load(options: &Options) -> io::Result<[Entry; 2]> {
    let scratch = Scratch::new(&options.directory)?;
    let listener = scratch.listen(options, "server")?;
    let plan = plan(options, listener.address().clone());
    let [others @ .., load_at] = options.placement;
    let server_at = others.into_iter().find(|&other| other != load_at).unwrap_or(load_at);
    let stop = AtomicBool::new(false);
    let (full, to_write) = unbounded();
    let (written, empty) = unbounded();
    let (latencies, noticed) = thread::scope(|scope| {
        // Should a thread not start, those that did must not wait for it.
        let _stopped_at_the_end = StopOnDrop(&stop);
        let history = threads::start(scope, "history", server_at, &stop, || {
            Ok(take_in(&to_write, &written))
        })?;
        let server = threads::start(scope, "server", server_at, &stop, || {
            play(&mut Uring::new(options.wait, Some(listener))?, &mut Server::new(), &[], &stop)
        })?;
        let shared = Arc::new(Shared::default());
        let loading = threads::start(scope, "load", load_at, &stop, || {
            let io = Uring::new(options.wait, None)?;
            shared.start_at_ns.store(clock().0 + SET_UP_NS, Ordering::Release);
            let recording = Recording::new(0, full, empty);
            Ok(LoadThread::new(plan.clone(), io, shared, recording, thread_cpu_ns).run())
        })?;
        let noticed = threads::join(loading)?;
        threads::join(server)?;
        Ok::<_, io::Error>((threads::join(history)?, noticed))
    })?;
    entries(options, &plan, &latencies, &noticed)
}

fn plan(options: &Options, server: Address) -> Plan {
    let length_ns = nanoseconds(options.seconds);
    let warm_up_ns = warm_up_ns(length_ns);
    Plan {
        thread: 0,
        threads: 1,
        cluster: 1,
        key: key(),
        nonces: key(),
        groups: vec![vec![server]],
        load: Load {
            threads: 1,
            connections: 1,
            clients: options.clients,
            arrival: Arrival::Closed { outstanding: 1, think_ns: 0 },
            mix: Mix { get: 0.5, put: 0.5, ..Mix::NOTHING },
            transaction: Transaction::ReadWrite { reads: 0, writes: 1 },
            keys: Keys {
                count: KEYS,
                first: 0,
                preload: false,
                distribution: KeyDistribution::Uniform,
            },
            values: Values::Fixed(VALUE_BYTES),
            timeout_ns: 1_000_000_000,
            give_up_ns: 2_000_000_000,
            sample_every: 0,
        },
        phases: Phases { warm_up_ns, measure_ns: length_ns - warm_up_ns, cool_down_ns: 0 },
        seed: 1,
        repeatable: true,
        reads: Reads::Ordered,
        frame_bytes_max: 1 << 20,
    }
}

fn entries(
    options: &Options,
    plan: &Plan,
    latencies: &Histogram<u64>,
    noticed: &Noticed,
) -> io::Result<[Entry; 2]> {
    if noticed.damaged > 0 || latencies.is_empty() {
        return Err(io::Error::other(format!(
            "the load generator got no sound answer: {noticed:?}"
        )));
    }
    let in_a_second = |nanoseconds: u64| latencies.len() as f64 * 1e9 / nanoseconds.max(1) as f64;
    let entry = |name: &str, rate| Entry {
        name: name.to_owned(),
        batch: 1,
        window: options.clients as usize,
        connections: usize::from(plan.load.connections),
        bytes: VALUE_BYTES as usize,
        rate,
        p50_ns: latencies.value_at_quantile(0.5),
        p99_ns: latencies.value_at_quantile(0.99),
        unit: "operations".to_owned(),
    };
    Ok([
        entry("load", in_a_second(plan.phases.measure_ns)),
        entry("load per CPU second", in_a_second(noticed.cpu_ns)),
    ])
}

/// Takes the place of whoever writes the results: gives the memory back until none comes any more,
/// and keeps the latencies of the measured window.
fn take_in(pieces: &Receiver<Piece>, give_back: &Sender<Used>) -> Histogram<u64> {
    let mut totals = LatencyTotals::default();
    for piece in pieces {
        let used = match piece {
            Piece::Operations(mut chunk) => {
                chunk.clear();
                Used::Operations(chunk)
            }
            Piece::Latencies(timed) => {
                if timed.measured {
                    totals.add(&timed.interval);
                }
                Used::Latencies(timed.interval.clear())
            }
        };
        // The load thread may have ended before its last piece is looked at.
        let _nobody_there = give_back.send(used);
    }
    totals.overall()
}

/// Answers everything, and keeps nothing.
struct Server {
    /// The load thread closes its connection when it ends.
    over: bool,
    value: [u8; VALUE_BYTES as usize],
    nonces: Nonces,
}

/// Nobody else is there who should not know it.
fn key() -> Key {
    Key::of_seed(1)
}

impl Server {
    fn new() -> Self {
        let mut value = [0; VALUE_BYTES as usize];
        fill(1, &mut value);
        Self { over: false, value, nonces: Nonces::new(key()) }
    }
}

impl Role for Server {
    fn open(&mut self, _line: usize) {}

    fn take(&mut self, line: usize, frame: Frame<'_>, outboxes: &mut [Vec<u8>]) {
        if frame.kind == Kind::Hello {
            let outbox = &mut outboxes[line];
            let begun = Accepting::begin(frame.payload, |_| Some(key()), &mut self.nonces, outbox);
            assert!(begun.is_some(), "the load generator greets");
        }
        if frame.kind != Kind::Requests {
            return;
        }
        let limits = CommandLimits { commands_max: usize::MAX, value_bytes_max: VALUE_BYTES_MAX };
        let commands =
            command::validate(frame.payload, &limits).expect("the load generator sends commands");
        let outbox = &mut outboxes[line];
        let at = frame::start(outbox, Kind::Replies, &[]);
        for command in Commands::new(frame.payload) {
            let value = match command.op {
                Op::Get => &self.value[..],
                Op::Add => &self.value[..VALUE_ID_BYTES],
                Op::Put | Op::Delete | Op::CompareAndSwap | Op::Transact => &[],
            };
            let reply = Reply {
                sequence: command.sequence,
                session_index: command.session.index(),
                status: Status::Ok,
                version: 0,
                value,
            };
            reply.encode(outbox);
        }
        frame::finish(outbox, at, u32::try_from(commands).expect("a frame holds fewer"));
    }

    fn turn(&mut self, _now: Time, _outboxes: &mut [Vec<u8>]) {}

    fn closed(&mut self) -> io::Result<()> {
        self.over = true;
        Ok(())
    }

    fn is_over(&self, _now: Time) -> bool {
        self.over
    }
}
