//! Up to where each replica has the leader's log: for protocols whose acknowledgements cover
//! everything before.

use crate::types::{REPLICAS_MAX, ReplicaId, Replicas, Slot};

/// What each replica has acknowledged since the leader began.
#[derive(Clone, Copy, Debug)]
pub struct Acks {
    /// The first slot that is not acknowledged. Never decreases.
    until: [Slot; REPLICAS_MAX],
    /// The same when the leader last looked for those who do not move.
    until_before: [Slot; REPLICAS_MAX],
    /// Who has acknowledged anything, if only that the log is empty.
    present: Replicas,
}

impl Acks {
    /// Nobody has acknowledged anything.
    pub const NONE: Self = Self {
        until: [Slot(0); REPLICAS_MAX],
        until_before: [Slot(0); REPLICAS_MAX],
        present: Replicas::NONE,
    };

    /// `replica` has everything below `until`.
    pub fn note(&mut self, replica: ReplicaId, until: Slot) {
        self.present.insert(replica);
        let place = &mut self.until[replica.index()];
        *place = (*place).max(until);
    }

    /// Who has acknowledged anything.
    #[must_use]
    pub const fn present(&self) -> Replicas {
        self.present
    }

    /// The first slot that `quorum` replicas do not all have.
    #[must_use]
    pub fn reached_by(&self, quorum: usize) -> Slot {
        let mut until = self.until;
        until.sort_unstable();
        until[REPLICAS_MAX - quorum]
    }

    /// The same of so many of these replicas.
    #[must_use]
    pub fn reached_among(&self, replicas: Replicas, quorum: usize) -> Slot {
        let mut among = Self::NONE;
        for replica in replicas.iter() {
            among.note(replica, self.until[replica.index()]);
        }
        among.reached_by(quorum)
    }

    /// The first slot that `replica` does not have, if it had no more when this was last asked: what
    /// was sent meanwhile is probably lost.
    pub fn stalled_at(&mut self, replica: ReplicaId) -> Option<Slot> {
        let until = self.until[replica.index()];
        let before = core::mem::replace(&mut self.until_before[replica.index()], until);
        (before == until && self.present.contains(replica)).then_some(until)
    }

    /// The furthest that any replica has come.
    #[must_use]
    pub fn furthest(&self) -> Slot {
        self.until.iter().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_has_what_its_slowest_member_has() {
        let mut acks = Acks::NONE;
        for (replica, until) in [(0, 7), (1, 3), (2, 5), (1, 2)] {
            acks.note(ReplicaId(replica), Slot(until));
        }
        assert_eq!([1, 2, 3, 4].map(|quorum| acks.reached_by(quorum).0), [7, 5, 3, 0]);
        assert_eq!(acks.reached_among(Replicas::first(2), 2), Slot(3));
        assert_eq!(acks.reached_among(Replicas::first(2), 3), Slot(0));
        assert_eq!(acks.present(), Replicas::first(3));
    }

    #[test]
    fn who_does_not_move_is_stalled() {
        let mut acks = Acks::NONE;
        assert_eq!(acks.stalled_at(ReplicaId(1)), None, "it is not there");
        acks.note(ReplicaId(1), Slot(4));
        assert_eq!(acks.stalled_at(ReplicaId(1)), None);
        assert_eq!(acks.stalled_at(ReplicaId(1)), Some(Slot(4)));
    }
}
