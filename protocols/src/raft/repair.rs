//! Coming back without what was promised: a replica whose disk was lost or damaged.
//!
//! Such a replica may have voted for anyone and acknowledged anything. It asks the others until all
//! have answered in this life (the words are those of Liskov and Cowling, *Viewstamped Replication
//! Revisited*, 2012, section 4.3), and until then neither votes nor follows. Then it enters the term
//! after the highest of theirs. There it follows, but votes only once its log has an entry of that
//! term or a later one. Telling a present leader of the new term makes it resign, so there will be one.
//!
//! Why this is enough. Who got its vote, and whose entries it acknowledged, is one of the others and
//! had made that term durable; so in the new term it has promised nothing. An entry that was
//! committed with its help is on the disk of another one. Leaders are elected without its vote
//! meanwhile, and among those who elect one is somebody with that entry: each majority without it
//! meets each majority with it in another replica. So the leader's log in the new term has the entry,
//! and with it the log that this replica gets. Bytes that it sent before are gone: a connection is made
//! anew by each life, and ends the one before, so after an answer nothing older comes.
//!
//! Of two replicas neither is a majority without the other. There the only other one gets the vote
//! whatever its log is: nobody else has anything.
//!
//! A change of who votes ([`membership`](super::membership)) keeps all this, for majorities before and
//! after it meet as well, in another replica where the lost one votes no more. But where only two of
//! more replicas vote, and one of those is lost, nobody is elected: it would have to be known that the
//! two voted alone when it was lost.

use super::{Message, Raft};
use crate::protocol::Context;
use crate::types::{Payload, Reign as Term, ReplicaId};

impl Raft {
    /// Whether the others have not all answered yet: until then this replica takes no part.
    pub(super) fn is_deaf(&self) -> bool {
        self.lost.is_some_and(|lost| self.others().any(|other| !lost.answered.contains(other)))
    }

    /// Whether this replica's vote is worth anything.
    pub(super) fn may_vote(&self) -> bool {
        self.lost.is_none() || (self.replicas == 2 && !self.is_deaf())
    }

    /// Asks whoever has not answered.
    pub(super) fn ask_again<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repeat_at = cx.now() + self.heartbeat_ns;
        let answered = self.lost.unwrap_or_default().answered;
        for to in self.others().filter(|&to| !answered.contains(to)) {
            // A question promises nothing.
            cx.send_now(to, Message::Recovery {}, Payload::EMPTY);
        }
    }

    pub(super) fn on_recovery<C: Context<Self>>(&mut self, from: ReplicaId, cx: &mut C) {
        if self.lost.is_none() {
            let term = self.current_term;
            cx.send(from, Message::RecoveryResponse { term }, Payload::EMPTY);
        }
    }

    pub(super) fn on_recovery_response<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        term: Term,
        cx: &mut C,
    ) {
        if !self.is_deaf() {
            return;
        }
        let Some(lost) = &mut self.lost else { return };
        lost.answered.insert(from);
        lost.term = lost.term.max(term);
        let above = lost.term.next();
        if !self.is_deaf() {
            self.enter(above, cx);
        }
    }

    /// An entry of a term that nobody had reached brings everything that was ever promised.
    pub(super) fn note_repair(&mut self) {
        if self.lost.is_some_and(|lost| !self.is_deaf() && self.log.last_reign() > lost.term) {
            self.lost = None;
        }
    }
}
