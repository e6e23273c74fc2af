//! Rules that tests break on purpose: one at a time, for the worlds of one thread.
//!
//! Most are broken where the simulator stands between the parts of a replica and its world, so that
//! the engine's own code stays as it runs. The few that live inside of the engine ask
//! [`Mutation::is_on`] in a statement of their own, which is compiled for tests alone.

use std::cell::Cell;

thread_local! {
    static BROKEN: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    // The disk.
    /// Writes end in the disk's cache, which a crash loses.
    CachesWrites,
    /// The end of a write is reported as that of another one that is under way.
    ConfusesWrites,
    // The log.
    /// A record or a mark counts wherever it lies and whenever it was written.
    IgnoresPlace,
    /// The last record of the log is not replayed.
    SkipsLastRecord,
    // What leaves when.
    /// Nothing that is sent waits for the disk.
    SendsEarly,
    // Gets that do not go through the log.
    /// Who leads answers gets at once, and where any replica may answer, any does.
    ServesAtOnce,
    // Repair.
    /// A replica that lost what it promised starts as if it had not.
    ForgetsLoss,
    /// The note of the loss goes with the first restart after it.
    RegainsEarly,
    /// A replica that lost what it promised answers messages of these kinds (one bit for each) as
    /// one does that has promised nothing yet.
    AnswersWhileLost(u32),
    /// To a replica that lost what it promised a message of one of these kinds (one bit for each)
    /// counts as one of every other replica; bit 0 stands for snapshots.
    OneAnswersForAll(u32),
    // Snapshots and sessions.
    /// The log is cut when the snapshot is written, whether or not its checkpoint is durable.
    CutsLogEarly,
    /// The log is replayed from a later place than where the snapshot begins.
    SkipsToDurable,
    /// Snapshots have no sessions.
    OmitsSessions,
    /// A repeat is executed again.
    ExecutesRepeats,
}

impl Mutation {
    /// What the thread's worlds have broken from now on.
    pub(crate) fn set(broken: Option<Self>) {
        BROKEN.set(broken);
    }

    /// What is broken on this thread.
    pub(crate) fn get() -> Option<Self> {
        BROKEN.get()
    }

    /// Whether this is broken on this thread.
    pub(crate) fn is_on(self) -> bool {
        BROKEN.get() == Some(self)
    }
}
