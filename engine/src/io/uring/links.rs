//! The table of connections: which are open, what each is sending, what the kernel still holds.

use std::os::fd::RawFd;

use super::LinkId;
use crate::frame::BUFFER_BYTES;

/// Connections by their place. A place is used again only when the kernel holds nothing of it.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: Vec<Link>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Link {
    fd: RawFd,
    generation: u32,
    state: State,
    /// Operations that have not completed.
    in_flight: u32,
    /// The bytes of the send in flight; empty when there is none. Not touched in between.
    sending: Vec<u8>,
    sent: usize,
    /// The address of a connect in flight.
    address: Option<Box<SocketAddress>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Connecting,
    Open,
    Closing,
}

/// A socket address as the kernel reads it.
pub(super) enum SocketAddress {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
    Unix(libc::sockaddr_un),
}

impl std::fmt::Debug for SocketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SocketAddress")
    }
}

impl Links {
    pub(super) fn open(&mut self, fd: RawFd, connected: bool) -> LinkId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.links.push(Link {
                fd: -1,
                generation: 0,
                state: State::Free,
                in_flight: 0,
                sending: Vec::with_capacity(BUFFER_BYTES),
                sent: 0,
                address: None,
            });
            u32::try_from(self.links.len() - 1).expect("few connections")
        });
        let link = &mut self.links[index as usize];
        assert_eq!((link.state, link.in_flight), (State::Free, 0));
        link.fd = fd;
        link.generation += 1;
        link.state = if connected { State::Open } else { State::Connecting };
        LinkId { index, generation: link.generation }
    }

    pub(super) fn keep_address(
        &mut self,
        index: u32,
        address: SocketAddress,
    ) -> (*const libc::sockaddr, libc::socklen_t) {
        let kept = &**self.links[index as usize].address.insert(Box::new(address));
        let length = |bytes: usize| libc::socklen_t::try_from(bytes).expect("small");
        match kept {
            SocketAddress::V4(v4) => ((&raw const *v4).cast(), length(size_of_val(v4))),
            SocketAddress::V6(v6) => ((&raw const *v6).cast(), length(size_of_val(v6))),
            SocketAddress::Unix(unix) => ((&raw const *unix).cast(), length(size_of_val(unix))),
        }
    }

    pub(super) fn raw_fd(&self, index: u32) -> RawFd {
        self.links[index as usize].fd
    }

    pub(super) fn set_connected(&mut self, index: u32) {
        self.links[index as usize].state = State::Open;
    }

    /// The kernel holds one more operation of this link.
    pub(super) fn started(&mut self, index: u32) {
        self.links[index as usize].in_flight += 1;
    }

    /// The kernel has let go of one operation; a closing link is freed with its last.
    pub(super) fn finished(&mut self, index: u32) {
        let link = &mut self.links[index as usize];
        link.in_flight -= 1;
        if link.state == State::Closing && link.in_flight == 0 {
            // SAFETY: the descriptor is ours and nothing refers to it any more.
            unsafe { libc::close(link.fd) };
            link.fd = -1;
            link.state = State::Free;
            link.sending.clear();
            link.sent = 0;
            link.address = None;
            self.free.push(index);
        }
    }

    /// [`finished`](Self::finished), and the link if it is still in use.
    pub(super) fn finished_open(&mut self, index: u32) -> Option<LinkId> {
        self.finished(index);
        self.current(index)
    }

    pub(super) fn current(&self, index: u32) -> Option<LinkId> {
        let link = &self.links[index as usize];
        matches!(link.state, State::Open | State::Connecting)
            .then_some(LinkId { index, generation: link.generation })
    }

    fn is_current(&self, link: LinkId) -> bool {
        self.current(link.index) == Some(link)
    }

    /// True when the link was open: its operations must now be cancelled.
    pub(super) fn start_closing(&mut self, link: LinkId) -> bool {
        let current = self.is_current(link);
        if current {
            self.links[link.index as usize].state = State::Closing;
        }
        current
    }

    /// Takes `bytes` to be sent, unless something is being sent.
    pub(super) fn start_sending(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool {
        if !self.is_current(link) {
            // Nobody will ever read them.
            bytes.clear();
            return false;
        }
        let entry = &mut self.links[link.index as usize];
        if entry.state != State::Open || !entry.sending.is_empty() {
            return false;
        }
        std::mem::swap(&mut entry.sending, bytes);
        entry.sent = 0;
        true
    }

    pub(super) fn unsent(&self, index: u32) -> (*const u8, u32) {
        let link = &self.links[index as usize];
        let rest = &link.sending[link.sent..];
        // A longer rest goes out in several sends.
        (rest.as_ptr(), u32::try_from(rest.len()).unwrap_or(u32::MAX))
    }

    /// True when all is sent.
    pub(super) fn sent(&mut self, index: u32, bytes: usize) -> bool {
        let link = &mut self.links[index as usize];
        link.sent += bytes;
        let all = link.sent == link.sending.len();
        if all {
            link.sending.clear();
            link.sent = 0;
        }
        all
    }

    pub(super) fn shut_all(&self) {
        for link in self.links.iter().filter(|link| link.fd >= 0) {
            // SAFETY: the descriptor is ours; shutting it down frees no memory.
            unsafe { libc::shutdown(link.fd, libc::SHUT_RDWR) };
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for link in self.links.iter().filter(|link| link.fd >= 0) {
            // SAFETY: the descriptor is ours, and the ring is no longer entered.
            unsafe { libc::close(link.fd) };
        }
    }
}
