//! A world with faults for real runs: links that delay, lose, double and cut, and a log's disk that
//! stalls or fails, around any [`Io`].
//!
//! It stands between a node and its `Io`, so that the node is the same with and without it, and a
//! run without such faults does not have it at all. What goes to another replica is cut into its
//! frames, and each frame is lost, doubled or held as the [`Rule`] for that replica says; the
//! stream that the other end reads is whole. What goes to clients passes as it is.
//!
//! A disk that stalls makes its writes, but says so only when the stall is over: so do disks whose
//! cache is being flushed. A write that fails is not made.

mod control;
mod line;
mod rule;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use synod_protocols::types::Time;
use synod_workloads::{Concern, Random};

pub use self::control::{Control, DiskCounts, Evidence, LinkCounts};
use self::line::Line;
pub use self::rule::{Cut, Rule};
use crate::frame::{self, Kind};
use crate::greeting::{Hello, Speaker};
use crate::io::{Address, Clock, Event, Io, LinkId};
use crate::wal::{Buffer, LogWrite, WriteToken};

/// Bytes that one link holds at most; beyond them it takes nothing, as a full socket does.
const HELD_BYTES_MAX: usize = 16 << 20;

/// The longest greeting: whoever says more before it was understood is no replica.
const GREETING_BYTES_MAX: usize = 128;

/// An [`Io`] with faults.
#[derive(Debug)]
pub struct Emulated<I: Io> {
    inner: I,
    control: Arc<Control>,
    /// Which of the control's rules are known here.
    version: u64,
    rules: Vec<Rule>,
    /// Where the other replicas listen: tells whom a connection that this side makes will reach.
    peers: Vec<Address>,
    /// At each link's place.
    ends: Vec<End>,
    withheld: VecDeque<Withheld>,
    failed: VecDeque<LogWrite>,
    random: Random,
}

/// One connection.
#[derive(Debug)]
struct End {
    link: LinkId,
    peer: Peer,
    /// What was received while nobody knows from whom.
    greeting: Vec<u8>,
    line: Line,
}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    Unknown,
    Client,
    Replica(usize),
}

/// A write whose end is not told yet.
#[derive(Debug)]
struct Withheld {
    token: WriteToken,
    buffer: Buffer,
    since: Time,
}

impl<I: Io> Emulated<I> {
    /// Puts faults around `inner`. `peers` are the addresses of all replicas, in order.
    pub fn new(inner: I, control: Arc<Control>, peers: Vec<Address>, seed: u64) -> Self {
        let (version, rules) = control.rules();
        assert_eq!(rules.len(), peers.len(), "a rule for each replica");
        Self {
            inner,
            control,
            version,
            rules,
            peers,
            ends: Vec::new(),
            withheld: VecDeque::new(),
            failed: VecDeque::new(),
            random: Random::new(seed, Concern::Faults),
        }
    }

    /// Takes in new rules, if there are any. What a cut has held goes on its way when it is over.
    fn refresh(&mut self) {
        if self.control.version() == self.version {
            return;
        }
        (self.version, self.rules) = self.control.rules();
        let now = self.inner.now();
        for end in &mut self.ends {
            if let Peer::Replica(peer) = end.peer
                && self.rules[peer].cut == Cut::Open
            {
                end.line.let_go(now);
            }
        }
    }

    /// Sends what is due.
    fn release(&mut self) {
        let now = self.inner.now();
        for end in &mut self.ends {
            let Peer::Replica(peer) = end.peer else { continue };
            end.line.ripen(now, self.control.link(peer));
            if end.line.has_ripe() {
                self.inner.send(end.link, end.line.ripe());
            }
        }
    }

    /// Hands over the writes that a stall has withheld, once it is over, and those that failed.
    fn tell_writes(&mut self, handle: &mut impl FnMut(Event<'_>)) {
        for write in self.failed.drain(..) {
            let error = io::Error::other("input/output error, as the schedule of faults says");
            handle(Event::Written(write.token, write.buffer, Err(error)));
        }
        let now = self.inner.now();
        if now < self.control.stalled_until() {
            return;
        }
        for Withheld { token, buffer, since } in self.withheld.drain(..) {
            self.control.count_stalled(now.since(since));
            handle(Event::Written(token, buffer, Ok(())));
        }
    }
}

impl<I: Io> Io for Emulated<I> {
    type Storage = I::Storage;

