//! Making rings and sockets, with errors that say what to do.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;

use io_uring::IoUring;

use super::links::SocketAddress;
use crate::io::Address;

/// Room for what a busy link has on the way.
const SOCKET_BUFFER_BYTES: libc::c_int = 1 << 20;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: Address,
}

impl Listener {
    /// Where it listens; the port is the one that the system chose if none was asked for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Listens at an address.
///
/// # Errors
/// When the address is in use or not allowed.
pub fn listen(address: &Address) -> io::Result<Listener> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
    };
    match address {
        Address::Tcp(wanted) => {
            let listener = TcpListener::bind(wanted).map_err(named)?;
            let address = Address::Tcp(listener.local_addr()?);
            Ok(Listener { fd: listener.into(), address })
        }
        Address::Unix(path) => {
            // A socket file of a replica that was killed is left behind and refuses the bind.
            let _not_there = std::fs::remove_file(path);
            let listener = UnixListener::bind(path).map_err(named)?;
            Ok(Listener { fd: listener.into(), address: address.clone() })
        }
        Address::Memory(_) => Err(named(io::ErrorKind::Unsupported.into())),
    }
}

/// The ring with the flags that won; see ARCHITECTURE.md.
pub(super) fn ring(submissions: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_no_sqarray()
        .setup_submit_all()
        .setup_cqsize(completions);
    builder.build(submissions).map_err(explain)
}

fn explain(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring; Linux 6.6 or later is needed",
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here; ask root for `sysctl kernel.io_uring_disabled=0`, and in a \
             container for a seccomp profile that allows io_uring"
        }
        Some(libc::EINVAL) => "this kernel's io_uring is too old; Linux 6.6 or later is needed",
        Some(libc::ENOMEM) => {
            "too little memory may be locked; raise `ulimit -l` (RLIMIT_MEMLOCK) for this user"
        }
        _ => "the ring could not be made",
    };
    io::Error::new(error.kind(), format!("{advice} ({error})"))
}

/// A socket that can connect to `address`, and that address for the kernel.
pub(super) fn socket(address: &Address) -> io::Result<(RawFd, SocketAddress)> {
    let family = match address {
        Address::Tcp(SocketAddr::V4(_)) => libc::AF_INET,
        Address::Tcp(SocketAddr::V6(_)) => libc::AF_INET6,
        Address::Unix(_) => libc::AF_UNIX,
        Address::Memory(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    tune_socket(fd);
    Ok((fd, socket_address(address)))
}

fn socket_address(address: &Address) -> SocketAddress {
    let family = |family: libc::c_int| libc::sa_family_t::try_from(family).expect("small");
    match address {
        Address::Tcp(SocketAddr::V4(v4)) => SocketAddress::V4(libc::sockaddr_in {
            sin_family: family(libc::AF_INET),
            sin_port: v4.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
            sin_zero: [0; 8],
        }),
        Address::Tcp(SocketAddr::V6(v6)) => SocketAddress::V6(libc::sockaddr_in6 {
            sin6_family: family(libc::AF_INET6),
            sin6_port: v6.port().to_be(),
            sin6_flowinfo: v6.flowinfo(),
            sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
            sin6_scope_id: v6.scope_id(),
        }),
        Address::Unix(path) => {
            let mut unix =
                libc::sockaddr_un { sun_family: family(libc::AF_UNIX), sun_path: [0; 108] };
            let bytes = path.as_os_str().as_bytes();
            assert!(
                bytes.len() < unix.sun_path.len(),
                "socket path {} is too long",
                path.display()
            );
            for (to, &from) in unix.sun_path.iter_mut().zip(bytes) {
                *to = from.cast_signed();
            }
            SocketAddress::Unix(unix)
        }
        Address::Memory(_) => unreachable!("a place in memory has no socket"),
    }
}

/// Large buffers, and no waiting for more to send. Fails silently: neither is needed to be correct.
pub(super) fn tune_socket(fd: RawFd) {
    for (level, option, value) in [
        (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        (libc::SOL_SOCKET, libc::SO_SNDBUF, SOCKET_BUFFER_BYTES),
        (libc::SOL_SOCKET, libc::SO_RCVBUF, SOCKET_BUFFER_BYTES),
    ] {
        let length = libc::socklen_t::try_from(size_of_val(&value)).expect("small");
        // SAFETY: the pointer and the length describe `value`.
        unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), length) };
    }
}
