//! Weighted votes: how many each replica has, and how many a quorum needs.

use crate::protocol::Conflict;
use crate::types::{REPLICAS_MAX, ReplicaId, Replicas};

/// The votes of each replica. A replica without votes is what Gifford calls a weak representative: it
/// stores and answers, and no quorum needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Votes([u8; REPLICAS_MAX]);

impl Votes {
    /// Votes as a parameter writes them: one decimal digit for each replica, the first replica
    /// first, or 0 for one vote each. `None` if there is not one digit for each.
    #[must_use]
    pub fn read(parameter: u64, replicas: usize) -> Option<Self> {
        let mut votes = [0; REPLICAS_MAX];
        if parameter == 0 {
            votes[..replicas].fill(1);
            return Some(Self(votes));
        }
        let mut rest = parameter;
        for place in votes[..replicas].iter_mut().rev() {
            if rest == 0 {
                return None;
            }
            *place = u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        (rest == 0).then_some(Self(votes))
    }

    /// The votes that these replicas have together.
    #[must_use]
    pub fn of(&self, replicas: Replicas) -> u64 {
        replicas.iter().map(|ReplicaId(id)| u64::from(self.0[usize::from(id)])).sum()
    }

    /// The votes of all replicas together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().copied().map(u64::from).sum()
    }

    /// The fewest replicas that may have so many votes, and how many surely have: for those who
    /// count what may be down.
    #[must_use]
    pub fn replicas(&self, replicas: usize, votes: u64) -> (usize, usize) {
        let mut ascending = self.0;
        ascending[..replicas].sort_unstable();
        let until = |votes_of: &mut dyn Iterator<Item = &u8>| {
            let mut sum = 0;
            let is_short = |&&votes_of: &&u8| {
                let short = sum < votes;
                sum += u64::from(votes_of);
                short
            };
            votes_of.take_while(is_short).count()
        };
        let of_all = &ascending[..replicas];
        (until(&mut of_all.iter().rev()), until(&mut of_all.iter()))
    }
}

/// What a read and a write need.
#[derive(Clone, Copy, Debug)]
pub struct Quorums {
    /// The votes of each replica.
    pub votes: Votes,
    /// Votes that a read needs.
    pub read: u64,
    /// Votes that a write needs.
    pub write: u64,
    /// The votes of all replicas that hold a key.
    pub total: u64,
}

impl Quorums {
    /// Quorums as parameters write them, where 0 is a majority of the votes. If `copies` is not 0, so
    /// many replicas hold a key, with one vote each.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn read(
        replicas: usize,
        read: u64,
        write: u64,
        votes: u64,
        copies: u64,
    ) -> Result<Self, Conflict> {
        if copies > replicas as u64 {
            return Err(Conflict {
                parameter: "copies",
                rule: "must not be more than cluster.replicas",
                instead: "lower it, or write 0, and every replica holds every key",
            });
        }
        if copies > 0 && votes > 0 {
            return Err(Conflict {
                parameter: "votes",
                rule: "must be 0 if copies are set: those who hold a key have one vote each",
                instead: "remove one of the two",
            });
        }
        let Some(votes) = Votes::read(votes, replicas) else {
            return Err(Conflict {
                parameter: "votes",
                rule: "must have one digit for each of cluster.replicas, the first not 0",
                instead: "write as many digits as replicas, such as 211 for three, or 0",
            });
        };
        let total = if copies == 0 { votes.total() } else { copies };
        for (parameter, needed) in [("read_quorum", read), ("write_quorum", write)] {
            if needed > total {
                return Err(Conflict {
                    parameter,
                    rule: "must not be more than the votes of all replicas of a key together",
                    instead: "lower it, or give replicas more votes, or keys more copies",
                });
            }
        }
        let or_majority = |needed| if needed == 0 { total / 2 + 1 } else { needed };
        Ok(Self { votes, read: or_majority(read), write: or_majority(write), total })
    }

    /// Whether each read quorum has a replica in common with each write quorum.
    #[must_use]
    pub fn meet(&self) -> bool {
        self.read + self.write > self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(count: usize) -> Replicas {
        Replicas::first(count)
    }

    #[test]
    fn votes_are_digits() {
        let votes = Votes::read(211, 3).expect("three digits");
        assert_eq!([0, 1, 2, 3].map(|count| votes.of(first(count))), [0, 2, 3, 4]);
        assert_eq!(Votes::read(0, 3), Votes::read(111, 3));
        assert_eq!(Votes::read(100, 3).map(|votes| votes.total()), Some(1));
        assert_eq!(Votes::read(999_999_999, 9).map(|votes| votes.total()), Some(81));
        for (digits, replicas) in [(11, 3), (1111, 3), (1, 9), (12, 1)] {
            assert_eq!(Votes::read(digits, replicas), None);
        }
    }

    /// Gifford 1979, section 3: the three examples, and two whose quorums do not meet.
    #[test]
    fn quorums_meet_when_their_votes_are_more_than_all() {
        for (votes, read, write, meet) in [
            (100, 1, 1, true),
            (211, 2, 3, true),
            (111, 1, 3, true),
            (211, 2, 2, false),
            (0, 1, 2, false),
        ] {
            let quorums = Quorums::read(3, read, write, votes, 0).expect("they are possible");
            assert_eq!(quorums.meet(), meet, "{votes} {read} {write}");
        }
        let defaults = Quorums::read(3, 0, 0, 311, 0).expect("they are possible");
        assert_eq!((defaults.read, defaults.write), (3, 3));
    }

    #[test]
    fn quorums_of_more_than_all_votes_cannot_be() {
        let parameter = |read, write, votes| {
            Quorums::read(3, read, write, votes, 0).err().map(|conflict| conflict.parameter)
        };
        assert_eq!(parameter(4, 1, 0), Some("read_quorum"));
        assert_eq!(parameter(1, 5, 211), Some("write_quorum"));
        assert_eq!(parameter(1, 1, 21), Some("votes"));
        assert_eq!(parameter(4, 4, 211), None);
    }

    #[test]
    fn quorums_of_copies_are_of_those_who_hold_a_key() {
        let quorums = Quorums::read(5, 0, 0, 0, 3).expect("they are possible");
        assert_eq!((quorums.read, quorums.write, quorums.meet()), (2, 2, true));
        let meet = |read, write| Quorums::read(5, read, write, 0, 3).is_ok_and(|q| q.meet());
        assert_eq!([meet(1, 2), meet(1, 3)], [false, true]);
        let parameter = |write, votes, copies| {
            Quorums::read(5, 1, write, votes, copies).err().map(|conflict| conflict.parameter)
        };
        assert_eq!(parameter(1, 0, 6), Some("copies"));
        assert_eq!(parameter(1, 11_111, 3), Some("votes"));
        assert_eq!(parameter(4, 0, 3), Some("write_quorum"));
    }

    #[test]
    fn few_replicas_may_be_enough_and_more_surely_are() {
        let replicas =
            |votes, needed| Votes::read(votes, 3).expect("three digits").replicas(3, needed);
        assert_eq!(replicas(211, 2), (1, 2));
        assert_eq!(replicas(211, 3), (2, 3));
        assert_eq!(replicas(100, 1), (1, 3));
        assert_eq!(replicas(111, 2), (2, 2));
    }
}
