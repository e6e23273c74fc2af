//! Gets that do not go through the log.
//!
//! * **Lease.** A follower that has heard the leader promises to no one else for an election
//!   time-out on its own clock. Once a phase-2 quorum has answered a heartbeat, so that no phase-1
//!   quorum is left without one of them, nobody else can lead until that long after the heartbeat was
//!   *sent*, and the leader answers from its store. Clocks may run apart by `clock_drift`. What was
//!   promised so must outlive a crash: a replica that starts is loyal to nobody in particular for as
//!   long. (Gray and Cheriton, *Leases*, SOSP 1989; Chandra, Griesemer and Redstone, *Paxos Made
//!   Live*, PODC 2007, section 5.2.)
//! * **Quorum.** Any replica asks so many others that they meet every phase-2 quorum where their
//!   votes end, and answers once it has applied all of that (Charapko, Ailijiani and Demirbas,
//!   *Linearizable Quorum Reads in Paxos*, HotStorage 2019; waiting is the paper's rinse phase).

use super::{Message, MultiPaxos};
use crate::protocol::{Context, Role};
use crate::types::{Ballot, Payload, ReplicaId, Replicas, Time};

/// How gets are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Through the log, as all other commands.
    Log,
    /// By the leader, while it has a lease.
    Lease,
    /// By any replica that has asked a quorum.
    Quorum,
}

impl Way {
    pub(super) const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("log", "Through the log, as all other commands."),
        ("lease", "By the leader, which nobody can depose for a while."),
        ("quorum", "By any replica, after asking a quorum (Paxos Quorum Reads)."),
    ];

    pub(super) fn of(parameter: u64) -> Self {
        match parameter {
            0 => Self::Log,
            1 => Self::Lease,
            _ => Self::Quorum,
        }
    }
}

impl MultiPaxos {
    pub(super) fn on_reads<C: Context<Self>>(&mut self, gets: Payload, cx: &mut C) {
        match self.reads_way {
            Way::Log => unreachable!("gets come among all requests"),
            Way::Lease if self.role == Role::Leader => {
                self.reads.push(gets, Replicas::NONE, self.reign_start, cx);
            }
            Way::Lease => cx.redirect(gets, self.leader.filter(|&leader| leader != self.id)),
            Way::Quorum => {
                let mut heard = Replicas::NONE;
                // A replica that has lost its votes does not know where they ended.
                if self.lost.is_none() {
                    heard.insert(self.id);
                }
                let id = self.reads.push(gets, heard, self.log.tail(), cx);
                for to in self.others() {
                    // A question promises nothing.
                    cx.send_now(to, Message::QuorumRead { id }, Payload::EMPTY);
                }
            }
        }
    }

    pub(super) fn on_quorum_read<C: Context<Self>>(&self, from: ReplicaId, id: u64, cx: &mut C) {
        if self.lost.is_none() {
            // A vote that is not durable yet only makes the answer wait for more.
            let reply =
                Message::QuorumReadReply { id, until: self.log.tail().max(self.log.applied()) };
            cx.send_now(from, reply, Payload::EMPTY);
        }
    }

    /// Answers what may be answered. Called at the end of each step.
    pub(super) fn serve_reads<C: Context<Self>>(&mut self, cx: &mut C) {
        match self.reads_way {
            Way::Log => {}
            Way::Lease if self.role != Role::Leader => {
                let leader = self.leader.filter(|&leader| leader != self.id);
                self.reads.redirect(leader, cx);
            }
            Way::Lease => {
                if self.lease.holds(cx.now()) {
                    self.reads.serve(self.log.applied(), |_| true, cx);
                }
            }
            Way::Quorum => self.serve_quorum_reads(cx),
        }
    }

    fn serve_quorum_reads<C: Context<Self>>(&mut self, cx: &mut C) {
        let quorum = self.replicas - self.phase2_quorum + 1;
        self.reads.serve(self.log.applied(), |heard| heard.len() >= quorum, cx);
        let everyone = Replicas::first(self.replicas);
        let id = self.id;
        self.reads.ask_again(cx.now(), self.heartbeat_ns, |question, heard| {
            for to in everyone.without(heard).iter().filter(|&to| to != id) {
                // A question promises nothing.
                cx.send_now(to, Message::QuorumRead { id: question }, Payload::EMPTY);
            }
        });
        if self.reads.lacks(self.log.applied())
            && let Some(leader) = self.leader.filter(|&leader| leader != id)
        {
            self.ask_to_learn(leader, cx);
        }
    }

    /// When an unanswered question of a read is asked again.
    pub(super) fn reads_deadline(&self) -> Time {
        match self.reads_way {
            Way::Quorum => self.reads.ask_at(self.heartbeat_ns),
            Way::Log | Way::Lease => Time::NEVER,
        }
    }

    /// A follower has answered the heartbeat that was sent then, so it is loyal until long after.
    pub(super) fn renew_lease<C: Context<Self>>(&mut self, from: ReplicaId, sent: u64, cx: &C) {
        if self.reads_way == Way::Lease {
            let quorum = (Replicas::first(self.replicas), self.phase2_quorum);
            self.lease.renew(self.id, from, Time(sent), quorum, cx.now());
        }
    }

    /// A new leader has no lease yet, and answers no get before it has applied what others may have
    /// had chosen.
    pub(super) fn begin_reign<C: Context<Self>>(&mut self, cx: &C) {
        self.reign_start = self.next;
        self.lease.begin();
        // Alone it needs no answer.
        self.renew_lease(self.id, cx.now().0, cx);
    }

    /// Whether a replica that has just started may have promised its loyalty before.
    pub(super) fn stay_loyal<C: Context<Self>>(&mut self, cx: &C) {
        if self.reads_way == Way::Lease && self.promised > Ballot::ZERO {
            self.loyal_until = cx.now() + self.election_timeout_ns;
        }
    }
}
