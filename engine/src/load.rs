//! The load generator: many logical clients on few connections, on the same ring code as replicas.
//!
//! A client is a session with at most one operation outstanding. A closed loop starts the next
//! operation when one ends; an open loop starts operations by the clock, and what finds no free
//! client waits in line: its latency counts from when it should have started. No tick is skipped.
//!
//! A request that is not answered in time is sent again with the same identity, to whoever leads by
//! then; one that is never answered has an unknown outcome, which is not a failure.

mod clients;
mod in_flight;
mod recording;
mod samples;
mod slots;
mod transactions;
pub mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use synod_protocols::command::{Replies, Reply, Status, validate_replies};
use synod_protocols::protocol::Reads;
use synod_protocols::types::Time;
use synod_results::breakdown::SampleTotals;
use synod_results::history::{self, Outcome};
use synod_workloads::{Arrival, ArrivalGenerator, Load, Phases, thread_seed};

use self::clients::{Clients, Step};
pub use self::in_flight::Passed;
pub use self::recording::{Piece, Recording, Timed, Used};
use self::slots::Slots;
pub use self::slots::lanes;
use crate::frame::{Frame, Kind, Next};
use crate::greeting::{self, Key};
use crate::io::{Address, Clock, Event, Io};
use crate::spans::Spans;

/// What one load thread is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which load thread this is.
    pub thread: u16,
    /// How many there are.
    pub threads: u16,
    /// The run's cluster.
    pub cluster: u64,
    /// What its clients are known by.
    pub key: Key,
    /// Another one for each thread: where the nonces of greetings come from.
    pub nonces: Key,
    /// Where the replicas of each group listen.
    pub groups: Vec<Vec<Address>>,
    /// What to ask.
    pub load: Load,
    /// For how long.
    pub phases: Phases,
    /// Where every random choice starts.
    pub seed: u64,
    /// Whether a request may be sent twice: the protocol applies it once.
    pub repeatable: bool,
    /// How the protocol wants its gets.
    pub reads: Reads,
    /// The longest frame that a replica takes.
    pub frame_bytes_max: u32,
}

/// What load threads and their controller tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    /// Threads that have written every key of theirs.
    pub preloaded: AtomicUsize,
    /// When the warm-up starts; 0 while that is not known.
    pub start_at_ns: AtomicU64,
    /// Set to end the run early.
    pub stop: AtomicBool,
    /// Set when what is recorded cannot be written.
    pub writing_failed: AtomicBool,
    /// Operations that ended, for progress and for the watchdog.
    pub completed: AtomicU64,
    /// Operations that are under way.
    pub outstanding: AtomicU64,
}

/// What the load generator noticed about itself.
#[derive(Clone, Copy, Default, Debug)]
pub struct Noticed {
    /// Requests sent again.
    pub retries: u64,
    /// Requests given up, with an unknown outcome.
    pub unknown: u64,
    /// Times that a replica said `busy`.
    pub busy: u64,
    /// Transfers that were refused for want of money, while measuring.
    pub aborted: u64,
    /// Times that a replica named another as the leader.
    pub redirects: u64,
    /// Replies that nobody waited for any more.
    pub late_replies: u64,
    /// Replies whose value was not what any client wrote: bytes were damaged on the way.
    pub damaged: u64,
    /// Open loop: the most operations that waited in line for a free client.
    pub backlog_max: u64,
    /// Open loop: operations that started more than [`LATE_NS`] after they should have, although
    /// a client was free.
    pub late: u64,
    /// The longest time between two looks at the clock while measuring, in nanoseconds.
    pub late_ns_max: u64,
    /// Turns in which nothing happened, while measuring.
    pub idle_turns: u64,
    /// Turns, while measuring.
    pub turns: u64,
    /// Processor time used while measuring, in nanoseconds.
    pub cpu_ns: u64,
    /// Operations under way while measuring.
    pub passed: Passed,
    /// Where the time of samples went that ended while measuring.
    pub sampled: SampleTotals,
}

