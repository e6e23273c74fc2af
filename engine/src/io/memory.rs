//! [`Io`] between the threads of one process, over queues: what a protocol costs with no kernel in
//! the way.
//!
//! All endpoints of a run share a [`Hub`], which knows who listens where. A connection is a pair of
//! bounded queues of buffers; whole outboxes travel, and their memory comes back. The only system
//! calls are those of a thread that sleeps and of one that wakes another.

mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};
use crossbeam::sync::{Parker, Unparker};
use synod_protocols::types::Time;

use self::wire::End;
use super::uring::{IDLE_NS, SLEEP_NS_MAX, TURN_BYTES, Wait, clock};
use super::{Address, Clock, Event, Io, LinkId};
use crate::wal::{LogWrite, MemoryStorage};

/// Connections that may wait to be accepted at one listener; further ones are refused.
const BACKLOG: usize = 1024;

/// Who listens where: what the endpoints of one run share.
#[derive(Debug, Default)]
pub struct Hub {
    doors: Mutex<BTreeMap<u32, Door>>,
}

/// How to reach a listener.
#[derive(Debug)]
struct Door {
    offers: Sender<End>,
    wake: Unparker,
}

/// A place in a [`Hub`] where others may connect.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    mailbox: Mailbox,
    /// The thread that accepts sleeps with this, because connecting threads wake it.
    parker: Parker,
}

/// Connections that wait to be accepted.
#[derive(Debug)]
struct Mailbox {
    hub: Arc<Hub>,
    number: u32,
    offers: Receiver<End>,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // With the door goes the channel's other side, and then what waits in it is dropped, which
        // closes it. Nobody is inside `connect` meanwhile.
        self.hub.doors.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl Hub {
    /// Listens at the address with this number.
    ///
    /// # Errors
    /// When somebody listens there.
    pub fn listen(self: &Arc<Self>, number: u32) -> io::Result<Listener> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let address = Address::Memory(number);
        if doors.contains_key(&number) {
            let sentence = format!("somebody listens at {address} already");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, sentence));
        }
        let (sender, offers) = channel::bounded(BACKLOG);
        let parker = Parker::new();
        doors.insert(number, Door { offers: sender, wake: parker.unparker().clone() });
        let mailbox = Mailbox { hub: Arc::clone(self), number, offers };
        Ok(Listener { address, mailbox, parker })
    }

    /// An end of a new connection to whoever listens at `number`. When nobody does, the other end
    /// is dropped, which closes the connection.
    fn connect(&self, number: u32, from: &Unparker) -> End {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(door) = doors.get(&number) else {
            return wire::pair(from.clone(), from.clone()).0;
        };
        let (ours, theirs) = wire::pair(from.clone(), door.wake.clone());
        if door.offers.try_send(theirs).is_ok() {
            door.wake.unpark();
        }
        ours
    }
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// One thread's connections within the process.
#[derive(Debug)]
pub struct MemoryIo {
    hub: Arc<Hub>,
    mailbox: Option<Mailbox>,
    parker: Parker,
    table: Vec<Place>,
    free: Vec<u32>,
    /// The place in the table that is looked at next, so that each link has its turn.
    next: usize,
    wait: Wait,
    now: Time,
    /// When something last happened.
    busy_at: Time,
    /// Bytes taken in by the present turn.
    received_bytes: usize,
}

/// A place in the table of links, used again when its link is gone.
#[derive(Debug, Default)]
struct Place {
    generation: u32,
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    end: End,
    /// Whether this side was told that the connection is there.
    announced: bool,
    /// What was received and not handed over yet: `reading` from `read` on.
    reading: Vec<u8>,
    read: usize,
}

impl MemoryIo {
    /// An endpoint for the calling thread.
    #[must_use]
    pub fn new(wait: Wait, hub: Arc<Hub>, listener: Option<Listener>) -> Self {
        let (mailbox, parker) = match listener {
            Some(listener) => (Some(listener.mailbox), listener.parker),
            None => (None, Parker::new()),
        };
        let now = clock();
        Self {
            hub,
            mailbox,
            parker,
            table: Vec::new(),
            free: Vec::new(),
            next: 0,
            wait,
            now,
            busy_at: now,
            received_bytes: 0,
        }
    }

