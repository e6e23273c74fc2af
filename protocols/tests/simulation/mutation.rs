//! Ways to break a protocol or the world around it, to show that the checks can fail.

use crate::damage::Damage;

/// One break of one rule. Kinds are the first bytes of messages and records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// `send` does not wait for the disk.
    SendsEarly,
    /// Only messages of this kind do not wait for the disk.
    SendsKindEarly(u8),
    /// Messages of this kind never arrive.
    DropsMessages(u8),
    /// An answer of this kind counts for two replicas.
    CountsTwice(u8),
    /// An answer of this kind that comes again counts for another replica.
    CountsRepeats(u8),

    /// The last durable record is gone at a restart.
    LosesLastRecord,
    /// Records of this kind are not read back at a restart.
    ForgetsRecords(u8),
    /// Sessions are not rebuilt at a restart.
    ForgetsSessions,
    /// Checkpoints leave out records of this kind.
    CheckpointsWithout(u8),
    /// Snapshots do not hold the sessions.
    SnapshotsWithoutSessions,
    /// The log is cut before the checkpoint is durable.
    CutsLogEarly,
    /// An installed snapshot is gone after a crash.
    ForgetsInstalled,

    /// A replica answers reads from its own store.
    ReadsLocally,
    /// A client does not say which version it was told.
    ForgetsVersions,
    /// Multi-Paxos: who has asked a quorum does not wait until it has applied what that knows of.
    ReadsWithoutRinse,
    /// A client that repeats a command gives it a new sequence.
    RepeatsAsNew,
    /// A client repeats writes to registers.
    RepeatsWrites,

    /// Paxos: who asks for promises takes no notice of the votes that they name.
    HidesVotes,
    /// Multi-Paxos: a candidate takes notice of votes for its first slot only.
    SkipsTail,
    /// Paxos: who asks for promises proposes the value of the lowest ballot again.
    PicksLowestBallot,
    /// Paxos: who asks for promises proposes nothing where it found a value.
    FillsWithNothing,
    /// Paxos, Paxos Commit: an acceptor votes in a ballot below its promise.
    VotesBelowPromise,
    /// Paxos: a learner takes whatever it voted for as chosen when it hears that something is.
    TrustsBound,
    /// Paxos: a replica that is asked for chosen values tells its votes, too.
    TeachesVotes,
    /// Paxos: a value that is learned takes the next slot, whatever its own is.
    LearnsPastHoles,
    /// Multi-Paxos: phase-1 quorums lack a replica.
    SmallPhase1Quorums,
    /// Multi-Paxos: phase-2 quorums lack a replica.
    SmallPhase2Quorums,
    /// Multi-Paxos: quorums of one replica each.
    QuorumsOfOne,

    /// Raft: a replica votes for a candidate whatever its log lacks.
    IgnoresLogs,
    /// Raft: a replica votes for whoever asks, although it has voted for another in that term.
    VotesTwice,
    /// Raft: a replica follows a leader of an earlier term.
    FollowsOldLeaders,
    /// Raft: a candidate counts votes of earlier terms.
    CountsOldVotes,
    /// Raft: a leader counts agreements of earlier terms.
    CountsOldAgreements,
    /// Raft: a follower takes an entry without a look at the one before.
    SkipsTheLogCheck,
    /// Raft: a follower says that it has an entry and does not store it.
    AgreesWithoutStoring,
    /// Raft: a follower keeps its own entry where the leader has another.
    KeepsConflicts,
    /// Raft: entries of earlier terms are committed as soon as a majority of three holds them.
    CommitsOldTerms,
    /// Raft: a follower commits what the leader says, whether or not their logs agree so far.
    CommitsUnverified,
    /// Raft: a leader takes no notice of followers whose log does not fit.
    IgnoresDisagreement,
    /// Raft: what a snapshot ends with is taken to be of the term before.
    MistakesSnapshotTerms,
    /// Raft: a follower takes a new configuration for the one in force when it is committed.
    ChangesVotersLate,
    /// Raft: a configuration stays in force although its entry was cut off.
    KeepsVotersCutOff,
    /// Raft: all replicas vote by a snapshot of another replica, whatever its last entry says.
    MistakesSnapshotVoters,
    /// Raft: all replicas vote by records of this kind, when they are read back at a restart.
    ForgetsVoters(u8),
    /// Raft: a learner takes itself for a voter.
    TakesItselfForVoter,
    /// Raft: what a learner holds counts for a voter.
    CountsLearners,
    /// Raft: what a leader holds counts although it votes no more.
    CountsItselfRemoved,
    /// Raft: a leader changes who votes although its last change is not committed.
    ChangesTwiceAtOnce,
    /// Raft: a leader changes who votes although no entry of its own term is committed.
    ChangesBeforeItsTerm,
    /// Raft: a follower cuts off its log at an entry that it has, and crashes before it is there again.
    CutsOffWhatItHas,
    /// Raft: a leader asks the target of a transfer to stand whether or not it has all entries.
    HandsOverAtOnce,
    /// Raft: a leader answers gets although no entry of its own term is committed.
    ServesBeforeItsTerm,
    /// Raft: a leader answers gets without asking whether it still leads.
    ServesUnheard,
    /// Raft: a leader that has asked another to stand answers gets under its lease as before.
    KeepsItsLease,
    /// Raft: clocks run nine times as far apart as it was told.
    ClocksRunApart,
    /// Viewstamped, Zab: a new leader takes the longest log, of whatever reign. Raft: a replica votes for
    /// whoever has one that is as long as its own.
    PicksLongestLog,
    /// Viewstamped, Zab: a new leader begins with its own log.
    BeginsWithOwnLog,
    /// Viewstamped, Zab: a follower acknowledges what a leader proposes whose reign it has left.
    AcknowledgesOldViews,
    /// Viewstamped, Zab: a follower cuts its log at what is committed and takes part at once.
    TakesPartTooEarly,
    /// Viewstamped, Zab: a follower acknowledges a proposal although it lacks one before.
    AcknowledgesHoles,
    /// Viewstamped, Zab: a follower takes a proposal for the next one, whatever its slot.
    AppendsPastHoles,
    /// Viewstamped, Zab: a follower takes whatever is proposed as committed at once.
    CommitsWhatIsProposed,
    /// Viewstamped: a witness takes itself for an active replica.
    TakesItselfForActive,
    /// Viewstamped: a witness keeps nothing that is committed.
    DropsWhatIsCommitted,
    /// Viewstamped: a witness that is called begins with what is not committed.
    SkipsToCommitted,
    /// Viewstamped: what a witness holds counts for an active replica.
    CountsWitnessesAsActive,
    /// Viewstamped: a new primary takes no notice of what witnesses keep.
    IgnoresLogsOfWitnesses,
    /// Viewstamped: a replica that has lost its disk acknowledges what is proposed.
    AcknowledgesWhileLost,
    /// Zab: a follower that is told to commit the initial history commits all that it has.
    CommitsWhatItHas,

    /// Zab: a replica takes votes for whoever for votes for an observer.
    VotesForObservers,
    /// Zab: what an observer acknowledges counts for a voter.
    CountsObservers,
    /// Zab: an observer answers gets as soon as they come.
    ObserversServeAtOnce,

    /// ABD: a replica acknowledges writes that it does not store.
    IgnoresWrites,
    /// ABD, quorum: a replica stores what writers write, not what readers write back.
    IgnoresWriteBacks,
    /// ABD: a replica stores whatever comes, also below the tag that it has.
    StoresOlderTags,
    /// ABD, quorum, Viewstamped: a replica that has lost its disk takes what one other tells it for what
    /// all others do.
    TakesOneForAll,
    /// ABD: a writer chooses its tag without a look at those of others.
    WritesWithoutTags,
    /// ABD: tags do not name their writer.
    TagsWithoutWriter,

    /// Quorum: linearizability is promised whether or not quorums meet.
    PromisesTooMuch,
    /// Quorum: a replica says that it keeps a write for another, and does not.
    CountsWithoutHint,
    /// Quorum: a replica stores a write for another as if it were its own.
    StoresHintsAsOwn,
    /// Quorum: who keeps hints drops them when they are sent.
    DropsHintsEarly,
    /// Quorum: what is handed off takes the place of whatever is there.
    HandsOffOverNewer,

    /// Two-Phase Commit, Paxos Commit: a resource manager that has voted commits at once, and gives
    /// its locks back.
    CommitsAlone,
    /// Two-Phase Commit, Paxos Commit: a resource manager that has voted aborts at once, and gives
    /// its locks back.
    AbortsAlone,
    /// Two-Phase Commit, Paxos Commit: a resource manager aborts the first of the transactions that
    /// commit.
    AbortsSome,
    /// Two-Phase Commit: a coordinator takes every vote for a yes. Paxos Commit: an acceptor does.
    TakesNoForYes,
    /// Two-Phase Commit, Paxos Commit: a resource manager votes yes although the balance of an
    /// account would fall below zero.
    OverdrawsAccounts,
    /// Two-Phase Commit, Paxos Commit: a resource manager applies the entries of what aborts.
    CommitsWhatAborts,
    /// Two-Phase Commit, Paxos Commit: a resource manager keeps no locks for who only reads.
    ReadsWithoutLocks,
    /// Paxos Commit: an acceptor accepts the votes of a round when it has the first.
    DecidesByOneVote,
    /// Paxos Commit: who takes over commits what nobody has accepted.
    PreparesFreeInstances,
    /// Paxos Commit: an acceptor forgets a round as soon as it has accepted.
    ForgetsTooEarly,

    /// What the clients recorded is not what happened.
    Records(Damage),
}

impl Mutation {
    /// Whether a leader changes who votes when it must not: then only what comes of it is judged.
    pub(crate) const fn breaks_changes(self) -> bool {
        matches!(self, Self::ChangesTwiceAtOnce | Self::ChangesBeforeItsTerm)
    }
}