/// How far a load thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Writing every key once.
    Preload,
    /// Waiting for the other threads.
    Ready,
    /// Warm-up, measurement and cool-down.
    Run,
    /// Waiting for the last answers.
    Drain,
    /// Nothing is outstanding.
    Done,
}

/// How often all clients are looked at for requests that were not answered.
const SCAN_NS: u64 = 5_000_000;

/// How much later when none of them waits.
const IDLE_NS: u64 = 45_000_000;

/// An open loop is late with an operation that starts so long after it should have.
pub const LATE_NS: u64 = 1_000_000;

/// Operations that may wait in line for a client in an open loop.
const BACKLOG_MAX: usize = 1 << 24;

/// One load thread.
pub struct LoadThread<I> {
    io: I,
    clock: Clock,
    core: Core,
    plan: Plan,
    shared: Arc<Shared>,
    stage: Stage,
    scan_at: Time,
    cpu_clock: fn() -> u64,
}

/// Everything but the connection to the world, so that events may change it while the world is
/// polled.
struct Core {
    slots: Slots,
    clients: Clients,
    recording: Recording,
    noticed: Noticed,
    arrivals: Option<Arrivals>,
    think_ns: u64,
    /// Closed loop: clients that think, and until when.
    thinking: VecDeque<(Time, u32)>,
    /// Preload: the next key, the end and the step.
    preload: (u64, u64, u64),
    issuing: Issuing,
    completed: u64,
    now: Time,
}

/// An open loop.
struct Arrivals {
    generator: ArrivalGenerator,
    start: Time,
    next: Time,
    backlog: VecDeque<Time>,
    idle: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Issuing {
    Preload,
    Load,
    Nothing,
}

impl<I> fmt::Debug for LoadThread<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoadThread {{ {:?}, {:?} }}", self.stage, self.core.noticed)
    }
}

impl<I: Io> LoadThread<I> {
    /// A thread that has sent nothing yet. `cpu_clock` tells the processor time of this thread.
    pub fn new(
        plan: Plan,
        io: I,
        shared: Arc<Shared>,
        recording: Recording,
        cpu_clock: fn() -> u64,
    ) -> Self {
        let seed = thread_seed(plan.seed, plan.thread);
        let clients = Clients::new(&plan, seed);
        let think_ns = match plan.load.arrival {
            Arrival::Closed { think_ns, .. } => think_ns,
            Arrival::Open { .. } => 0,
        };
        let (keys, step) = (plan.load.keys, u64::from(plan.threads));
        let first = keys.first + u64::from(plan.thread);
        let end = if keys.preload { keys.first + keys.count } else { 0 };
        let core = Core {
            slots: Slots::new(&plan),
            clients,
            recording,
            noticed: Noticed::default(),
            arrivals: None,
            think_ns,
            thinking: VecDeque::new(),
            preload: (first, end, step),
            issuing: Issuing::Preload,
            completed: 0,
            now: io.now(),
        };
        let stage = Stage::Preload;
        let (clock, scan_at) = (io.clock(), Time(0));
        let mut thread = Self { io, clock, core, plan, shared, stage, scan_at, cpu_clock };
        for client in 0..thread.core.clients.len() {
            thread.core.next_operation(client);
        }
        thread
    }

    /// Runs to the end of the plan and returns what it noticed about itself.
    pub fn run(mut self) -> Noticed {
        while self.turn() {}
        self.finish()
    }

    /// Hands over what is recorded and not yet handed over.
    pub fn finish(self) -> Noticed {
        self.core.recording.finish(self.core.now, &self.core.noticed);
        self.core.noticed
    }

    /// When there is something to do although nothing arrives.
    pub fn deadline(&self) -> Time {
        // Clients that wait for nothing need not be looked at for what they wait for too long.
        let waits = self.stage != Stage::Run || self.core.clients.outstanding() > 0;
        let look_at = if waits { self.scan_at } else { self.scan_at + IDLE_NS };
        self.core.next_event().min(look_at)
    }

