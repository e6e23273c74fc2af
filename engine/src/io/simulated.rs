//! [`Io`] in virtual time: what happens is put into an inbox by the world, what is done is left in
//! an outbox for it.
//!
//! The world ([`crate::sim`]) owns time, the network and the disks. This side only keeps the table
//! of links, so that a node cannot tell the world from a real one: it is called for a turn when
//! something has arrived or its deadline has come.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use synod_protocols::types::Time;

use super::{Address, Clock, Event, Io, LinkId};
use crate::sim::disk::SimulatedDisk;
use crate::wal::{Buffer, LogWrite, WriteToken};

/// What the world has for a node.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody connected.
    Accepted(LinkId),
    /// A connection is there.
    Connected(LinkId),
    /// Bytes came in.
    Received(LinkId, Vec<u8>),
    /// A connection is gone.
    Closed(LinkId),
    /// A write has ended.
    Written(WriteToken, Buffer, io::Result<()>),
}

impl Arrival {
    /// Bytes that came from another machine.
    #[must_use]
    pub fn bytes(&self) -> usize {
        if let Self::Received(_, bytes) = self { bytes.len() } else { 0 }
    }
}

/// What a node has done in a turn.
#[derive(Debug)]
pub enum Action {
    /// Connects to the machine with this number.
    Connect(LinkId, u32),
    /// Sends whole frames.
    Send(LinkId, Vec<u8>),
    /// Closes a connection.
    Close(LinkId),
    /// Starts a write of the log.
    Write(LogWrite),
}

impl Action {
    /// Bytes that go to another machine.
    #[must_use]
    pub fn bytes(&self) -> usize {
        if let Self::Send(_, bytes) = self { bytes.len() } else { 0 }
    }
}

/// What a turn takes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Entries of the inbox.
    pub pieces: usize,
    /// What is taken as one thing that happened.
    pub things: u64,
    /// Bytes from other machines.
    pub bytes: usize,
}

/// What a node and its world share.
#[derive(Debug, Default)]
pub struct Port {
    /// The node's own clock.
    pub now: Time,
    /// What has happened since the last turn.
    pub inbox: VecDeque<Arrival>,
    /// How much of that this turn takes in.
    pub intake: Intake,
    /// What was done in this turn.
    pub outbox: Vec<Action>,
    /// For each place whether its link is open, and its generation.
    links: Vec<(bool, u32)>,
    free: Vec<u32>,
    /// Whom the turn hears.
    heard: Vec<LinkId>,
    /// Memory of what was received, for what will be sent.
    spare: Vec<Vec<u8>>,
}

/// So many pieces of memory are kept for what will be sent.
const SPARE_MAX: usize = 16;

impl Port {
    /// The port of a node whose clock shows `now`.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self { now, ..Self::default() }
    }

    /// A new link, for whichever side connects or accepts.
    pub fn open(&mut self) -> LinkId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.links.push((false, 0));
            u32::try_from(self.links.len() - 1).expect("few connections")
        });
        let (open, generation) = &mut self.links[index as usize];
        assert!(!*open, "a free place has no link");
        *open = true;
        *generation += 1;
        LinkId { index, generation: *generation }
    }

    /// Decides what the next turn takes in: what is there, or until `bytes` are exceeded. With such a
    /// bound, pieces that came on one connection are one thing that happened.
    pub fn admit(&mut self, bytes: Option<usize>) -> Intake {
        let mut intake = Intake::default();
        self.heard.clear();
        for arrival in &self.inbox {
            if bytes.is_some_and(|most| intake.bytes >= most) {
                break;
            }
            intake.pieces += 1;
            intake.bytes += arrival.bytes();
            let again = match arrival {
                Arrival::Received(link, _) if bytes.is_some() => {
                    let again = self.heard.contains(link);
                    self.heard.push(*link);
                    again
                }
                Arrival::Received(..)
                | Arrival::Accepted(_)
                | Arrival::Connected(_)
                | Arrival::Closed(_)
                | Arrival::Written(..) => false,
            };
            intake.things += u64::from(!again);
        }
        self.intake = intake;
        intake
    }

    fn keep(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    fn is_open(&self, link: LinkId) -> bool {
        self.links.get(link.index as usize) == Some(&(true, link.generation))
    }

    /// Gives the place of a link free. False when the link is gone already.
    fn close(&mut self, link: LinkId) -> bool {
        let was_open = self.is_open(link);
        if was_open {
            self.links[link.index as usize].0 = false;
            self.free.push(link.index);
        }
        was_open
    }
}

/// A node's side of its [`Port`].
#[derive(Debug)]
pub struct SimulatedIo {
    port: Rc<RefCell<Port>>,
    now: Time,
}

impl SimulatedIo {
    /// The world keeps the other reference.
    #[must_use]
    pub fn new(port: Rc<RefCell<Port>>) -> Self {
        let now = port.borrow().now;
        Self { port, now }
    }

    fn next(&self) -> Option<Arrival> {
        let port = &mut *self.port.borrow_mut();
        port.intake.pieces = port.intake.pieces.checked_sub(1)?;
        port.inbox.pop_front()
    }
}

impl Io for SimulatedIo {
    type Storage = SimulatedDisk;

    fn now(&self) -> Time {
        self.now
    }

    /// Within a turn no time passes.
    fn clock(&self) -> Clock {
        let port = Rc::clone(&self.port);
        Clock::new(move || port.borrow().now)
    }

    fn connect(&mut self, address: &Address) -> LinkId {
        let Address::Memory(machine) = *address else {
            unreachable!("{address} is not the number of a machine");
        };
        let mut port = self.port.borrow_mut();
        let link = port.open();
        port.outbox.push(Action::Connect(link, machine));
        link
    }

    fn close(&mut self, link: LinkId) {
        let mut port = self.port.borrow_mut();
        if port.close(link) {
            port.outbox.push(Action::Close(link));
        }
    }

    fn send(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool {
        let mut port = self.port.borrow_mut();
        if bytes.is_empty() {
            return false;
        }
        let open = port.is_open(link);
        if open {
            let empty = port.spare.pop().unwrap_or_default();
            port.outbox.push(Action::Send(link, std::mem::replace(bytes, empty)));
        } else {
            bytes.clear();
        }
        open
    }

    fn write(&mut self, _storage: &mut SimulatedDisk, write: LogWrite) {
        self.port.borrow_mut().outbox.push(Action::Write(write));
    }

    fn poll(&mut self, _until: Time, mut handle: impl FnMut(Event<'_>)) {
        self.now = self.port.borrow().now;
        handle(Event::Woke(self.now));
        while let Some(arrival) = self.next() {
            match arrival {
                Arrival::Accepted(link) => handle(Event::Accepted(link)),
                Arrival::Connected(link) => {
                    if self.port.borrow().is_open(link) {
                        handle(Event::Connected(link));
                    }
                }
                Arrival::Received(link, bytes) => {
                    if self.port.borrow().is_open(link) {
                        handle(Event::Received(link, &bytes));
                    }
                    self.port.borrow_mut().keep(bytes);
                }
                Arrival::Closed(link) => {
                    if self.port.borrow_mut().close(link) {
                        handle(Event::Closed(link));
                    }
                }
                Arrival::Written(token, buffer, result) => {
                    handle(Event::Written(token, buffer, result));
                }
            }
        }
    }
}
