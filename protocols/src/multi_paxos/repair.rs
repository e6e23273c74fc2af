//! Coming back without what was promised: a replica whose disk was lost or damaged.
//!
//! Such a replica may have promised any ballot and voted for anything, so it answers no `Prepare`
//! and no `Accept`. It follows as a learner, and asks the others until all have answered in this
//! life (the words are those of Liskov and Cowling, *Viewstamped Replication Revisited*, 2012,
//! section 4.3). Then it opens a ballot of its own, which must be promised by **all** of them.
//!
//! Why this is enough. A candidate to which it promised a higher ballot is one of the others, and
//! does not promise a lower one. A value that was chosen with its vote has another vote among the
//! others, if a phase-2 quorum is two replicas or more, and phase 1 finds it. From its own ballot on
//! it knows everything that it promises. Bytes that it sent before are gone: a connection is made
//! anew by each life, and ends the one before, so after an answer nothing older comes.

use super::{Lost, Message, MultiPaxos, Record};
use crate::protocol::{Context, Role};
use crate::types::{Ballot, Payload, ReplicaId, Slot};

impl MultiPaxos {
    /// Asks whoever has not answered; after a ballot that not all have promised in time everybody,
    /// as somebody may be gone.
    pub(super) fn ask_again<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.role == Role::Candidate {
            self.follow(self.promised, cx);
            self.lost = Some(Lost::default());
        }
        self.repeat_at = cx.now() + self.heartbeat_ns;
        let answered = self.lost.unwrap_or_default().answered;
        for to in self.others().filter(|&to| !answered.contains(to)) {
            // A question promises nothing.
            cx.send_now(to, Message::Recovery {}, Payload::EMPTY);
        }
        let count = u64::try_from(self.replicas - 1).expect("a few");
        let any = usize::try_from(cx.random() % count).expect("below a few");
        if self.log.applied() < self.lost.unwrap_or_default().until
            && let Some(of) = self.others().nth(any)
        {
            self.ask_to_learn(of, cx);
        }
        self.campaign_if_all_answered(cx);
    }

    pub(super) fn on_recovery<C: Context<Self>>(&mut self, from: ReplicaId, cx: &mut C) {
        if self.lost.is_none() {
            let response =
                Message::RecoveryResponse { promised: self.promised, applied: self.log.applied() };
            cx.send(from, response, Payload::EMPTY);
        }
    }

    pub(super) fn on_recovery_response<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        promised: Ballot,
        applied: Slot,
        cx: &mut C,
    ) {
        let Some(lost) = &mut self.lost else { return };
        lost.answered.insert(from);
        lost.until = lost.until.max(applied);
        if promised > self.promised {
            self.follow(promised, cx);
            cx.append(Record::Promised { ballot: promised }, Payload::EMPTY);
        }
        if self.log.applied() < applied {
            self.ask_to_learn(from, cx);
        }
        self.campaign_if_all_answered(cx);
    }

    /// Opens a ballot once everybody is there and this replica is not far behind: meanwhile nobody
    /// else leads.
    pub(super) fn campaign_if_all_answered<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(lost) = self.lost else { return };
        let all = self.others().all(|other| lost.answered.contains(other));
        if all && self.role == Role::Follower && self.log.applied() >= lost.until {
            self.campaign(cx);
        }
    }
}