    /// Operations that have ended so far.
    pub fn completed(&self) -> u64 {
        self.core.completed
    }

    /// One turn. False once the plan is at its end.
    pub fn turn(&mut self) -> bool {
        let until = self.deadline();
        let core = &mut self.core;
        let (before, looked_at) = (core.completed, core.now);
        self.io.poll(until, |event| match event {
            Event::Connected(link) => core.slots.greet(link),
            Event::Received(link, bytes) => core.receive(link, bytes),
            Event::Closed(link) => core.slots.lost(link, core.now),
            // An answer that came during a sleep came now, not before it.
            Event::Woke(now) => core.now = now,
            Event::Accepted(_) | Event::Written(..) => {}
        });
        let now = core.now;
        let late_ns = now.since(looked_at);
        self.advance_stage();
        self.core.start_what_is_due();
        if now >= self.scan_at {
            self.scan_at = now + SCAN_NS;
            self.core.scan(&self.plan);
        }
        self.core.slots.flush(&mut self.io);
        self.core.clients.samples().note_sent(|| self.clock.now());
        self.account(before, late_ns);
        self.stage != Stage::Done
    }

    fn account(&mut self, completed_before: u64, late_ns: u64) {
        let completed = self.core.completed - completed_before;
        if self.core.recording.is_measuring(self.core.now) {
            self.core.noticed.turns += 1;
            self.core.noticed.idle_turns += u64::from(completed == 0);
            self.core.noticed.late_ns_max = self.core.noticed.late_ns_max.max(late_ns);
        }
        if completed > 0 {
            self.shared.completed.fetch_add(completed, Ordering::Relaxed);
        }
        let core = &mut self.core;
        core.recording.sample_in_flight(core.now, core.clients.in_flight(), &mut core.noticed);
        core.recording.roll(core.now, &core.noticed);
    }

    fn advance_stage(&mut self) {
        if self.shared.stop.load(Ordering::Relaxed) && self.stage < Stage::Drain {
            self.core.issuing = Issuing::Nothing;
            self.stage = Stage::Done;
            self.core.give_up_all();
            return;
        }
        let core = &mut self.core;
        match self.stage {
            Stage::Preload
                if core.clients.outstanding() == 0 && core.preload.0 >= core.preload.1 =>
            {
                core.issuing = Issuing::Nothing;
                self.shared.preloaded.fetch_add(1, Ordering::Release);
                self.stage = Stage::Ready;
            }
            Stage::Ready => {
                let start = Time(self.shared.start_at_ns.load(Ordering::Acquire));
                if start.0 != 0 && core.now >= start {
                    self.stage = Stage::Run;
                    core.start_load(&self.plan, start);
                }
            }
            Stage::Run if core.now >= core.recording.end() => {
                core.issuing = Issuing::Nothing;
                self.stage = Stage::Drain;
            }
            Stage::Drain if core.clients.outstanding() == 0 => {
                self.stage = Stage::Done;
            }
            Stage::Preload | Stage::Run | Stage::Drain | Stage::Done => {}
        }
        self.core.recording.sample_cpu(self.core.now, self.cpu_clock, &mut self.core.noticed);
        self.shared.outstanding.store(self.core.clients.outstanding(), Ordering::Relaxed);
    }
}

impl PartialOrd for Stage {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}

impl Core {
    /// When something must be done although nothing arrives.
    fn next_event(&self) -> Time {
        let arrival = self.arrivals.as_ref().map_or(Time::NEVER, |arrivals| arrivals.next);
        let thought = self.thinking.front().map_or(Time::NEVER, |&(until, _)| until);
        arrival.min(thought)
    }

