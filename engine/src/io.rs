//! The seam between a replica and its world: connections, the log's disk, and time.
//!
//! [`node`](crate::node) and [`load`](crate::load) are generic over [`Io`]. Real runs use
//! [`uring`], or [`memory`] within one process; [`simulated`] is the same few verbs in virtual time.

pub mod memory;
pub mod simulated;
pub mod uring;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use synod_protocols::types::Time;

use crate::wal::{Buffer, LogWrite, Storage, WriteToken};

/// A connection, for as long as it is open. Never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkId {
    /// The place in the table of links; small, so it may index arrays.
    pub index: u32,
    /// Which of the links that had this place.
    pub generation: u32,
}

/// Where a listener listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// A place in this process, in the [`memory::Hub`] of the run.
    Memory(u32),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Memory(number) => write!(f, "place {number} in memory"),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// It is this time now; whatever follows has happened before it.
    Woke(Time),
    /// Somebody connected to the listener.
    Accepted(LinkId),
    /// A connection that this side asked for is there.
    Connected(LinkId),
    /// Bytes came in.
    Received(LinkId, &'a [u8]),
    /// The connection is gone; the last event of this link.
    Closed(LinkId),
    /// A write is durable, or has failed.
    Written(WriteToken, Buffer, std::io::Result<()>),
}

/// What tells the time at any moment, also in the middle of a turn.
pub struct Clock(Box<dyn Fn() -> Time>);

impl Clock {
    /// A clock that is told by this.
    #[must_use]
    pub fn new(tell: impl Fn() -> Time + 'static) -> Self {
        Self(Box::new(tell))
    }

    /// The time at this moment.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A replica's or load generator's world.
pub trait Io {
    /// Where logs are.
    type Storage: Storage;

    /// The time of the last [`Event::Woke`].
    fn now(&self) -> Time;

    /// What tells the time at any moment. It takes longer to tell than [`Self::now`].
    fn clock(&self) -> Clock;

    /// When there is something to do in here although nothing happens outside.
    fn due(&self) -> Time {
        Time::NEVER
    }

    /// Starts to connect. [`Event::Connected`] or [`Event::Closed`] follows.
    fn connect(&mut self, address: &Address) -> LinkId;

    /// Closes a connection. [`Event::Closed`] does not follow.
    fn close(&mut self, link: LinkId);

    /// Sends `bytes`, if nothing is being sent on this link; otherwise leaves them for a later
    /// call. What is taken is replaced by an empty buffer. True when the bytes were taken.
    fn send(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool;

    /// Starts a write. [`Event::Written`] follows; writes may complete in any order.
    fn write(&mut self, storage: &mut Self::Storage, write: LogWrite);

    /// Submits everything started, waits for something to happen, but not beyond `until`, and
    /// hands over all that happened, after the time at which it was found.
    fn poll(&mut self, until: Time, handle: impl FnMut(Event<'_>));
}
