//! [`Io`] on one io_uring.
//!
//! The only unsafe code of the project, and its only clock. One ring for each thread, made on that
//! thread. What is chosen here and why, in figures, is in ARCHITECTURE.md: SINGLE_ISSUER and
//! DEFER_TASKRUN with the TASKRUN flag, multishot receive into one ring of provided buffers, one
//! send in flight for each connection.
#![expect(unsafe_code, reason = "submission queue entries carry raw pointers to buffers")]

mod buffers;
mod links;
mod setup;

use std::io;
use std::time::Duration;

use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};
use synod_protocols::types::Time;

use self::buffers::ReceiveBuffers;
use self::links::Links;
pub use self::setup::{Listener, listen};
use super::{Address, Clock, Event, Io, LinkId};
use crate::wal::{FileStorage, LogWrite};

/// What a thread does when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Spins. For a processor of one's own.
    Busy,
    /// Spins, but lets others run in between; sleeps after [`IDLE_NS`] without work.
    Yield,
    /// Sleeps in the kernel until something happens.
    Block,
}

/// How long a yielding thread goes on without work before it sleeps.
pub(super) const IDLE_NS: u64 = 1_000_000;

/// How long a yielding thread that always has work keeps the processor before it lets others run.
/// The scheduler would leave it there for milliseconds.
pub(crate) const OFFER_NS: u64 = 200_000;

/// The longest sleep, so that a stop flag is seen.
pub(super) const SLEEP_NS_MAX: u64 = 50_000_000;

/// A turn takes in about so many bytes and leaves the rest to the next. Otherwise all that is under
/// way gathers in one place after the other, and while one thread works on it the others have
/// nothing to do: at saturation this doubles the throughput and quarters the p99.
pub(crate) const TURN_BYTES: usize = 16 << 10;

const SUBMISSIONS: u32 = 512;
const COMPLETIONS: u32 = 4096;

/// What a completion is about: the high byte of its user data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Operation {
    Accept = 1,
    Connect = 2,
    Receive = 3,
    Send = 4,
    Write = 5,
    Cancel = 6,
}

impl Operation {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Accept,
            2 => Self::Connect,
            3 => Self::Receive,
            4 => Self::Send,
            5 => Self::Write,
            6 => Self::Cancel,
            other => unreachable!("completion of an operation {other} that was never submitted"),
        }
    }

    /// User data: the operation, and what it is about (a link's place, a write's place).
    fn user_data(self, about: u32) -> u64 {
        u64::from(self as u8) << 56 | u64::from(about)
    }
}

/// One ring, its connections and its writes.
#[derive(Debug)]
pub struct Uring {
    links: Links,
    writes: Vec<Option<LogWrite>>,
    receive: ReceiveBuffers,
    listener: Option<Listener>,
    wait: Wait,
    now: Time,
    /// When something last happened.
    busy_at: Time,
    /// When this thread last let others have the processor.
    offered_at: Time,
    /// Bytes taken in by the present turn.
    received_bytes: usize,
    /// System calls and idle turns, for people who tune.
    enters: u64,
    /// Declared last: it must outlive nothing that the kernel may still write into.
    ring: Ring,
}

