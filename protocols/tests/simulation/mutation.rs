//! Ways to break the world around a protocol, to show that the checks can fail.

/// One break of one rule that the protocols rely on, or of the protocol as seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// `send` does not wait for the disk.
    SendsEarly,
    /// Only messages of this kind do not wait for the disk.
    SendsKindEarly(u8),
    /// The last durable record is gone at a restart.
    LosesLastRecord,
    /// Records of this kind are not read back at a restart.
    ForgetsRecords(u8),
    /// Messages of this kind never arrive.
    DropsMessages(u8),
    /// Multi-Paxos: promises name no votes, and the votes never arrive.
    HidesVotes,
    /// Quorums of one replica each.
    QuorumsOfOne,
    /// ABD: a replica acknowledges writes that it does not store.
    IgnoresWrites,
    /// Snapshots do not hold the sessions.
    SnapshotsWithoutSessions,
    /// The log is cut before the checkpoint is durable.
    CutsLogEarly,
    /// An installed snapshot is gone after a crash.
    ForgetsInstalled,
    /// A client that repeats a command gives it a new sequence.
    RepeatsAsNew,
}
