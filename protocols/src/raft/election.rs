//! Elections: who may lead, and who no longer does.
//!
//! Loyalty follows section 4.2.3 of the dissertation: who hears a leader takes no notice of
//! candidates, not even of their terms. A candidate that was itself that leader is none, and none is
//! whom that leader has asked to stand ([`transfer`](super::transfer)).

use super::{Follower, Message, Raft, Record};
use crate::protocol::{Context, Role};
use crate::types::{Payload, REPLICAS_MAX, Reign as Term, ReplicaId, Replicas, Slot};

/// The last entry of a log: its term and the slot behind it. The larger one is more up to date
/// (section 5.4.1 of the paper).
type Last = (Term, Slot);

impl Raft {
    /// Tries to become the leader.
    pub(super) fn stand<C: Context<Self>>(&mut self, cx: &mut C) {
        self.set_election_timer(cx);
        // A term begins with an entry.
        if self.log.room() == 0 || !self.may_stand() {
            return;
        }
        self.role = Role::Candidate;
        self.leader = None;
        if self.pre_vote {
            self.canvassing = true;
            self.votes = Replicas::only(self.id);
            self.count_votes(cx);
            if self.canvassing {
                self.ask_for_votes(cx);
            }
        } else {
            self.campaign(false, cx);
        }
    }

    /// Begins a term and asks for votes in it; `transferred` if the leader has asked for that.
    pub(super) fn campaign<C: Context<Self>>(&mut self, transferred: bool, cx: &mut C) {
        assert!(cx.now() >= self.loyal_until, "a leader is deposed that was promised loyalty");
        (self.canvassing, self.transferred) = (false, transferred);
        self.votes = Replicas::NONE;
        self.current_term = self.current_term.next();
        self.voted_for = Some(self.id);
        let (term, candidate) = (self.current_term, self.id);
        cx.append(Record::Vote { term, candidate }, Payload::EMPTY);
        let vote = Message::RequestVoteReply { term, vote_granted: true };
        cx.send(self.id, vote, Payload::EMPTY);
        self.set_election_timer(cx);
        self.ask_for_votes(cx);
    }

    /// Asks whoever has not said yes.
    pub(super) fn ask_for_votes<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repeat_at = cx.now() + self.heartbeat_ns;
        let (last_log_term, end) = self.last();
        let (term, transferred) = (self.current_term, self.transferred);
        let voters = self.configurations.latest();
        for to in self.others() {
            if self.votes.contains(to) || !voters.contains(to) {
                continue;
            }
            if self.canvassing {
                // Begins nothing that would have to be remembered.
                let pre_vote = Message::PreVote { term: term.next(), end, last_log_term };
                cx.send_now(to, pre_vote, Payload::EMPTY);
            } else {
                // Held until the term is durable: it is never begun twice, with another log.
                let request = Message::RequestVote { term, end, last_log_term, transferred };
                cx.send(to, request, Payload::EMPTY);
            }
        }
    }

    fn last(&self) -> Last {
        (self.log.last_reign(), self.log.end())
    }

    /// Whether a leader was just heard that is not the candidate itself.
    fn is_loyal<C: Context<Self>>(&self, candidate: ReplicaId, cx: &C) -> bool {
        cx.now() < self.loyal_until && self.leader != Some(candidate)
    }

    pub(super) fn on_pre_vote<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        term: Term,
        last: Last,
        cx: &mut C,
    ) {
        if !self.may_vote() {
            return;
        }
        let vote_granted =
            term > self.current_term && last >= self.last() && !self.is_loyal(from, cx);
        let term = if vote_granted { term } else { self.current_term };
        // No vote, only a guess at one.
        cx.send_now(from, Message::PreVoteReply { term, vote_granted }, Payload::EMPTY);
    }

    pub(super) fn on_pre_vote_reply<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        term: Term,
        vote_granted: bool,
        cx: &mut C,
    ) {
        if !vote_granted {
            self.enter(term, cx);
        } else if self.role == Role::Candidate
            && self.canvassing
            && term == self.current_term.next()
        {
            self.votes.insert(from);
            self.count_votes(cx);
        }
    }

    pub(super) fn on_request_vote<C: Context<Self>>(
        &mut self,
        candidate: ReplicaId,
        term: Term,
        last: Last,
        transferred: bool,
        cx: &mut C,
    ) {
        let is_loyal = self.check_quorum && !transferred && self.is_loyal(candidate, cx);
        if !self.may_vote() || is_loyal {
            return;
        }
        self.enter(term, cx);
        let vote_granted = term == self.current_term
            && self.voted_for.is_none_or(|voted_for| voted_for == candidate)
            && last >= self.last();
        if vote_granted && self.voted_for.is_none() {
            self.voted_for = Some(candidate);
            cx.append(Record::Vote { term, candidate }, Payload::EMPTY);
            self.set_election_timer(cx);
        }
        let reply = Message::RequestVoteReply { term: self.current_term, vote_granted };
        cx.send(candidate, reply, Payload::EMPTY);
    }

    pub(super) fn on_request_vote_reply<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        term: Term,
        vote_granted: bool,
        cx: &mut C,
    ) {
        self.enter(term, cx);
        if vote_granted
            && self.role == Role::Candidate
            && !self.canvassing
            && term == self.current_term
        {
            self.votes.insert(from);
            self.count_votes(cx);
        }
    }

    fn count_votes<C: Context<Self>>(&mut self, cx: &mut C) {
        if !self.is_quorum(self.votes) {
            return;
        }
        if self.canvassing {
            self.campaign(false, cx);
        } else {
            self.lead(cx);
        }
    }

    /// A majority has voted for this replica: begins its reign with an entry that changes nothing,
    /// for only with an entry of the own term may those of earlier ones be counted as committed.
    fn lead<C: Context<Self>>(&mut self, cx: &mut C) {
        assert_eq!(self.role, Role::Candidate);
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.heard = Replicas::NONE;
        self.resign_at = cx.now() + self.election_timeout_ns;
        self.loyal_until = self.resign_at;
        let end = self.log.end();
        let follower = Follower { next: end, resume: end, ..Follower::default() };
        self.followers = [follower; REPLICAS_MAX];
        self.repeat_at = cx.now() + self.heartbeat_ns;
        self.term_start = end;
        self.lease.begin();
        self.renew_lease(self.id, cx.now().0, cx);
        self.propose(Payload::EMPTY, self.configurations.latest(), cx);
    }

    /// Resigns when no majority was heard for as long as an election takes.
    pub(super) fn check_quorum<C: Context<Self>>(&mut self, cx: &mut C) {
        if cx.now() < self.resign_at {
            return;
        }
        self.heard.insert(self.id);
        if self.check_quorum && !self.is_quorum(self.heard) {
            self.leader = None;
            self.become_follower(cx);
            return;
        }
        self.heard = Replicas::NONE;
        self.resign_at = cx.now() + self.election_timeout_ns;
        self.loyal_until = self.resign_at;
    }
}