    fn start_load(&mut self, plan: &Plan, start: Time) {
        self.recording.start(start, &plan.phases);
        self.issuing = Issuing::Load;
        match &plan.load.arrival {
            Arrival::Closed { .. } => {
                for client in 0..self.clients.len() {
                    self.next_operation(client);
                }
            }
            Arrival::Open { rate_per_second, spacing, steps } => {
                let seed = thread_seed(plan.seed, plan.thread);
                let (thread, threads) = (plan.thread, plan.threads);
                let mut generator =
                    ArrivalGenerator::new(*spacing, *rate_per_second, seed, thread, threads)
                        .after(steps);
                let next = start + generator.next();
                let idle = (0..self.clients.len()).rev().collect();
                let backlog = VecDeque::with_capacity(1 << 16);
                self.arrivals = Some(Arrivals { generator, start, next, backlog, idle });
            }
        }
    }

    /// Starts what the clock says, and what thinking clients have thought of.
    fn start_what_is_due(&mut self) {
        while let Some(&(until, client)) = self.thinking.front()
            && until <= self.now
        {
            self.thinking.pop_front();
            self.issue(client, until);
        }
        let Some(mut arrivals) = self.arrivals.take() else { return };
        while arrivals.next <= self.now && self.issuing == Issuing::Load {
            let intended = arrivals.next;
            arrivals.next = arrivals.start + arrivals.generator.next();
            match arrivals.idle.pop() {
                Some(client) => {
                    self.noticed.late += u64::from(self.now.since(intended) > LATE_NS);
                    self.issue(client, intended);
                }
                None => {
                    assert!(arrivals.backlog.len() < BACKLOG_MAX, "{BACKLOG_MAX} operations wait");
                    arrivals.backlog.push_back(intended);
                    let backlog = arrivals.backlog.len() as u64;
                    self.noticed.backlog_max = self.noticed.backlog_max.max(backlog);
                }
            }
        }
        if self.issuing == Issuing::Nothing {
            arrivals.next = Time::NEVER;
            arrivals.backlog.clear();
        }
        self.arrivals = Some(arrivals);
    }

    /// A client has ended an operation: what does it do next?
    fn next_operation(&mut self, client: u32) {
        match (self.issuing, &mut self.arrivals) {
            (Issuing::Nothing, _) => {}
            (Issuing::Preload, _) => {
                let (next, end, step) = &mut self.preload;
                if *next < *end {
                    self.clients.preload(client, *next, self.now);
                    *next += *step;
                    self.slots.request(client, &mut self.clients);
                }
            }
            (Issuing::Load, Some(arrivals)) => match arrivals.backlog.pop_front() {
                Some(intended) => self.issue(client, intended),
                None => arrivals.idle.push(client),
            },
            (Issuing::Load, None) if self.think_ns > 0 => {
                self.thinking.push_back((self.now + self.think_ns, client));
            }
            (Issuing::Load, None) => self.issue(client, self.now),
        }
    }

    fn issue(&mut self, client: u32, intended: Time) {
        if self.issuing == Issuing::Load {
            self.clients.start(client, intended, self.now);
            self.slots.request(client, &mut self.clients);
        }
    }

    fn receive(&mut self, link: crate::io::LinkId, bytes: &[u8]) {
        let Some((slot, mut assembler)) = self.slots.take_assembler(link, self.now) else { return };
        let mut sound = true;
        let fed = assembler.feed(bytes, self.frame_bytes_max(slot), |frame| {
            sound = self.take_frame(slot, frame);
            if sound { Next::Frames(self.frame_bytes_max(slot)) } else { Next::Nothing }
        });
        self.slots.give_assembler(slot, link, assembler);
        if !sound || fed.is_err() {
            self.noticed.damaged += 1;
            self.slots.doom(link);
        }
    }

    fn frame_bytes_max(&self, slot: usize) -> u32 {
        if self.slots.is_greeting(slot) { greeting::FRAME_BYTES_MAX } else { u32::MAX / 2 }
    }