/// The ring itself, which knows how to submit.
struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    /// Queues an entry, submitting what is queued when there is no room.
    ///
    /// # Safety
    /// Whatever the entry points to must stay valid until its completion was handled.
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the caller keeps the buffers alive.
        while unsafe { self.0.submission().push(entry) }.is_err() {
            self.0.submit().expect("submitting makes room in the submission queue");
        }
    }

    /// Whether completions wait, in the queue or as deferred work.
    fn has_work(&mut self) -> bool {
        self.0.submission().taskrun() || !self.0.completion().is_empty()
    }

    /// Submits what is queued and lets the kernel run deferred work; waits for `wanted` completions
    /// but not longer than `timeout`.
    fn enter(&mut self, wanted: usize, timeout: Option<Duration>) -> io::Result<()> {
        let queued = self.0.submission().len();
        let done = match timeout {
            None => {
                let queued = u32::try_from(queued).expect("the queue is small");
                // SAFETY: no argument is passed, so there is none to be invalid.
                unsafe {
                    self.0.submitter().enter::<libc::sigset_t>(
                        queued,
                        u32::try_from(wanted).expect("small"),
                        EnterFlags::GETEVENTS.bits(),
                        None,
                    )
                }
            }
            Some(timeout) => {
                let timeout = types::Timespec::from(timeout);
                let arguments = types::SubmitArgs::new().timespec(&timeout);
                self.0.submitter().submit_with_args(wanted, &arguments)
            }
        };
        match done {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Uring {
    /// A ring for the calling thread.
    ///
    /// # Errors
    /// When the kernel has no io_uring, forbids it, or lacks a feature that is needed; the error
    /// says what to do.
    pub fn new(wait: Wait, listener: Option<Listener>) -> io::Result<Self> {
        let ring = setup::ring(SUBMISSIONS, COMPLETIONS)?;
        let receive = ReceiveBuffers::register(&ring)?;
        let now = clock();
        let mut uring = Self {
            ring: Ring(ring),
            links: Links::default(),
            writes: Vec::new(),
            receive,
            listener,
            wait,
            now,
            busy_at: now,
            offered_at: now,
            received_bytes: 0,
            enters: 0,
        };
        uring.arm_accept();
        Ok(uring)
    }

    /// System calls made to submit and to wait.
    #[must_use]
    pub fn enters(&self) -> u64 {
        self.enters
    }

    fn arm_accept(&mut self) {
        if let Some(listener) = &self.listener {
            let entry = opcode::AcceptMulti::new(types::Fd(listener.raw_fd()))
                .build()
                .user_data(Operation::Accept.user_data(0));
            // SAFETY: the entry has no pointers; the listener's descriptor lives as long as `self`.
            unsafe { self.ring.push(&entry) };
        }
    }

    fn arm_receive(&mut self, index: u32) {
        let entry = opcode::RecvMulti::new(types::Fd(self.links.raw_fd(index)), buffers::GROUP)
            .build()
            .user_data(Operation::Receive.user_data(index));
        self.links.started(index);
        // SAFETY: the kernel picks a provided buffer, which lives as long as the ring.
        unsafe { self.ring.push(&entry) };
    }

    fn submit_send(&mut self, index: u32) {
        let (pointer, length) = self.links.unsent(index);
        let entry = opcode::Send::new(types::Fd(self.links.raw_fd(index)), pointer, length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(Operation::Send.user_data(index));
        self.links.started(index);
        // SAFETY: the link keeps the buffer, unchanged, until this send has completed.
        unsafe { self.ring.push(&entry) };
    }

    /// Looks at the clock.
    fn wake(&mut self, handle: &mut impl FnMut(Event<'_>)) {
        self.now = clock();
        handle(Event::Woke(self.now));
    }

    /// Handles the completions that are there, but takes in no more bytes than one turn should
    /// have. True when there was one.
    fn reap(&mut self, handle: &mut impl FnMut(Event<'_>)) -> bool {
        let mut any = false;
        self.received_bytes = 0;
        while self.received_bytes < TURN_BYTES {
            let Some(completion) = self.ring.0.completion().next() else { return any };
            any = true;
            let about = u32::try_from(completion.user_data() & u64::from(u32::MAX))
                .expect("32 bits are left");
            let operation = (completion.user_data() >> 56) as u8;
            match Operation::from_byte(operation) {
                Operation::Accept => self.on_accept(&completion, handle),
                Operation::Connect => self.on_connect(about, completion.result(), handle),
                Operation::Receive => self.on_receive(about, &completion, handle),
                Operation::Send => self.on_send(about, completion.result(), handle),
                Operation::Write => self.on_write(about, completion.result(), handle),
                Operation::Cancel => self.links.finished(about),
            }
        }
        any
    }

    fn on_accept(&mut self, completion: &cqueue::Entry, handle: &mut impl FnMut(Event<'_>)) {
        if completion.result() >= 0 {
            setup::tune_socket(completion.result());
            let link = self.links.open(completion.result(), true);
            self.arm_receive(link.index);
            handle(Event::Accepted(link));
        }
        if !cqueue::more(completion.flags()) {
            self.arm_accept();
        }
    }

    fn on_connect(&mut self, index: u32, result: i32, handle: &mut impl FnMut(Event<'_>)) {
        let Some(link) = self.links.finished_open(index) else { return };
        if result < 0 {
            self.lose(link, handle);
            return;
        }
        self.links.set_connected(index);
        self.arm_receive(index);
        handle(Event::Connected(link));
    }

    fn on_receive(
        &mut self,
        index: u32,
        completion: &cqueue::Entry,
        handle: &mut impl FnMut(Event<'_>),
    ) {
        let more = cqueue::more(completion.flags());
        let link = if more { self.links.current(index) } else { self.links.finished_open(index) };
        let received = usize::try_from(completion.result()).unwrap_or(0);
        if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
            self.received_bytes += received;
            if let Some(link) = link.filter(|_| received > 0) {
                handle(Event::Received(link, self.receive.bytes(buffer, received)));
            }
            self.receive.give_back(buffer);
        }
        // The handler may have asked for nothing yet: closing happens outside of `poll`.
        let Some(link) = link else { return };
        if received == 0 && completion.result() != -libc::ENOBUFS {
            if more {
                return;
            }
            self.lose(link, handle);
        } else if !more {
            self.arm_receive(index);
        }
    }

    fn on_send(&mut self, index: u32, result: i32, handle: &mut impl FnMut(Event<'_>)) {
        let Some(link) = self.links.finished_open(index) else { return };
        match usize::try_from(result) {
            Ok(sent) if sent > 0 => {
                if !self.links.sent(index, sent) {
                    self.submit_send(index);
                }
            }
            Ok(_) | Err(_) => self.lose(link, handle),
        }
    }

    fn on_write(&mut self, place: u32, result: i32, handle: &mut impl FnMut(Event<'_>)) {
        let write = self.writes[place as usize].take().expect("a write completes once");
        let outcome = match usize::try_from(result) {
            Ok(written) if written == write.length => Ok(()),
            Ok(written) => Err(io::Error::new(
                io::ErrorKind::WriteZero,
                format!("only {written} of {} bytes were written", write.length),
            )),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        handle(Event::Written(write.token, write.buffer, outcome));
    }

    /// The other end is gone.
    fn lose(&mut self, link: LinkId, handle: &mut impl FnMut(Event<'_>)) {
        self.close(link);
        handle(Event::Closed(link));
    }

    fn wait_for_work(&mut self, until: Time) -> io::Result<()> {
        let idle_ns = self.now.since(self.busy_at);
        let sleeps = match self.wait {
            Wait::Busy => false,
            Wait::Yield => idle_ns > IDLE_NS,
            Wait::Block => true,
        };
        if sleeps {
            let nanoseconds = until.since(self.now).min(SLEEP_NS_MAX);
            self.enters += 1;
            return self.ring.enter(1, Some(Duration::from_nanos(nanoseconds)));
        }
        self.offer_processor();
        Ok(())
    }

    fn offer_processor(&mut self) {
        if self.wait == Wait::Yield {
            self.offered_at = self.now;
            // SAFETY: takes no arguments and cannot fail on Linux.
            unsafe { libc::sched_yield() };
        }
    }
}

impl Io for Uring {
    type Storage = FileStorage;

    fn now(&self) -> Time {
        self.now
    }

    fn clock(&self) -> Clock {
        Clock::new(clock)
    }

    fn connect(&mut self, address: &Address) -> LinkId {
        let (fd, socket_address) = setup::socket(address).expect("sockets can be made");
        let link = self.links.open(fd, false);
        let (pointer, length) = self.links.keep_address(link.index, socket_address);
        let entry = opcode::Connect::new(types::Fd(fd), pointer, length)
            .build()
            .user_data(Operation::Connect.user_data(link.index));
        self.links.started(link.index);
        // SAFETY: the link keeps the address until it is closed and nothing is in flight.
        unsafe { self.ring.push(&entry) };
        link
    }

    fn close(&mut self, link: LinkId) {
        if !self.links.start_closing(link) {
            return;
        }
        let entry = opcode::AsyncCancel2::new(
            types::CancelBuilder::fd(types::Fd(self.links.raw_fd(link.index))).all(),
        )
        .build()
        .user_data(Operation::Cancel.user_data(link.index));
        self.links.started(link.index);
        // SAFETY: the entry has no pointers.
        unsafe { self.ring.push(&entry) };
    }

    fn send(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool {
        if bytes.is_empty() || !self.links.start_sending(link, bytes) {
            return false;
        }
        self.submit_send(link.index);
        true
    }

    fn write(&mut self, storage: &mut FileStorage, write: LogWrite) {
        let file = storage.raw_fd(write.segment).expect("the log writes to segments that are open");
        let place = self.writes.iter().position(Option::is_none).unwrap_or_else(|| {
            self.writes.push(None);
            self.writes.len() - 1
        });
        let length = u32::try_from(write.length).expect("a log write is smaller than 4 GiB");
        let pointer = write.bytes().as_ptr();
        let about = u32::try_from(place).expect("few writes are in flight");
        let entry = opcode::Write::new(types::Fd(file), pointer, length)
            .offset(write.offset as u64)
            .build()
            .user_data(Operation::Write.user_data(about));
        self.writes[place] = Some(write);
        // SAFETY: the buffer's heap memory stays in `writes`, unchanged, until the completion.
        unsafe { self.ring.push(&entry) };
    }

    fn poll(&mut self, until: Time, mut handle: impl FnMut(Event<'_>)) {
        if self.now.since(self.offered_at) > OFFER_NS {
            self.offer_processor();
        }
        if !self.ring.0.submission().is_empty() || self.ring.has_work() {
            self.enters += 1;
            self.ring.enter(0, None).expect("the ring accepts what is submitted");
        }
        self.wake(&mut handle);
        if !self.reap(&mut handle) {
            if self.now < until {
                self.wait_for_work(until).expect("the ring can wait");
            } else {
                // Whoever has timed work in every turn must still let others work.
                self.offer_processor();
            }
            self.wake(&mut handle);
            if !self.reap(&mut handle) {
                return;
            }
        }
        self.busy_at = self.now;
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // The kernel may still write into receive buffers and read from send buffers: end it all
        // before they are freed.
        self.links.shut_all();
        let cancel = types::CancelBuilder::any();
        let _nothing_left = self.ring.0.submitter().register_sync_cancel(None, cancel);
        let deadline = clock() + 1_000_000_000;
        while self.writes.iter().any(Option::is_some) && clock() < deadline {
            if self.ring.enter(1, Some(Duration::from_millis(10))).is_err() {
                break;
            }
            self.reap(&mut |_| ());
        }
    }
}

/// The monotonic clock, shared by all processes of this machine.
#[must_use]
pub fn clock() -> Time {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(failed, 0, "the monotonic clock always exists");
    let seconds = u64::try_from(time.tv_sec).expect("the clock is positive");
    let nanoseconds = u64::try_from(time.tv_nsec).expect("the clock is positive");
    Time(seconds * 1_000_000_000 + nanoseconds)
}

/// Processor time that the calling thread has used.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every thread has a processor clock");
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("the clock is positive")
}