    fn now(&self) -> Time {
        self.inner.now()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    /// When a frame is due, or a stall is over.
    fn due(&self) -> Time {
        let frame = self.ends.iter().map(|end| end.line.due()).min().unwrap_or(Time::NEVER);
        let write =
            if self.withheld.is_empty() { Time::NEVER } else { self.control.stalled_until() };
        if self.failed.is_empty() { frame.min(write) } else { self.inner.now() }
    }

    fn connect(&mut self, address: &Address) -> LinkId {
        let link = self.inner.connect(address);
        let peer = self.peers.iter().position(|peer| peer == address);
        open(&mut self.ends, link, peer.map_or(Peer::Unknown, Peer::Replica));
        link
    }

    fn close(&mut self, link: LinkId) {
        close(&mut self.ends, link);
        self.inner.close(link);
    }

    fn send(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool {
        self.refresh();
        let Some(end) = find(&mut self.ends, link) else { return self.inner.send(link, bytes) };
        let Peer::Replica(peer) = end.peer else { return self.inner.send(link, bytes) };
        let rule = &self.rules[peer];
        if rule.is_clear() && end.line.is_empty() {
            return self.inner.send(link, bytes);
        }
        if bytes.is_empty() || end.line.held_bytes() + bytes.len() > HELD_BYTES_MAX {
            return false;
        }
        let (now, counts) = (self.inner.now(), self.control.link(peer));
        let mut rest = bytes.as_slice();
        while let Some((frame, after)) = frame::split(rest) {
            end.line.admit(now, frame, rule, &mut self.random, counts);
            rest = after;
        }
        assert!(rest.is_empty(), "an outbox holds whole frames");
        bytes.clear();
        true
    }

    fn write(&mut self, storage: &mut Self::Storage, write: LogWrite) {
        if self.control.take_failure() {
            self.failed.push_back(write);
        } else {
            self.inner.write(storage, write);
        }
    }

    fn poll(&mut self, until: Time, mut handle: impl FnMut(Event<'_>)) {
        self.refresh();
        self.release();
        let stalled_until = self.control.stalled_until();
        let now = self.inner.now();
        let Self { inner, ends, withheld, .. } = self;
        inner.poll(until, |event| match event {
            Event::Accepted(link) => {
                open(ends, link, Peer::Unknown);
                handle(event);
            }
            Event::Received(link, bytes) => {
                listen(ends, link, bytes);
                handle(event);
            }
            Event::Closed(link) => {
                close(ends, link);
                handle(event);
            }
            Event::Written(token, buffer, Ok(())) if now < stalled_until => {
                withheld.push_back(Withheld { token, buffer, since: now });
            }
            Event::Woke(_) | Event::Connected(_) | Event::Written(..) => handle(event),
        });
        self.tell_writes(&mut handle);
    }
}

fn open(ends: &mut Vec<End>, link: LinkId, peer: Peer) {
    let place = link.index as usize;
    while ends.len() <= place {
        let nobody = LinkId { index: link.index, generation: 0 };
        ends.push(End {
            link: nobody,
            peer: Peer::Unknown,
            greeting: Vec::new(),
            line: Line::default(),
        });
    }
    let end = &mut ends[place];
    (end.link, end.peer) = (link, peer);
    end.greeting.clear();
    end.line.clear();
}

fn find(ends: &mut [End], link: LinkId) -> Option<&mut End> {
    ends.get_mut(link.index as usize).filter(|end| end.link == link)
}

fn close(ends: &mut [End], link: LinkId) {
    if let Some(end) = find(ends, link) {
        end.peer = Peer::Unknown;
        end.line.clear();
    }
}

/// Learns from the greeting who is at the other end.
fn listen(ends: &mut [End], link: LinkId, bytes: &[u8]) {
    let Some(end) = find(ends, link).filter(|end| end.peer == Peer::Unknown) else { return };
    let room = GREETING_BYTES_MAX - end.greeting.len();
    end.greeting.extend_from_slice(&bytes[..bytes.len().min(room)]);
    let Some((frame, _)) = frame::split(&end.greeting) else {
        if end.greeting.len() == GREETING_BYTES_MAX {
            end.peer = Peer::Client;
        }
        return;
    };
    // Who lies here is refused by the node.
    let hello = match frame::parse(frame, u32::MAX) {
        Ok(Some((frame, _))) if frame.kind == Kind::Hello => Hello::claimed(frame.payload),
        Ok(_) | Err(_) => None,
    };
    end.peer = match hello.map(|hello| hello.speaker) {
        Some(Speaker::Replica(id)) => Peer::Replica(usize::from(id)),
        Some(Speaker::Client(_)) | None => Peer::Client,
    };
}
