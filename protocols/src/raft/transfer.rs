//! Leadership transfer (section 3.10 of the dissertation): the leader takes no more requests, lets a
//! follower have all its entries, and asks it to stand. That one begins an election at once, without
//! asking first whether it could win, and says in its requests that the leader wants it so: then nobody
//! refuses out of loyalty (section 4.2.3). If nothing comes of it for as long as an election takes, the
//! leader goes on.
//!
//! The message that asks may come late, in the same term, when the leader has gone on. So a lease
//! (section 6.4.1) ends for good when it is sent.

use super::{Follower, Message, Raft};
use crate::protocol::{Context, Role};
use crate::types::{Payload, Reign as Term, ReplicaId, Time};

/// A transfer that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    /// Who is to lead.
    to: ReplicaId,
    /// When the leader goes on by itself.
    until: Time,
    /// Whether `to` was asked to stand.
    asked: bool,
}

impl Raft {
    /// Leader: begins to hand its leadership over to one that votes.
    pub(super) fn transfer<C: Context<Self>>(&mut self, to: ReplicaId, cx: &mut C) {
        let votes = self.configurations.latest().contains(to);
        if to == self.id || !votes || self.transfer.is_some() {
            return;
        }
        let until = cx.now() + self.election_timeout_ns;
        self.transfer = Some(Transfer { to, until, asked: false });
        self.hand_over(cx);
    }

    /// Leader: asks the target to stand as soon as it holds everything.
    pub(super) fn hand_over<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(Transfer { to, asked: false, .. }) = self.transfer else { return };
        let Follower { matched, .. } = self.followers[to.index()];
        if matched < self.log.end() {
            return;
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.asked = true;
        }
        self.lease.give_up();
        // Promises nothing: the target counts votes as every candidate does.
        cx.send_now(to, Message::TimeoutNow { term: self.current_term }, Payload::EMPTY);
    }

    /// Leader: asks again, or goes on by itself.
    pub(super) fn go_on_with_transfer<C: Context<Self>>(&mut self, cx: &mut C) {
        self.transfer = self.transfer.filter(|transfer| cx.now() < transfer.until);
        if let Some(transfer) = &mut self.transfer {
            transfer.asked = false;
        }
        self.hand_over(cx);
    }

    /// Follower: the leader asks it to stand.
    pub(super) fn on_timeout_now<C: Context<Self>>(&mut self, term: Term, cx: &mut C) {
        let follows = self.role == Role::Follower && term == self.current_term;
        if follows && self.may_vote() && self.may_stand() && self.log.room() > 0 {
            (self.role, self.leader) = (Role::Candidate, None);
            self.loyal_until = Time(0);
            self.campaign(true, cx);
        }
    }
}
