//! Who votes (chapter 4 of the dissertation).
//!
//! Each entry of the log says who votes from it on, so that a configuration takes effect as soon as its
//! entry is in the log, committed or not; where the entry is cut off, the one before is in force again.
//! Elections, commits, leases and rounds of heartbeats count the voters of the last entry alone, a
//! leader that votes no more does not count itself, and everybody's messages are heard whoever votes.
//!
//! * Configurations differ by one server, of which any two majorities meet (section 4.1). So a leader
//!   begins a change when the one before is committed, and an entry of its own term is: without that,
//!   two leaders can each be ahead of the other by a change that is not committed (Ongaro, *bug in
//!   single-server membership changes*, raft-dev, 2015).
//! * All replicas are there from the start, and those that do not vote (at first the observers of the
//!   cluster) are **learners** (section 4.2.1): they are sent all entries. One that is to vote first
//!   catches up in rounds, each of all entries that there were at its beginning, until one takes less
//!   than an election time-out.
//! * A leader that is removed leads until that is committed, and then steps down (section 4.2.2). Who
//!   does not vote still stands for election if it did vote in what is known to be committed: others may
//!   not be able to win without the entry that removes it.

use alloc::collections::VecDeque;

use super::{Follower, Raft};
use crate::protocol::{Change, Context, Role};
use crate::types::{Payload, ReplicaId, Replicas, Slot, Time};

/// Rounds in which a learner must catch up.
const ROUNDS_MAX: u32 = 10;

/// Who votes, along the log.
#[derive(Debug)]
pub(super) struct Configurations {
    /// Who votes before the first change.
    first: Replicas,
    /// From which slot on who votes instead, in ascending order.
    changes: VecDeque<(Slot, Replicas)>,
}

impl Configurations {
    pub(super) fn new(first: Replicas) -> Self {
        Self { first, changes: VecDeque::new() }
    }

    /// Who votes by the last entry.
    pub(super) fn latest(&self) -> Replicas {
        self.changes.back().map_or(self.first, |&(_, voters)| voters)
    }

    /// Who votes by the entry before `slot`, which is not before the log's base.
    pub(super) fn before(&self, slot: Slot) -> Replicas {
        let earlier = self.changes.iter().rev().find(|(changed, _)| *changed < slot);
        earlier.map_or(self.first, |&(_, voters)| voters)
    }

    /// The slots in which it changes.
    pub(super) fn slots(&self) -> impl DoubleEndedIterator<Item = Slot> {
        self.changes.iter().map(|&(slot, _)| slot)
    }

    /// The log got an entry.
    pub(super) fn push(&mut self, slot: Slot, voters: Replicas) {
        if voters != self.latest() {
            self.changes.push_back((slot, voters));
        }
    }

    /// The log was cut off from `slot` on.
    pub(super) fn truncate(&mut self, from: Slot) {
        while self.changes.pop_back_if(|(slot, _)| *slot >= from).is_some() {}
    }

    /// The log holds nothing before `base` any more.
    pub(super) fn forget(&mut self, base: Slot) {
        while let Some((_, voters)) = self.changes.pop_front_if(|(slot, _)| *slot < base) {
            self.first = voters;
        }
    }

    /// The log begins at `base` now, before which these vote; all else of it was kept.
    pub(super) fn install(&mut self, base: Slot, voters: Replicas) {
        self.forget(base);
        self.first = voters;
    }

    pub(super) fn check(&self) {
        let mut before = self.first;
        for &(_, voters) in &self.changes {
            let (more, fewer) = (voters.without(before), before.without(voters));
            assert_eq!(more.len() + fewer.len(), 1, "a configuration differs by more than one");
            before = voters;
        }
        assert!(!before.is_empty());
    }
}

/// Whether these are more than half of the voters.
pub(super) fn is_majority(of: Replicas, voters: Replicas) -> bool {
    2 * of.and(voters).len() > voters.len()
}

/// A change of who votes that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    replica: ReplicaId,
    /// Whether it is to vote, or not.
    joins: bool,
    /// Where the round ends in which it catches up, when that began, and how many may follow.
    round_end: Slot,
    round_began: Time,
    rounds_left: u32,
}

impl Raft {
    /// Who does not lead leaves it to who does.
    pub(super) fn on_change<C: Context<Self>>(&mut self, change: Change, cx: &mut C) {
        if self.role != Role::Leader {
            return;
        }
        match change {
            Change::Transfer(to) => self.transfer(to, cx),
            Change::Add(replica) => self.wait_for_change(replica, true, cx),
            Change::Remove(replica) => self.wait_for_change(replica, false, cx),
        }
    }

    /// The last word of the administrator counts.
    fn wait_for_change<C: Context<Self>>(&mut self, replica: ReplicaId, joins: bool, cx: &mut C) {
        let goes_on = |waiting: Waiting| (waiting.replica, waiting.joins) == (replica, joins);
        if replica.index() >= self.replicas || self.waiting.is_some_and(goes_on) {
            return;
        }
        let (round_end, round_began) = (self.log.end(), cx.now());
        let rounds_left = ROUNDS_MAX - 1;
        self.waiting = Some(Waiting { replica, joins, round_end, round_began, rounds_left });
        self.go_on_with_change(cx);
    }

