//! Threads on processors of their own choice, and a folder that is gone afterwards.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use core_affinity::CoreId;

use super::{Options, Transport};
use crate::io::Address;
use crate::io::uring::{Listener, listen};

/// As many as the system's set of processors has places for.
const PROCESSORS_MAX: usize = 1024;

/// Starts `work` on a processor, in a thread with a name that profilers show. When it ends, however it ends, `stop` is set, so that the threads
/// that speak with it end as well.
pub(super) fn start<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    processor: usize,
    stop: &'scope AtomicBool,
    work: impl FnOnce() -> io::Result<T> + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, io::Result<T>>> {
    Builder::new().name(name.to_owned()).spawn_scoped(scope, move || {
        let _stopped_at_the_end = StopOnDrop(stop);
        pin(processor)?;
        work()
    })
}

/// What a thread has brought back.
pub(super) fn join<T>(thread: ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a measuring thread has panicked")))
}

fn pin(processor: usize) -> io::Result<()> {
    if processor < PROCESSORS_MAX && core_affinity::set_for_current(CoreId { id: processor }) {
        Ok(())
    } else {
        let message = format!("processor {processor} does not exist or may not be used");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// Tells the other threads of a measurement to end.
#[derive(Debug)]
pub(super) struct StopOnDrop<'a>(pub(super) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A folder with a name of its own, removed with everything in it.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{}{number}", scratch_prefix()));
        std::fs::create_dir(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot make {}: {error}", path.display()))
        })?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A listener for one of the roles; its address is in [`Listener::address`].
    pub(super) fn listen(&self, options: &Options, role: &str) -> io::Result<Listener> {
        listen(&match options.transport {
            Transport::Tcp => Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            Transport::Unix => Address::Unix(self.path.join(role)),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is there to be told, and what is left is named after this process.
        let _removed = std::fs::remove_dir_all(&self.path);
    }
}

/// How the folders of this process begin.
pub(super) fn scratch_prefix() -> String {
    format!(".synod-limits-{}-", std::process::id())
}
