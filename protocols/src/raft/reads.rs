//! Gets that do not go through the log (section 6.4 of the dissertation). The leader answers them from
//! its store, once that holds all that was committed when they came: what earlier leaders committed
//! is known once the entry that began its own term is.
//!
//! * **ReadIndex.** The leader may have been deposed without knowing it. So it asks with a heartbeat,
//!   and answers when a majority has said that it still follows: whoever did so was in no later term,
//!   after the gets had come. One round serves all gets of a batch, and of those before.
//! * **Lease** (section 6.4.1). No round while nobody else can be elected, as [`Lease`] tells. It rests
//!   on the followers' loyalty, and so on `check_quorum`; and on clocks, which may run apart by
//!   `clock_drift`. A replica that learns of a later term stays loyal as long as it has promised: a
//!   term may begin while a lease lasts, only nobody may win it. A leader that has asked another to
//!   stand has released all from their loyalty, and has no lease any more in its term: it answers after
//!   a round of heartbeats, as its timer sends them.
//!
//! [`Lease`]: crate::reads::Lease

use super::{Message, Raft, is_majority};
use crate::protocol::{Context, Role};
use crate::types::{Payload, Reign as Term, ReplicaId, Replicas, Time};

/// How gets are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Through the log, as all other commands.
    Log,
    /// By the leader, after a round of heartbeats.
    ReadIndex,
    /// By the leader, while it has a lease.
    Lease,
}

impl Way {
    pub(super) const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("log", "Through the log, as all other commands."),
        ("read_index", "By the leader, after a majority has said that it still follows."),
        ("lease", "By the leader, which nobody can depose for a while; needs check_quorum."),
    ];

    pub(super) fn of(parameter: u64) -> Self {
        match parameter {
            0 => Self::Log,
            1 => Self::ReadIndex,
            _ => Self::Lease,
        }
    }
}

impl Raft {
    pub(super) fn on_reads<C: Context<Self>>(&mut self, gets: Payload, cx: &mut C) {
        if self.role != Role::Leader {
            cx.redirect(gets, self.leader.filter(|&leader| leader != self.id));
            return;
        }
        let heard = Replicas::only(self.id);
        let read_index = self.log.applied().max(self.term_start.next());
        self.reads.push(gets, heard, read_index, cx);
        if self.reads_way == Way::ReadIndex {
            for to in self.others() {
                self.send_heartbeat(to, cx);
            }
        }
    }

    /// Leader: shows that it lives, and asks whether it still leads.
    pub(super) fn send_heartbeat<C: Context<Self>>(&self, to: ReplicaId, cx: &mut C) {
        let leader_commit = self.log.applied().min(self.followers[to.index()].matched);
        let (term, sent, round) = (self.current_term, cx.now().0, self.reads.next_id());
        // Promises nothing about the disk: the term was made durable to become the leader.
        cx.send_now(to, Message::Heartbeat { term, leader_commit, sent, round }, Payload::EMPTY);
    }

    pub(super) fn answer_heartbeat<C: Context<Self>>(
        &self,
        to: ReplicaId,
        sent: u64,
        round: u64,
        cx: &mut C,
    ) {
        let reply = Message::HeartbeatReply { term: self.current_term, sent, round };
        if self.reads_way == Way::Lease {
            // Promises loyalty, of which a replica that comes back knows by its term.
            cx.send(to, reply, Payload::EMPTY);
        } else {
            // Says only that this replica lives, and in which term.
            cx.send_now(to, reply, Payload::EMPTY);
        }
    }

    pub(super) fn on_heartbeat_reply<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        term: Term,
        sent: u64,
        round: u64,
        cx: &mut C,
    ) {
        if self.hear_follower(from, term, cx) {
            self.reads.hear_before(round, from);
            self.renew_lease(from, sent, cx);
        }
    }

    pub(super) fn renew_lease<C: Context<Self>>(&mut self, from: ReplicaId, sent: u64, cx: &C) {
        if self.reads_way == Way::Lease {
            let voters = self.configurations.latest();
            let quorum = (voters, voters.len() / 2 + 1);
            self.lease.renew(self.id, from, Time(sent), quorum, cx.now());
        }
    }

    /// Answers what may be answered. Called at the end of each step.
    pub(super) fn serve_reads<C: Context<Self>>(&mut self, cx: &mut C) {
        match self.reads_way {
            Way::Log => {}
            Way::ReadIndex | Way::Lease if self.role != Role::Leader => {
                let leader = self.leader.filter(|&leader| leader != self.id);
                self.reads.redirect(leader, cx);
            }
            Way::ReadIndex | Way::Lease => {
                let voters = self.configurations.latest();
                // One that has given up its lease asks as it would without.
                let alone = self.reads_way == Way::Lease && self.lease.holds(cx.now());
                let is_enough = |heard| alone || is_majority(heard, voters);
                self.reads.serve(self.log.applied(), is_enough, cx);
            }
        }
    }

    /// A replica that has just started may have promised its loyalty before.
    pub(super) fn stay_loyal<C: Context<Self>>(&mut self, cx: &C) {
        if self.reads_way == Way::Lease && self.current_term > Term::ZERO {
            self.loyal_until = cx.now() + self.election_timeout_ns;
        }
    }
}
