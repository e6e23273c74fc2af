//! The steady state: the leader's log grows, the others' logs follow, and what a majority holds is
//! committed.
//!
//! A leader sends each entry at once and goes on as if it had arrived. When a follower finds that the
//! entry before is missing or another one, or nothing more is acknowledged for a heartbeat, the leader
//! goes back and *probes*: one entry at a time, until one fits.

use super::{Append, Follower, Message, Raft, Record};
use crate::protocol::{Context, Role};
use crate::types::{Payload, REPLICAS_MAX, Reign as Term, ReplicaId, Replicas, Slot};

/// Entries that a follower is sent beyond the window before it has acknowledged any.
const CATCH_UP_SLOTS: u64 = 32;

impl Raft {
    pub(super) fn on_requests<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        if self.role != Role::Leader {
            let leader = self.leader.filter(|&leader| leader != self.id);
            cx.redirect(batch, leader);
            return;
        }
        self.propose(batch, self.configurations.latest(), cx);
    }

    /// Leader: adds an entry to the log and to those of all others. From here on these vote.
    pub(super) fn propose<C: Context<Self>>(
        &mut self,
        batch: Payload,
        voters: Replicas,
        cx: &mut C,
    ) {
        assert_eq!(self.role, Role::Leader);
        let (slot, term) = (self.log.end(), self.current_term);
        self.log.push(term, batch, cx);
        self.configurations.push(slot, voters);
        for to in self.others() {
            self.send_entries(to, cx);
        }
        cx.append(Record::Entry { slot, term, applied: self.log.applied(), voters }, batch);
        // The leader's disk counts like any other: once it has written.
        let next = self.log.end();
        cx.send(self.id, agreement(term, slot, next), Payload::EMPTY);
    }

    /// Leader: sends what a follower has not been sent yet, as far as it may.
    fn send_entries<C: Context<Self>>(&mut self, to: ReplicaId, cx: &mut C) {
        let ahead_max = self.window as u64 + CATCH_UP_SLOTS;
        let Follower { resume, next, probing, .. } = self.followers[to.index()];
        if probing {
            return;
        }
        let until = self.log.end().min(resume + ahead_max);
        if next == resume {
            self.followers[to.index()].asked_at = cx.now();
        }
        let mut slot = next;
        while slot < until {
            slot = self.send_entry(to, slot, cx).next();
        }
        self.followers[to.index()].next = slot.min(self.log.end());
    }

    /// Leader: sends the entry of a slot, or only asks when there is none. Returns the slot.
    fn send_entry<C: Context<Self>>(&mut self, to: ReplicaId, slot: Slot, cx: &mut C) -> Slot {
        // Of what was forgotten nothing can be asked; the answer will show that it was needed.
        let slot = slot.max(self.log.base());
        let entry = self.log.get(slot).copied().unwrap_or_default();
        let append = Message::AppendEntries {
            term: self.current_term,
            slot,
            prev_log_term: self.log.reign_before(slot).expect("from the base on"),
            entry_term: entry.reign,
            leader_commit: self.log.applied(),
            prev_voters: self.configurations.before(slot),
            voters: self.configurations.before(slot.next()),
        };
        // Says nothing about the leader's disk: its own agreement is a message of its own.
        cx.send_now(to, append, entry.batch);
        slot
    }

    /// Leader: finds out whether the logs agree below `next`.
    fn probe<C: Context<Self>>(&mut self, to: ReplicaId, next: Slot, cx: &mut C) {
        let asked = self.send_entry(to, next, cx);
        let follower = &mut self.followers[to.index()];
        (follower.next, follower.resume, follower.probing) = (asked, next, true);
        follower.asked_at = cx.now();
    }

    pub(super) fn on_append_entries<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        append: Append,
        batch: Payload,
        cx: &mut C,
    ) {
        let Append { term, slot, prev_log_term, entry_term, leader_commit, .. } = append;
        if !self.hear_leader(from, term, cx) {
            if term < self.current_term {
                // Promises nothing: it only tells the term.
                cx.send_now(from, self.disagreement(slot), Payload::EMPTY);
            }
            return;
        }
        if slot == self.stored {
            self.settle(prev_log_term, append.prev_voters, cx);
        }
        if !self.agrees(slot, prev_log_term) {
            // Held until the term is durable: what the leader does then is done for a follower of
            // this term.
            cx.send(from, self.disagreement(slot), Payload::EMPTY);
            return;
        }
        let mut verified = slot;
        if entry_term > Term::ZERO {
            if !self.accept(slot, entry_term, append.voters, batch, cx) {
                return;
            }
            verified = slot.next();
        }
        self.commit(leader_commit.min(verified), false, cx);
        self.note_repair();
        // What was applied is in every later leader's log.
        let next = verified.max(self.log.applied());
        cx.send(from, agreement(term, slot, next), Payload::EMPTY);
    }

    /// Whether this log and that of the leader hold the same below `slot`.
    fn agrees(&self, slot: Slot, prev_log_term: Term) -> bool {
        if slot < self.log.base() {
            // Committed long ago.
            return true;
        }
        let agrees = slot <= self.log.end() && self.log.reign_before(slot) == Some(prev_log_term);
        assert!(agrees || slot > self.log.applied(), "a leader lacks what was committed");
        agrees
    }

    /// Follower: takes the leader's entry into the log, whatever was there; false when there is no
    /// room for it.
    fn accept<C: Context<Self>>(
        &mut self,
        slot: Slot,
        term: Term,
        voters: Replicas,
        batch: Payload,
        cx: &mut C,
    ) -> bool {
        if slot < self.log.base() {
            return true;
        }
        if let Some(entry) = self.log.get(slot) {
            if entry.reign == term {
                return true;
            }
            self.cut_off(slot, cx);
        }
        if self.log.room() == 0 {
            return false;
        }
        self.log.push(term, batch, cx);
        self.configurations.push(slot, voters);
        // One record cuts the log off and makes it longer: no crash comes between.
        cx.append(Record::Entry { slot, term, applied: self.log.applied(), voters }, batch);
        true
    }

    /// Entries that were not committed are gone, and with them who votes by them.
    pub(super) fn cut_off<C: Context<Self>>(&mut self, from: Slot, cx: &mut C) {
        self.log.truncate(from, cx);
        self.configurations.truncate(from);
    }

    /// What a follower says whose log does not fit below `slot`: from where on its entries have the
    /// term of the one before `slot`, or where its log ends (the paper, end of section 5.3).
    pub(super) fn disagreement(&self, slot: Slot) -> Message {
        let mut next = slot.min(self.log.end());
        let mut conflict_term = Term::ZERO;
        if self.stored > self.log.applied() {
            next = self.stored;
        } else if slot <= self.log.end() && slot > self.log.applied() {
            conflict_term = self.log.reign_before(slot).expect("from the base on");
            while next > self.log.applied() && self.log.reign_before(next) == Some(conflict_term) {
                next = Slot(next.0 - 1);
            }
        }
        let term = self.current_term;
        Message::AppendEntriesReply { term, success: false, slot, next, conflict_term }
    }

    /// Whether it is to be answered.
    pub(super) fn on_heartbeat<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        term: Term,
        leader_commit: Slot,
        cx: &mut C,
    ) -> bool {
        let follows = self.hear_leader(from, term, cx);
        if follows {
            self.commit(leader_commit, false, cx);
        }
        follows || !self.is_deaf()
    }

    /// Whether the sender is a leader to follow; if so its reign is accepted and prolonged.
    fn hear_leader<C: Context<Self>>(&mut self, from: ReplicaId, term: Term, cx: &mut C) -> bool {
        if from == self.id || self.is_deaf() || term < self.current_term {
            return false;
        }
        self.enter(term, cx);
        assert_ne!(self.role, Role::Leader, "two leaders in term {}", term.0);
        assert!(self.leader.is_none_or(|leader| leader == from), "two leaders in term {}", term.0);
        self.become_follower(cx);
        self.leader = Some(from);
        self.loyal_until = cx.now() + self.election_timeout_ns;
        self.set_election_timer(cx);
        true
    }

    /// Leader: whether the sender follows in this term.
    pub(super) fn hear_follower<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        term: Term,
        cx: &mut C,
    ) -> bool {
        self.enter(term, cx);
        let follows = self.role == Role::Leader && term == self.current_term;
        if follows {
            self.heard.insert(from);
        }
        follows
    }

    pub(super) fn on_agreement<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        next: Slot,
        cx: &mut C,
    ) {
        assert!(next <= self.log.end(), "a follower holds what its leader does not");
        let follower = &mut self.followers[from.index()];
        if next > follower.matched {
            follower.matched = next;
            follower.asked_at = cx.now();
        }
        follower.resume = follower.resume.max(follower.matched);
        if next >= follower.next {
            follower.probing = false;
            follower.next = next;
        }
        self.count_agreements(cx);
        if self.role != Role::Leader {
            return;
        }
        if from != self.id {
            self.send_entries(from, cx);
        }
        self.hand_over(cx);
        self.go_on_with_change(cx);
    }

    /// Leader: what a majority holds is committed, if its last entry is of the own term (section
    /// 5.4.2 of the paper).
    fn count_agreements<C: Context<Self>>(&mut self, cx: &mut C) {
        let voters = self.configurations.latest();
        let mut matched = [Slot(0); REPLICAS_MAX];
        for (place, voter) in matched.iter_mut().zip(voters.iter()) {
            *place = self.followers[voter.index()].matched;
        }
        let matched = &mut matched[..voters.len()];
        matched.sort_unstable();
        let held_by_majority = matched[(voters.len() - 1) / 2];
        if held_by_majority > self.log.applied()
            && self.log.reign_before(held_by_majority) == Some(self.current_term)
        {
            self.commit(held_by_majority, true, cx);
            self.step_down_if_removed(cx);
        }
    }

    pub(super) fn on_disagreement<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        next: Slot,
        conflict_term: Term,
        cx: &mut C,
    ) {
        let Follower { matched, next: asked, probing, .. } = self.followers[from.index()];
        // The answer to a question that has been answered since, unless the follower asks: it holds
        // a snapshot that ends there.
        let is_stale = probing && slot != asked && slot != next;
        if slot <= matched || is_stale {
            return;
        }
        let next = self.back_up(slot, next, conflict_term).max(matched).min(self.log.end());
        if next < self.log.base() {
            // The timer asks whether it has arrived. Sent to a follower of this term only: so no
            // replica ever installs what was committed in a term above its own.
            cx.send_snapshot(from);
            let (follower, applied) = (&mut self.followers[from.index()], self.log.applied());
            (follower.next, follower.resume, follower.probing) = (applied, applied, true);
            return;
        }
        self.probe(from, next, cx);
    }

    /// Where to probe after a follower's entry before `slot` was found to have another term: behind
    /// the leader's last entry of that term, if it has any, otherwise where the follower's begin.
    fn back_up(&self, slot: Slot, next: Slot, conflict_term: Term) -> Slot {
        let mut at = slot;
        while conflict_term > Term::ZERO
            && at > next
            && let Some(term) = self.log.reign_before(at)
        {
            if term == conflict_term {
                return at;
            }
            at = Slot(at.0 - 1);
        }
        next
    }

    /// The leader's timer: shows that it lives, repeats what was not answered, and resigns when no
    /// majority answers any more.
    pub(super) fn on_leader_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        self.check_quorum(cx);
        if self.role != Role::Leader {
            return;
        }
        self.go_on_with_transfer(cx);
        self.go_on_with_change(cx);
        self.repeat_at = cx.now() + self.heartbeat_ns;
        // Alone it needs no answer.
        self.renew_lease(self.id, cx.now().0, cx);
        for to in self.others() {
            self.send_heartbeat(to, cx);
            self.repeat_entry(to, cx);
        }
    }

    /// Leader: goes back if a follower has acknowledged nothing more for a heartbeat.
    fn repeat_entry<C: Context<Self>>(&mut self, to: ReplicaId, cx: &mut C) {
        let Follower { next, resume, probing, asked_at, .. } = self.followers[to.index()];
        let is_overdue = cx.now().since(asked_at) >= self.heartbeat_ns;
        if is_overdue && (next > resume || probing) {
            self.probe(to, resume, cx);
        }
    }
}

/// What a replica says that holds everything below `next` as its leader does.
fn agreement(term: Term, slot: Slot, next: Slot) -> Message {
    let conflict_term = Term::ZERO;
    Message::AppendEntriesReply { term, success: true, slot, next, conflict_term }
}
