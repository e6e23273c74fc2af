//! The connections of a measuring thread, and its turns: everything that has arrived is taken in,
//! then each connection sends at most once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use synod_protocols::types::Time;

use super::threads::StopOnDrop;
use crate::frame::{Assembler, Frame, Next};
use crate::io::{Address, Event, Io, LinkId};

/// Longer than any frame that is measured.
const FRAME_BYTES_MAX: u32 = 64 << 20;

/// What a thread does with what it receives.
///
/// Lines are numbered in the order in which they were opened: first those that this side connects,
/// then those that it accepts. What is to be sent goes to the outbox with the number of the line.
pub(super) trait Role {
    /// A line was opened.
    fn open(&mut self, line: usize);

    /// A frame came in.
    fn take(&mut self, line: usize, frame: Frame<'_>, outboxes: &mut [Vec<u8>]);

    /// Everything that came in has been taken; what there is to say is sent after this.
    fn turn(&mut self, now: Time, outboxes: &mut [Vec<u8>]);

    /// The other end has closed a line, though nobody was told to stop.
    ///
    /// # Errors
    /// When this must not happen before the measurement is over: its figures would be too small.
    fn closed(&mut self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "a connection broke"))
    }

    /// Whether this role ends the measurement now.
    fn is_over(&self, now: Time) -> bool;
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    links: Vec<LinkId>,
    assemblers: Vec<Assembler>,
    outboxes: Vec<Vec<u8>>,
}

impl Lines {
    /// Opens a line. No link is closed before the end, so no place is used twice.
    fn open(&mut self, link: LinkId, role: &mut impl Role) {
        assert_eq!(link.index as usize, self.links.len());
        self.links.push(link);
        self.assemblers.push(Assembler::default());
        self.outboxes.push(Vec::new());
        role.open(link.index as usize);
    }

    fn flush(&mut self, io: &mut impl Io) {
        for (&link, outbox) in self.links.iter().zip(&mut self.outboxes) {
            io.send(link, outbox);
        }
    }
}

/// Plays a role until it is over or `stop` is set.
pub(super) fn play(
    io: &mut impl Io,
    role: &mut impl Role,
    connect_to: &[Address],
    stop: &AtomicBool,
) -> io::Result<()> {
    // Before the connections are closed, which must not look like a failure to the others.
    let _stopped_at_the_end = StopOnDrop(stop);
    let mut lines = Lines::default();
    for address in connect_to {
        lines.open(io.connect(address), role);
    }
    while !role.is_over(io.now()) {
        let mut failed = None;
        io.poll(Time::NEVER, |event| match event {
            Event::Woke(_) => {}
            Event::Accepted(link) => lines.open(link, role),
            Event::Received(link, bytes) => {
                let line = link.index as usize;
                let outboxes = &mut lines.outboxes;
                let fed = lines.assemblers[line].feed(bytes, FRAME_BYTES_MAX, |frame| {
                    role.take(line, frame, outboxes);
                    Next::Frames(FRAME_BYTES_MAX)
                });
                if let Err(error) = fed {
                    failed = Some(io::Error::other(error.to_string()));
                }
            }
            Event::Closed(_) => failed = role.closed().err(),
            Event::Connected(_) | Event::Written(..) => {}
        });
        // Whoever ends first closes its connections: that is no failure.
        if stop.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        role.turn(io.now(), &mut lines.outboxes);
        lines.flush(io);
    }
    Ok(())
}