    /// Leader: begins the change that waits, once it may.
    pub(super) fn go_on_with_change<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(Waiting { replica, joins, .. }) = self.waiting else { return };
        if self.role != Role::Leader || self.transfer.is_some() || !self.may_change() {
            return;
        }
        let mut voters = self.configurations.latest();
        if voters.contains(replica) == joins || voters == Replicas::only(replica) {
            // It is so already; and without a voter nothing could ever be changed again.
            self.waiting = None;
        } else if !joins || self.has_caught_up(cx) {
            self.waiting = None;
            if joins {
                voters.insert(replica);
            } else {
                voters = voters.without(Replicas::only(replica));
            }
            self.propose(Payload::EMPTY, voters, cx);
        }
    }

    /// One change at a time, and none before an entry of the own term is committed.
    fn may_change(&self) -> bool {
        let applied = self.log.applied();
        let is_committed =
            self.configurations.slots().next_back().is_none_or(|slot| slot < applied);
        is_committed && applied > self.term_start && self.log.room() > 0
    }

    /// Whether the learner's last round was a short one. If it was long, another begins.
    fn has_caught_up<C: Context<Self>>(&mut self, cx: &C) -> bool {
        let Some(waiting) = &mut self.waiting else { return false };
        let Follower { matched, .. } = self.followers[waiting.replica.index()];
        if matched < waiting.round_end {
            return false;
        }
        if cx.now().since(waiting.round_began) < self.election_timeout_ns {
            return true;
        }
        (waiting.round_end, waiting.round_began) = (self.log.end(), cx.now());
        match waiting.rounds_left.checked_sub(1) {
            Some(left) => waiting.rounds_left = left,
            // It will not come closer.
            None => self.waiting = None,
        }
        false
    }

    /// Leader: leads no more once its removal is committed.
    pub(super) fn step_down_if_removed<C: Context<Self>>(&mut self, cx: &mut C) {
        let committed = self.configurations.before(self.log.applied());
        if committed == self.configurations.latest() && !committed.contains(self.id) {
            self.leader = None;
            self.become_follower(cx);
        }
    }

    /// Whether these are a majority of the configuration in force.
    pub(super) fn is_quorum(&self, of: Replicas) -> bool {
        is_majority(of, self.configurations.latest())
    }

    /// Whether this replica may be needed as a leader.
    pub(super) fn may_stand(&self) -> bool {
        let committed = self.configurations.before(self.log.applied());
        self.configurations.latest().contains(self.id) || committed.contains(self.id)
    }

    /// What holds of the changes of a leader.
    pub(super) fn check_changes(&self) {
        let own = || self.configurations.slots().filter(|&slot| slot > self.term_start);
        let applied = self.log.applied();
        assert!(own().filter(|&slot| slot >= applied).count() <= 1, "two changes at once");
        let is_known = applied > self.term_start;
        assert!(
            own().next().is_none() || is_known,
            "a change came before its leader's first entry"
        );
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::wire::Wire;

    fn set(replicas: &[u8]) -> Replicas {
        let mut set = Replicas::NONE;
        replicas.iter().for_each(|&id| assert!(set.insert(ReplicaId(id))));
        set
    }

    #[test]
    fn what_is_cut_off_leaves_what_was_before() {
        let mut log = Configurations::new(set(&[0, 1, 2]));
        log.push(Slot(3), set(&[0, 1, 2]));
        assert_eq!(log.slots().count(), 0);
        log.push(Slot(4), set(&[0, 1]));
        log.push(Slot(7), set(&[0, 1, 3]));
        assert_eq!([4, 5, 7, 8].map(|slot| log.before(Slot(slot)).len()), [3, 2, 2, 3]);
        log.truncate(Slot(7));
        assert_eq!(log.latest(), set(&[0, 1]));
        log.forget(Slot(5));
        assert_eq!((log.before(Slot(5)), log.slots().count()), (set(&[0, 1]), 0));
        log.truncate(Slot(5));
        assert_eq!(log.latest(), set(&[0, 1]));
    }

    #[test]
    fn majorities_of_neighbours_meet() {
        let all: Vec<Replicas> = (1..1_u16 << 5)
            .filter_map(|bits| Replicas::get(&mut &bits.to_le_bytes()[..]))
            .collect();
        let majorities = |voters| all.iter().filter(move |of| is_majority(**of, voters));
        for &old in &all {
            for &new in &all {
                if new.without(old).len() + old.without(new).len() == 1 {
                    let mut pairs = majorities(old)
                        .flat_map(|one| majorities(new).map(move |other| one.and(*other)));
                    assert!(pairs.all(|both| !both.is_empty()), "{old:?} {new:?}");
                }
            }
        }
    }
}
