//! What the control thread of a replica tells its groups about faults, and what they count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use synod_protocols::types::Time;

use super::rule::Rule;

/// Shared by the threads of one replica.
#[derive(Debug)]
pub struct Control {
    /// Grows with each change of the rules.
    version: AtomicU64,
    rules: Mutex<Vec<Rule>>,
    links: Vec<LinkTotals>,
    disk: Disk,
}

#[derive(Debug, Default)]
struct Disk {
    stalled_until_ns: AtomicU64,
    fail_next: AtomicBool,
    stalled: AtomicU64,
    stalled_ns: AtomicU64,
    failed: AtomicU64,
}

/// What happened to the frames for one replica, all groups together.
#[derive(Debug, Default)]
pub(super) struct LinkTotals {
    pub(super) lost: AtomicU64,
    pub(super) doubled: AtomicU64,
    pub(super) delayed: AtomicU64,
    pub(super) delayed_ns: AtomicU64,
    pub(super) held: AtomicU64,
}

/// What happened to the frames for one replica.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkCounts {
    /// Frames that were lost, by chance or by a cut.
    pub lost: u64,
    /// Frames that were sent twice.
    pub doubled: u64,
    /// Frames that were sent later than they could have been.
    pub delayed: u64,
    /// By how much, all together.
    pub delayed_ns: u64,
    /// Frames that waited for the end of a cut.
    pub held: u64,
}

/// What happened to the writes of a log.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DiskCounts {
    /// Writes whose end was told late.
    pub stalled: u64,
    /// By how much, all together.
    pub stalled_ns: u64,
    /// Writes that failed.
    pub failed: u64,
}

/// All that a replica has counted.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// For each replica what happened to what was sent there.
    pub links: Vec<LinkCounts>,
    /// What happened to the log.
    pub disk: DiskCounts,
}

impl Control {
    /// With the rules for what is sent to each replica.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let links = rules.iter().map(|_| LinkTotals::default()).collect();
        Self { version: AtomicU64::new(1), rules: Mutex::new(rules), links, disk: Disk::default() }
    }

    /// From now on these rules hold.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Until then no write of the log ends.
    pub fn stall_until(&self, until: Time) {
        self.disk.stalled_until_ns.store(until.0, Ordering::Release);
    }

    /// The next write of the log fails.
    pub fn fail_next_write(&self) {
        self.disk.fail_next.store(true, Ordering::Release);
    }

    /// What was counted so far.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let links = self.links.iter().map(|totals| LinkCounts {
            lost: read(&totals.lost),
            doubled: read(&totals.doubled),
            delayed: read(&totals.delayed),
            delayed_ns: read(&totals.delayed_ns),
            held: read(&totals.held),
        });
        let disk = DiskCounts {
            stalled: read(&self.disk.stalled),
            stalled_ns: read(&self.disk.stalled_ns),
            failed: read(&self.disk.failed),
        };
        Evidence { links: links.collect(), disk }
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn rules(&self) -> (u64, Vec<Rule>) {
        // Newer rules under an older number are only taken in once more.
        let version = self.version();
        (version, self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(super) fn link(&self, peer: usize) -> &LinkTotals {
        &self.links[peer]
    }

    pub(super) fn stalled_until(&self) -> Time {
        Time(self.disk.stalled_until_ns.load(Ordering::Acquire))
    }

    pub(super) fn take_failure(&self) -> bool {
        // Read first: almost every write finds nothing to take.
        let fails = self.disk.fail_next.load(Ordering::Acquire)
            && self.disk.fail_next.swap(false, Ordering::AcqRel);
        self.disk.failed.fetch_add(u64::from(fails), Ordering::Relaxed);
        fails
    }

    pub(super) fn count_stalled(&self, late_ns: u64) {
        self.disk.stalled.fetch_add(1, Ordering::Relaxed);
        self.disk.stalled_ns.fetch_add(late_ns, Ordering::Relaxed);
    }
}
