//! Connections between endpoints of one thread: a buffer in each direction, and a clock that moves
//! when it is told to.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use synod::greeting::Key;
use synod::io::{Address, Clock, Event, Io, LinkId};
use synod::wal::{LogWrite, MemoryStorage};
use synod_protocols::types::Time;

/// The one cluster that there is.
pub(crate) const CLUSTER: u64 = 1;

/// What its replicas know each other by.
pub(crate) fn key() -> Key {
    Key::of_seed(1)
}

/// Where the endpoint with this number listens.
pub(crate) fn address_of(endpoint: usize) -> Address {
    let port = u16::try_from(endpoint).expect("few endpoints");
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fresh {
    Accepted,
    Connected,
    Known,
}

/// One end of a connection. Connections are never closed here.
struct End {
    fresh: Fresh,
    /// The other end: its endpoint and its place there.
    other: (usize, usize),
    /// What has arrived and was not looked at.
    arrived: Vec<u8>,
}

struct State {
    now: Time,
    /// The ends of each endpoint.
    ends: Vec<Vec<End>>,
}

/// All endpoints and what is between them.
pub(crate) struct Network(Rc<RefCell<State>>);

impl Network {
    pub(crate) fn new(endpoints: usize) -> Self {
        let ends = (0..endpoints).map(|_| Vec::new()).collect();
        Self(Rc::new(RefCell::new(State { now: Time(1), ends })))
    }

    /// The world of one endpoint.
    pub(crate) fn io(&self, endpoint: usize) -> MemoryIo {
        MemoryIo { endpoint, network: Rc::clone(&self.0), taken: Vec::new() }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, nanoseconds: u64) {
        let mut state = self.0.borrow_mut();
        state.now = state.now + nanoseconds;
    }
}

/// What one endpoint sees of the network.
pub(crate) struct MemoryIo {
    endpoint: usize,
    network: Rc<RefCell<State>>,
    /// The buffer that is being looked at.
    taken: Vec<u8>,
}

impl Io for MemoryIo {
    type Storage = MemoryStorage;

    fn now(&self) -> Time {
        self.network.borrow().now
    }

    fn clock(&self) -> Clock {
        let network = Rc::clone(&self.network);
        Clock::new(move || network.borrow().now)
    }

    fn connect(&mut self, address: &Address) -> LinkId {
        let Address::Tcp(address) = address else { unreachable!("there are only these addresses") };
        let other = usize::from(address.port());
        let mut state = self.network.borrow_mut();
        let (here, there) = (state.ends[self.endpoint].len(), state.ends[other].len());
        for (endpoint, fresh, other) in [
            (self.endpoint, Fresh::Connected, (other, there)),
            (other, Fresh::Accepted, (self.endpoint, here)),
        ] {
            state.ends[endpoint].push(End { fresh, other, arrived: Vec::new() });
        }
        link(here)
    }

    fn close(&mut self, _link: LinkId) {
        unreachable!("nobody here breaks a rule");
    }

    fn send(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool {
        let mut state = self.network.borrow_mut();
        let (endpoint, place) = state.ends[self.endpoint][link.index as usize].other;
        let arrived = &mut state.ends[endpoint][place].arrived;
        let takes = arrived.is_empty();
        if takes {
            std::mem::swap(arrived, bytes);
        }
        takes
    }

    fn write(&mut self, _storage: &mut MemoryStorage, _write: LogWrite) {
        unreachable!("there is no log");
    }

    fn poll(&mut self, _until: Time, mut handle: impl FnMut(Event<'_>)) {
        handle(Event::Woke(self.now()));
        let mut place = 0;
        loop {
            let mut state = self.network.borrow_mut();
            let Some(end) = state.ends[self.endpoint].get_mut(place) else { return };
            let fresh = std::mem::replace(&mut end.fresh, Fresh::Known);
            std::mem::swap(&mut self.taken, &mut end.arrived);
            drop(state);
            match fresh {
                Fresh::Accepted => handle(Event::Accepted(link(place))),
                Fresh::Connected => handle(Event::Connected(link(place))),
                Fresh::Known => {}
            }
            if !self.taken.is_empty() {
                handle(Event::Received(link(place), &self.taken));
                self.taken.clear();
            }
            place += 1;
        }
    }
}

fn link(place: usize) -> LinkId {
    LinkId { index: u32::try_from(place).expect("few connections"), generation: 1 }
}
