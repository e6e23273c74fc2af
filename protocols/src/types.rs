//! One newtype for each meaning, so that a slot is never taken for a time.

use core::fmt;
use core::ops::{Add, Sub};

/// Replicas that a group has at most.
pub const REPLICAS_MAX: usize = 9;

/// One member of a group, `0..REPLICAS_MAX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReplicaId(pub u8);

impl ReplicaId {
    /// Whether a group can have such a member.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        self.index() < REPLICAS_MAX
    }

    /// The position of this replica in an array with one element per replica.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// A set of replicas, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Replicas(u16);

impl Replicas {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The replicas `0..count`.
    #[must_use]
    pub fn first(count: usize) -> Self {
        assert!(count <= REPLICAS_MAX);
        Self((1 << count) - 1)
    }

    /// The set with this member alone.
    #[must_use]
    pub const fn only(replica: ReplicaId) -> Self {
        Self(1 << replica.0)
    }

    /// Adds one member; true when it was not there before.
    pub fn insert(&mut self, replica: ReplicaId) -> bool {
        let before = self.0;
        self.0 |= 1 << replica.0;
        self.0 != before
    }

    /// Whether `replica` is a member.
    #[must_use]
    pub const fn contains(self, replica: ReplicaId) -> bool {
        self.0 & (1 << replica.0) != 0
    }

    /// The number of members.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One bit for each member, that of replica 0 the lowest.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = ReplicaId> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let first = rest.trailing_zeros();
            // Without its lowest bit.
            rest &= rest.checked_sub(1)?;
            Some(ReplicaId(u8::try_from(first).expect("of sixteen bits")))
        })
    }

    /// The members that `other` has, too.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members that `other` does not have.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A moment on this replica's own monotonic clock, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Time(pub u64);

impl Time {
    /// Later than every other moment: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The nanoseconds since `earlier`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Time {
    type Output = Self;
    fn add(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }
}

/// Slots of a group at most. Far enough below what a version holds that sums do not overflow it.
const SLOTS_MAX: u64 = 1 << (63 - VERSION_INDEX_BITS);

/// A position in the replicated log. The first slot is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Slot(pub u64);

impl Slot {
    /// Whether a group can come so far: at a million slots a second that takes
    /// a hundred days.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        self.0 < SLOTS_MAX
    }

    /// The slot after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Add<u64> for Slot {
    type Output = Self;
    fn add(self, slots: u64) -> Self {
        Self(self.0 + slots)
    }
}

impl Sub for Slot {
    type Output = u64;
    fn sub(self, earlier: Self) -> u64 {
        assert!(self >= earlier, "slot {} is before slot {}", self.0, earlier.0);
        self.0 - earlier.0
    }
}

/// Rounds of ballots that are taken from others at most.
const ROUNDS_MAX: u64 = 1 << 48;

/// A reign: a round number, unique to the replica that opened it. Ordered by round, then replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Ballot(pub u64);

impl Ballot {
    /// Before every ballot that a replica opens.
    pub const ZERO: Self = Self(0);

    /// Whether a replica can open it, or it is the one before all. Rounds end far below what fits.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        self.0 >> 8 < ROUNDS_MAX && self.owner().is_possible()
    }

    /// The smallest ballot above `self` that belongs to `replica`.
    #[must_use]
    pub fn above(self, replica: ReplicaId) -> Self {
        let round = (self.0 >> 8) + 1;
        assert!(round < 1 << 56, "ballot rounds are exhausted");
        Self(round << 8 | u64::from(replica.0))
    }

    /// Whose ballot this is; meaningless for [`Ballot::ZERO`].
    #[must_use]
    pub const fn owner(self) -> ReplicaId {
        ReplicaId((self.0 & 0xff) as u8)
    }
}

/// Reigns of one group at most.
const REIGNS_MAX: u64 = 1 << 56;

/// The number of a reign whose owner the protocol finds by other means: Raft's term, the view number
/// of Viewstamped Replication, Zab's epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Reign(pub u64);

impl Reign {
    /// Before every reign with a leader.
    pub const ZERO: Self = Self(0);

    /// Whether a group can come so far.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        self.0 < REIGNS_MAX
    }

    /// The reign after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What orders the writes of one register: a timestamp, made unique by who writes, and in which of
/// its lives. (Attiya, Bar-Noy and Dolev 1995, section 3; several writers: Lynch and Shvartsman
/// 1997.) From the high bits: 40 of timestamp, 16 of life, 8 of writer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag of a register that was never written.
    pub const ZERO: Self = Self(0);

    /// A tag of `writer` in its life number `life`.
    #[must_use]
    pub fn new(timestamp: u64, life: u16, writer: ReplicaId) -> Self {
        assert!(timestamp < 1 << 40, "timestamps are exhausted");
        Self(timestamp << 24 | u64::from(life) << 8 | u64::from(writer.0))
    }

    /// Whether a replica can have made it, or it is the one before all.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        ReplicaId((self.0 & 0xff) as u8).is_possible()
    }

    /// The timestamp without the writer.
    #[must_use]
    pub const fn timestamp(self) -> u64 {
        self.0 >> 24
    }
}

/// Bytes in the engine's arena, most often a batch of commands: a handle, never the bytes.
///
/// A handle that is given to [`step`](crate::protocol::Protocol::step) is lent for that step. Who
/// keeps it longer calls [`retain`](crate::protocol::Context::retain), and later
/// [`release`](crate::protocol::Context::release), once each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Payload {
    /// The arena's block.
    pub block: u32,
    /// The first byte within the block.
    pub offset: u32,
    /// The length in bytes; 0 for no payload.
    pub bytes: u32,
    /// The number of commands, where the payload is a batch.
    pub commands: u32,
}

impl Payload {
    /// No bytes at all. It may be retained and released like any other.
    pub const EMPTY: Self = Self { block: 0, offset: 0, bytes: 0, commands: 0 };

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bytes == 0
    }

    /// A part of these bytes. It is held as long as the whole is, and not by itself.
    #[must_use]
    pub fn part(self, at: usize, bytes: usize) -> Self {
        assert!(at + bytes <= self.bytes as usize);
        let narrow = |value: usize| u32::try_from(value).expect("it is inside the whole");
        Self {
            block: self.block,
            offset: self.offset + narrow(at),
            bytes: narrow(bytes),
            commands: 0,
        }
    }
}

/// The order of one command among all: its slot, then its place in the slot's batch. It is the
/// `version` that the store keeps beside each value and that clients get as a witness.
#[must_use]
pub fn version_of(slot: Slot, index: usize) -> u64 {
    assert!(slot.0 < 1 << (64 - VERSION_INDEX_BITS), "slots are exhausted");
    assert!(index < 1 << VERSION_INDEX_BITS);
    // Slot 0 must not give version 0, which stands for "never written".
    (slot.0 + 1) << VERSION_INDEX_BITS | index as u64
}

/// The first slot after everything that a client who was told `version` knows of: a replica that has
/// applied all below it is not behind the client.
#[must_use]
pub const fn slot_after(version: u64) -> Slot {
    Slot(version >> VERSION_INDEX_BITS)
}

/// Bits of a version that number the commands within one batch.
pub const VERSION_INDEX_BITS: u32 = 20;
