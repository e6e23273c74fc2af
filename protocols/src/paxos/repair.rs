//! Coming back without what was promised: a replica whose disk was lost or damaged.
//!
//! Such a replica may have promised and voted for anything in every slot that it took part in, so it
//! answers no `Prepare` and no `Accept` of others. It asks them until all have answered in this life
//! (the words are those of Liskov and Cowling, *Viewstamped Replication Revisited*, 2012, section 4.3)
//! from which slot on they have proposed, promised and voted nothing. When everything below the
//! highest of these slots is decided and applied, it takes part again. What nobody else decides below
//! it decides itself, with ballots that **all** others must have promised.
//!
//! Why this is enough. For each slot in which it voted, the proposer had promises of a majority: at
//! least one other replica's, durable, which that one answers with. A proposer that counts on a mere
//! promise of its own lives and answers with the slot, or is dead and its ballot with it. So above the
//! bound there is nothing to be kept. Below it a value that was chosen with its vote has another vote
//! among the others, which phase 1 finds; and a proposer that it promised a higher ballot is one of the
//! others, and does not promise a lower one. Bytes that it sent before are gone: a connection is made
//! anew by each life, and ends the one before, so after an answer nothing older comes. It does not
//! know its lives either: it may open a ballot again that it opened before, but then whoever voted in
//! it is among those who must promise it now, and what they voted for is what it proposes.

use super::{Message, Paxos};
use crate::protocol::Context;
use crate::types::{Payload, ReplicaId, Slot};

impl Paxos {
    /// Asks whoever has not answered, if anything was lost.
    pub(super) fn recover<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(lost) = self.lost else { return };
        for to in self.others().filter(|&to| !lost.answered.contains(to)) {
            // A question promises nothing.
            cx.send_now(to, Message::Recovery {}, Payload::EMPTY);
        }
    }

    pub(super) fn on_recovery<C: Context<Self>>(&mut self, from: ReplicaId, cx: &mut C) {
        if self.lost.is_none() {
            let (tail, applied) = (self.next(), self.log.applied());
            cx.send(from, Message::RecoveryResponse { tail, applied }, Payload::EMPTY);
        }
    }

    pub(super) fn on_recovery_response<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        tail: Slot,
        applied: Slot,
        cx: &mut C,
    ) {
        let Some(lost) = &mut self.lost else { return };
        lost.answered.insert(from);
        lost.until = lost.until.max(tail);
        self.hear_applied(from, applied, cx);
        self.be_whole();
    }

    /// Takes part again once all others have answered and all that they know of is decided.
    pub(super) fn be_whole(&mut self) {
        let Some(lost) = self.lost else { return };
        let all = self.others().all(|other| lost.answered.contains(other));
        if all && self.log.applied() >= lost.until {
            self.lost = None;
        }
    }
}
