//! One frame to and fro on one connection.

use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;

use synod_protocols::types::Time;

use super::lines::{Role, play};
use super::stopwatch::Stopwatch;
use super::threads::{self, Scratch, StopOnDrop};
use super::{Entry, Options};
use crate::frame::{self, Frame, HEADER_BYTES, Kind};
use crate::io::Io;
use crate::io::uring::Uring;

/// The whole frame.
const FRAME_BYTES: usize = 64;

const PAYLOAD: [u8; FRAME_BYTES - HEADER_BYTES] = [0x5a; FRAME_BYTES - HEADER_BYTES];

/// Measures round trips of a 64-byte frame between the leader's and the client's processor.
///
/// # Errors
/// When a processor, the directory or the ring is not to be had.
pub fn ping_pong(options: &Options) -> io::Result<Entry> {
    let scratch = Scratch::new(&options.directory)?;
    let listener = scratch.listen(options, "echoer")?;
    let address = listener.address().clone();
    let stop = AtomicBool::new(false);
    let [echoer, .., pinger] = options.placement;
    let pace = thread::scope(|scope| {
        // Should a thread not start, those that did must not wait for it.
        let _stopped_at_the_end = StopOnDrop(&stop);
        let echoing = threads::start(scope, "echoer", echoer, &stop, || {
            play(&mut Uring::new(options.wait, Some(listener))?, &mut Echoer, &[], &stop)
        })?;
        let pinging = threads::start(scope, "pinger", pinger, &stop, || {
            let mut io = Uring::new(options.wait, None)?;
            let mut role = Pinger {
                stopwatch: Stopwatch::new(options.seconds, io.now()),
                sent: None,
                answered: true,
            };
            play(&mut io, &mut role, &[address], &stop)?;
            role.stopwatch.pace()
        })?;
        threads::join(echoing)?;
        threads::join(pinging)
    })?;
    Ok(Entry {
        name: "ping-pong".to_owned(),
        batch: 1,
        window: 1,
        connections: 1,
        bytes: FRAME_BYTES,
        rate: pace.rate,
        p50_ns: pace.p50_ns,
        p99_ns: pace.p99_ns,
        unit: "round trips".to_owned(),
    })
}

/// Sends back what it receives.
struct Echoer;

impl Role for Echoer {
    fn open(&mut self, _line: usize) {}

    fn take(&mut self, line: usize, frame: Frame<'_>, outboxes: &mut [Vec<u8>]) {
        frame::push(&mut outboxes[line], Kind::Replies, frame.message, frame.payload, frame.count);
    }

    fn turn(&mut self, _now: Time, _outboxes: &mut [Vec<u8>]) {}

    fn is_over(&self, _now: Time) -> bool {
        false
    }
}

/// Sends, waits for the answer, and sends again.
struct Pinger {
    stopwatch: Stopwatch,
    /// When the frame that is on its way was sent; none before the first.
    sent: Option<Time>,
    answered: bool,
}

impl Role for Pinger {
    fn open(&mut self, _line: usize) {}

    fn take(&mut self, _line: usize, frame: Frame<'_>, _outboxes: &mut [Vec<u8>]) {
        assert_eq!(frame.payload, PAYLOAD);
        self.answered = true;
    }

    fn turn(&mut self, now: Time, outboxes: &mut [Vec<u8>]) {
        if !self.answered {
            return;
        }
        if let Some(sent) = self.sent.replace(now) {
            self.stopwatch.record(sent, now, 1);
        }
        frame::push(&mut outboxes[0], Kind::Requests, &[], &PAYLOAD, 1);
        self.answered = false;
    }

    fn is_over(&self, now: Time) -> bool {
        self.stopwatch.is_over(now)
    }
}
