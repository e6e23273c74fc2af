//! At most once: the last command of every session and how it ended.
//!
//! A session opens with sequence 1 and has one command outstanding, so its last command is all that
//! can still be asked for again. Gets have no part in this: they change nothing. A repeat of that one is answered from here without being executed;
//! anything earlier has no one waiting for it.
//!
//! The table is bounded. When it is full, the sixteenth of the sessions that were idle longest is
//! dropped at once, which keeps the cost per new session small. Which ones depends only on the
//! commands applied, so every replica drops the same. A client whose session is gone is told so
//! ([`Admission::Expired`]) and its command is not executed: it may have been, once, before. The
//! limit must therefore exceed the sessions that may have copies of their first command under way:
//! that command alone cannot be told from one that opens the session.

#[cfg(test)]
use crate::sim::mutation::Mutation;
use crate::store::mix;
use synod_protocols::bytes::index;
use synod_protocols::command::{SEQUENCE_MAX, SessionId, Status};

/// Sessions that are kept unless a run says otherwise.
pub const SESSIONS_DEFAULT: usize = 1 << 16;

const OUTCOME_SHIFT: u32 = 56;

/// What the session table says about a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Execute it, then [`Sessions::settle`] this place, before the next call of
    /// [`Sessions::admit`].
    Fresh(SessionSlot),
    /// Answer with this.
    Repeat(Settled),
    /// The session has gone on: no one waits for an answer.
    Stale,
    /// The session is unknown and this is not its first command.
    Expired,
}

/// How the last command of a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The status that it had.
    pub status: Status,
    /// Its version.
    pub version: u64,
    /// The first `result_bytes` bytes of this are the value that it was answered with.
    pub result: u64,
    /// 0 or 8, or fewer if a failed swap saw a shorter value.
    pub result_bytes: u8,
}

/// A place in the session table, valid until the next [`Sessions::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSlot(usize);

/// The last command of one session. 32 bytes, so that a cache line is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(32))]
pub(crate) struct SessionEntry {
    /// 0 marks a free place.
    pub(crate) session: u64,
    /// The sequence in the low 56 bits. In the high 8 the outcome: status in the low 4 bits,
    /// length of the result in the high 4; 0 only while the command is executed.
    pub(crate) sequence_and_outcome: u64,
    pub(crate) version: u64,
    pub(crate) result: u64,
}

const FREE: SessionEntry =
    SessionEntry { session: 0, sequence_and_outcome: 0, version: 0, result: 0 };

impl SessionEntry {
    fn sequence(&self) -> u64 {
        self.sequence_and_outcome & SEQUENCE_MAX
    }

    fn settled(&self) -> Option<Settled> {
        let outcome = self.sequence_and_outcome.to_le_bytes()[7];
        let status = Status::from_byte(outcome & 0xf)?;
        let result_bytes = outcome >> 4;
        Some(Settled { status, version: self.version, result: self.result, result_bytes })
    }

    /// Whether an entry from outside could have been made here.
    pub(crate) fn is_possible(&self) -> bool {
        let settled = self.settled().is_some_and(|settled| settled.result_bytes <= 8);
        self.session != 0 && self.sequence() != 0 && self.version != 0 && settled
    }
}

/// The session table.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// Invariant: a power of two long, and at least half of it free.
    entries: Box<[SessionEntry]>,
    count: usize,
    count_max: usize,
    /// Room for the versions and then the survivors of a drop, so that dropping allocates nothing.
    versions: Vec<u64>,
    survivors: Vec<SessionEntry>,
}

impl Sessions {
    /// An empty table for up to `count_max` sessions, at least 1.
    pub fn new(count_max: usize) -> Self {
        assert!(count_max > 0);
        Self {
            entries: vec![FREE; (count_max * 2).next_power_of_two()].into_boxed_slice(),
            count: 0,
            count_max,
            versions: Vec::with_capacity(count_max),
            survivors: Vec::with_capacity(count_max),
        }
    }

    /// Sessions in the table.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Most sessions in the table.
    pub fn count_max(&self) -> usize {
        self.count_max
    }

    /// Loads the places of many sessions at once. See [`crate::store::Store::touch`].
    #[inline]
    pub fn touch(&self, sessions: &[u64]) {
        let lines = sessions.iter().map(|&session| self.entries[self.home(session)].session);
        std::hint::black_box(lines.fold(0, |all, line| all ^ line));
    }

    /// Decides whether to execute a command, and counts it as the last of its session if so.
    /// `version` is its place in the order of all commands, from 1.
    #[inline]
    pub fn admit(&mut self, session: SessionId, sequence: u64, version: u64) -> Admission {
        assert!(session.0 != 0);
        assert!(sequence <= SEQUENCE_MAX);
        let slot = self.find(session.0);
        let entry = &mut self.entries[slot];
        if entry.session == 0 {
            return self.open(slot, session, sequence, version);
        }
        let last = entry.sequence();
        #[cfg(test)]
        let last = if Mutation::ExecutesRepeats.is_on() { last.min(sequence - 1) } else { last };
        if sequence > last {
            // The result stays as it was: without an outcome no one reads it.
            entry.sequence_and_outcome = sequence;
            entry.version = version;
            return Admission::Fresh(SessionSlot(slot));
        }
        if sequence < last {
            return Admission::Stale;
        }
        Admission::Repeat(entry.settled().expect("every command is settled"))
    }