    fn take_frame(&mut self, slot: usize, frame: Frame<'_>) -> bool {
        if self.slots.is_greeting(slot) {
            return frame.kind == Kind::Challenge
                && self.slots.answer(slot, frame.payload, &mut self.clients);
        }
        if frame.kind == Kind::Spans {
            return self.take_spans(slot, frame.message);
        }
        if frame.kind != Kind::Replies || validate_replies(frame.payload).is_err() {
            return false;
        }
        for reply in Replies::new(frame.payload) {
            self.take_reply(slot, &reply);
        }
        true
    }

    /// The replica tells where the time of a sample went. False when it tells nothing that is understood.
    fn take_spans(&mut self, slot: usize, message: &[u8]) -> bool {
        let Some(spans) = Spans::decode(message) else { return false };
        let client = self.clients.client_of(spans.session_index);
        let told = self.clients.samples().told(client, self.slots.group(slot), &spans);
        if let Some(sampled) = told.filter(|sampled| self.recording.is_measuring(sampled.ended)) {
            self.noticed.sampled.add(sampled.kind, &sampled.parts);
        }
        true
    }

    #[inline]
    fn take_reply(&mut self, slot: usize, reply: &Reply<'_>) {
        let client = self.clients.client_of(reply.session_index);
        if !self.clients.awaits(client, self.slots.group(slot), reply) {
            self.noticed.late_replies += 1;
            return;
        }
        match reply.status {
            Status::Ok | Status::Absent | Status::Mismatch => {
                self.slots.answered(slot);
                self.complete(client, reply);
            }
            Status::Busy => {
                self.noticed.busy += 1;
                self.clients.refused(client, self.now);
            }
            Status::Redirect => {
                self.noticed.redirects += 1;
                let leader = reply.value.first().map(|&leader| usize::from(leader) - 1);
                if !self.slots.redirect(slot, leader, self.now) {
                    self.clients.refused(client, self.now);
                }
            }
            Status::Expired => {
                self.clients.expired(client);
                self.give_up(client);
            }
        }
    }

    #[inline]
    fn complete(&mut self, client: u32, reply: &Reply<'_>) {
        let (operation, intended) = self.clients.complete(client, reply, self.now);
        let Some(operation) = operation else {
            self.noticed.damaged += 1;
            self.give_up(client);
            return;
        };
        let is_aborted = operation.kind == history::Kind::Transaction
            && operation.outcome == Outcome::Mismatch
            && self.recording.is_measuring(self.now);
        self.noticed.aborted += u64::from(is_aborted);
        let parts = self.clients.parts(&operation);
        self.recording.record(operation.kind, parts, intended, self.now);
        self.clients.end_sample(client, operation.kind, self.now);
        self.completed += 1;
        match self.clients.second_step(client, operation.observed, self.now) {
            Step::Another => self.slots.request(client, &mut self.clients),
            Step::Done => self.next_operation(client),
        }
    }

    /// The outcome of the client's operation is unknown and will stay so.
    fn give_up(&mut self, client: u32) {
        let (operation, _) = self.clients.give_up(client, self.now);
        self.noticed.unknown += 1;
        self.recording.record_unknown(self.clients.parts(&operation));
        self.next_operation(client);
    }

    fn give_up_all(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients.is_outstanding(client) {
                self.give_up(client);
            }
        }
    }

    /// Looks at every client: repeats what was not answered in time, gives up what is hopeless.
    fn scan(&mut self, plan: &Plan) {
        let timeout_ns = plan.load.timeout_ns;
        for client in 0..self.clients.len() {
            if !self.clients.is_outstanding(client) {
                continue;
            }
            let overdue = self.clients.is_overdue(client, self.now, timeout_ns);
            let turned =
                overdue && self.slots.turn_if_silent(client, &self.clients, self.now, timeout_ns);
            if self.clients.is_hopeless(client, self.now, plan.load.give_up_ns) {
                self.give_up(client);
            } else if overdue && (plan.repeatable || self.clients.may_repeat(client)) {
                self.noticed.retries += 1;
                self.clients.repeated(client, self.now);
                if !turned {
                    self.slots.request(client, &mut self.clients);
                }
            } else if overdue {
                self.give_up(client);
            }
        }
    }
}