    fn open(&mut self, end: End, announced: bool) -> LinkId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.table.push(Place::default());
            u32::try_from(self.table.len() - 1).expect("few connections")
        });
        let place = &mut self.table[index as usize];
        assert!(place.link.is_none(), "a free place has no link");
        place.generation += 1;
        place.link = Some(Link { end, announced, reading: Vec::new(), read: 0 });
        LinkId { index, generation: place.generation }
    }

    fn get(&self, link: LinkId) -> Option<&Link> {
        let place = &self.table[link.index as usize];
        place.link.as_ref().filter(|_| place.generation == link.generation)
    }

    /// Looks at the clock.
    fn wake(&mut self, handle: &mut impl FnMut(Event<'_>)) {
        self.now = clock();
        handle(Event::Woke(self.now));
    }

    /// Hands over what has happened, but no more bytes than one turn should have. True when
    /// something has.
    fn reap(&mut self, handle: &mut impl FnMut(Event<'_>)) -> bool {
        let mut any = false;
        while let Some(end) =
            self.mailbox.as_ref().and_then(|mailbox| mailbox.offers.try_recv().ok())
        {
            any = true;
            handle(Event::Accepted(self.open(end, true)));
        }
        self.received_bytes = 0;
        let mut idle = 0;
        while idle < self.table.len() && self.received_bytes < TURN_BYTES {
            let index = self.next;
            self.next = (index + 1) % self.table.len();
            if self.look_at(index, handle) {
                (any, idle) = (true, 0);
            } else {
                idle += 1;
            }
        }
        any
    }

    /// Hands over the next thing that has happened to one link. True when something has.
    fn look_at(&mut self, index: usize, handle: &mut impl FnMut(Event<'_>)) -> bool {
        let place = &mut self.table[index];
        let Some(link) = &mut place.link else { return false };
        let index = u32::try_from(index).expect("few connections");
        let id = LinkId { index, generation: place.generation };
        // Looked at before the queue: what was sent before the end is still received.
        let closed = link.end.is_closed();
        if !link.announced && !closed {
            link.announced = true;
            handle(Event::Connected(id));
            return true;
        }
        if link.announced && link.reading.is_empty() {
            link.reading = link.end.receive().unwrap_or_default();
            link.read = 0;
        }
        if link.reading.is_empty() {
            if closed {
                self.close(id);
                handle(Event::Closed(id));
            }
            return closed;
        }
        let rest = &link.reading[link.read..];
        let bytes = &rest[..rest.len().min(TURN_BYTES)];
        handle(Event::Received(id, bytes));
        self.received_bytes += bytes.len();
        link.read += bytes.len();
        if link.read == link.reading.len() {
            link.end.give_back(std::mem::take(&mut link.reading));
        }
        true
    }

    /// Returns at once when somebody has woken this thread since it last slept: no wake-up is lost
    /// between the last look at the queues and the sleep.
    fn wait_for_work(&self, until: Time) {
        let sleeps = match self.wait {
            Wait::Busy => false,
            Wait::Yield => self.now.since(self.busy_at) > IDLE_NS,
            Wait::Block => true,
        };
        if sleeps {
            let nanoseconds = until.since(self.now).min(SLEEP_NS_MAX);
            self.parker.park_timeout(Duration::from_nanos(nanoseconds));
        } else if self.wait == Wait::Yield {
            thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

impl Io for MemoryIo {
    type Storage = MemoryStorage;

    fn now(&self) -> Time {
        self.now
    }

    fn clock(&self) -> Clock {
        Clock::new(clock)
    }

    fn connect(&mut self, address: &Address) -> LinkId {
        let Address::Memory(number) = *address else {
            unreachable!("{address} is not an address in memory");
        };
        let end = self.hub.connect(number, self.parker.unparker());
        self.open(end, false)
    }

    fn close(&mut self, link: LinkId) {
        if self.get(link).is_some() {
            self.table[link.index as usize].link = None;
            self.free.push(link.index);
        }
    }

    fn send(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool {
        match self.get(link) {
            Some(link) => !bytes.is_empty() && link.announced && link.end.send(bytes),
            None => {
                // Nobody will ever read them.
                bytes.clear();
                false
            }
        }
    }

    /// Never: replicas that share a process lose everything together, so workloads with this
    /// transport have no log.
    fn write(&mut self, _storage: &mut MemoryStorage, write: LogWrite) {
        unreachable!(
            "{:?} although the transport is memory, which goes without a log",
            write.token
        );
    }

    fn poll(&mut self, until: Time, mut handle: impl FnMut(Event<'_>)) {
        self.wake(&mut handle);
        if !self.reap(&mut handle) && self.now < until {
            self.wait_for_work(until);
            self.wake(&mut handle);
            if !self.reap(&mut handle) {
                return;
            }
        }
        self.busy_at = self.now;
    }
}
