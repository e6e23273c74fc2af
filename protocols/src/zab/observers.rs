//! Observers: replicas that follow and never vote, so that reads scale and the quorum does not grow
//! (ZooKeeper's observers, ZOOKEEPER-368, and their guide in its documentation).
//!
//! An observer takes part in no election: it waits until it hears a leader's ping. It then follows as
//! others do, through discovery and synchronization, and is sent each transaction once that is committed,
//! in one message (`Inform`), and no proposals. What gets lost it fetches when a ping tells of it.
//!
//! Nothing that it says is counted. A leader takes it in only after a majority of voters has begun
//! its epoch: so whatever epoch an observer has accepted, a later leader hears of that one or a later
//! one from a voter, and opens one above. Its acknowledgement of pings tells the leader that it is
//! there.

use super::{Message, Zab};
use crate::catch_up::Early;
use crate::protocol::Context;
use crate::types::{Reign, ReplicaId, Slot, Time};

impl Zab {
    /// Whether a replica follows without a vote: the last ones do.
    pub(super) const fn is_observer(&self, replica: ReplicaId) -> bool {
        replica.index() >= self.voters
    }

    /// An observer has lost its leader: it waits for the ping of another.
    pub(super) fn await_ping(&mut self) {
        (self.repeat_at, self.suspect_at) = (Time::NEVER, Time::NEVER);
    }

    /// The leader: what a majority of voters has by now goes to observers, proposal and commit in one.
    pub(super) fn inform<C: Context<Self>>(&self, committed: Slot, cx: &mut C) {
        if self.observers.is_empty() {
            return;
        }
        let news = self.log.entries(self.committed).take_while(|&(zxid, _)| zxid < committed);
        for (zxid, entry) in news {
            let (epoch, proposed_in) = (self.current_epoch, entry.reign);
            for to in self.observers.iter() {
                // That something is committed rests on a majority's disks, not on this one.
                cx.send_now(to, Message::Inform { epoch, zxid, proposed_in }, entry.batch);
            }
        }
    }

    /// A transaction that is committed.
    pub(super) fn on_inform<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        entry: Early,
        cx: &mut C,
    ) {
        if !self.hear_leader(from, epoch, cx) {
            return;
        }
        self.take(entry, cx);
        self.advance(entry.slot.next(), false, cx);
        if self.log.end() <= entry.slot {
            // Something before it is missing.
            self.fetch(from, cx);
        }
    }

    /// Whether the observer turns to who leads now, as another has opened a later epoch than it knew.
    pub(super) fn turns_to<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        epoch: Reign,
        cx: &mut C,
    ) -> bool {
        let is_other = self.leader != Some(from) && self.owner_of(epoch) == from;
        let turns = self.is_observer(self.id) && is_other && epoch > self.accepted_epoch;
        if turns {
            self.follow(from, cx);
        }
        turns
    }
}