    /// Keeps the outcome of the command that was admitted as fresh with this slot. `result` is at
    /// most 8 bytes: of a longer answer nothing is kept, as only gets have one.
    #[inline]
    pub fn settle(&mut self, slot: SessionSlot, status: Status, result: &[u8]) {
        let entry = &mut self.entries[slot.0];
        assert!(entry.sequence_and_outcome >> OUTCOME_SHIFT == 0, "settled once");
        let result_bytes = result.len() as u64;
        assert!(result_bytes <= 8);
        let outcome = u64::from(status as u8) | result_bytes << 4;
        entry.sequence_and_outcome |= outcome << OUTCOME_SHIFT;
        entry.result = synod_protocols::bytes::leading_u64(result);
    }

    /// Adds an entry of a snapshot. Returns false, having changed nothing, if the table is full or
    /// already has the session.
    pub(crate) fn restore(&mut self, entry: SessionEntry) -> bool {
        assert!(entry.is_possible());
        let slot = self.find(entry.session);
        let fits = self.count < self.count_max && self.entries[slot].session == 0;
        if fits {
            self.entries[slot] = entry;
            self.count += 1;
        }
        fits
    }

    /// Takes over what another table of the same limit holds, without allocating.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        assert_eq!(self.count_max, other.count_max);
        self.entries.copy_from_slice(&other.entries);
        self.count = other.count;
    }

    /// The entry at place `slot` of [`Self::slots`], if it is taken.
    pub(crate) fn entry_at(&self, slot: usize) -> Option<&SessionEntry> {
        let entry = &self.entries[slot];
        (entry.session != 0).then_some(entry)
    }

    /// Places that a walk with [`Self::entry_at`] has to visit.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    #[cold]
    fn open(
        &mut self,
        mut slot: usize,
        session: SessionId,
        sequence: u64,
        version: u64,
    ) -> Admission {
        if sequence != 1 {
            return Admission::Expired;
        }
        if self.count == self.count_max {
            self.drop_idle();
            slot = self.find(session.0);
        }
        self.entries[slot] =
            SessionEntry { session: session.0, sequence_and_outcome: 1, version, result: 0 };
        self.count += 1;
        Admission::Fresh(SessionSlot(slot))
    }

    /// Drops the sixteenth of the sessions, at least one, whose last commands are the oldest.
    fn drop_idle(&mut self) {
        let dropped = self.count_max.div_ceil(16);
        self.versions.clear();
        let taken = self.entries.iter().filter(|entry| entry.session != 0);
        self.versions.extend(taken.map(|entry| entry.version));
        // Each version is of one command, hence of one session: no two are equal.
        let (_, &mut newest_dropped, _) = self.versions.select_nth_unstable(dropped - 1);
        self.survivors.clear();
        let taken = self.entries.iter().filter(|entry| entry.session != 0);
        self.survivors.extend(taken.filter(|entry| entry.version > newest_dropped));
        self.entries.fill(FREE);
        self.count = 0;
        let survivors = std::mem::take(&mut self.survivors);
        for &entry in &survivors {
            let restored = self.restore(entry);
            assert!(restored, "fewer sessions than before have room");
        }
        self.survivors = survivors;
        assert_eq!(self.count, self.count_max - dropped);
    }

    #[inline]
    fn find(&self, session: u64) -> usize {
        let mut slot = self.home(session);
        while self.entries[slot].session != session && self.entries[slot].session != 0 {
            slot = (slot + 1) & (self.entries.len() - 1);
        }
        slot
    }

    #[inline]
    fn home(&self, session: u64) -> usize {
        index(mix(session)) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sessions: &mut Sessions, session: u64, sequence: u64, version: u64) -> Admission {
        let admission = sessions.admit(SessionId(session), sequence, version);
        if let Admission::Fresh(slot) = admission {
            sessions.settle(slot, Status::Ok, &version.to_le_bytes());
        }
        admission
    }

    #[test]
    fn each_command_is_fresh_once_then_repeated_then_stale() {
        let mut sessions = Sessions::new(4);
        let settled =
            |version| Settled { status: Status::Ok, version, result: version, result_bytes: 8 };
        assert!(matches!(run(&mut sessions, 9, 1, 10), Admission::Fresh(_)));
        assert_eq!(run(&mut sessions, 9, 1, 11), Admission::Repeat(settled(10)));
        assert!(matches!(run(&mut sessions, 9, 3, 12), Admission::Fresh(_)));
        assert_eq!(run(&mut sessions, 9, 3, 13), Admission::Repeat(settled(12)));
        assert_eq!(run(&mut sessions, 9, 1, 14), Admission::Stale);
        assert_eq!(run(&mut sessions, 9, 2, 14), Admission::Stale);
    }

    #[test]
    fn an_unknown_session_opens_with_its_first_command_only() {
        let mut sessions = Sessions::new(4);
        assert_eq!(run(&mut sessions, 1, 2, 1), Admission::Expired);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn the_longest_idle_sessions_go_first() {
        let mut sessions = Sessions::new(32);
        for session in 1..=32 {
            run(&mut sessions, session, 1, session);
        }
        run(&mut sessions, 1, 2, 33);
        assert!(matches!(run(&mut sessions, 33, 1, 34), Admission::Fresh(_)));
        assert_eq!(sessions.count(), 31, "two were dropped, one came");
        assert_eq!(run(&mut sessions, 2, 2, 35), Admission::Expired);
        assert_eq!(run(&mut sessions, 3, 2, 36), Admission::Expired);
        assert!(matches!(run(&mut sessions, 1, 3, 37), Admission::Fresh(_)));
        assert!(matches!(run(&mut sessions, 4, 2, 38), Admission::Fresh(_)));
    }

    #[test]
    fn a_table_of_one_session_works() {
        let mut sessions = Sessions::new(1);
        for session in 1..100 {
            assert!(matches!(run(&mut sessions, session, 1, session), Admission::Fresh(_)));
            assert!(matches!(run(&mut sessions, session, 1, session), Admission::Repeat(_)));
        }
    }
}
