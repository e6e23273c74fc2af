//! Phase 1: becoming the leader, for all slots at once.

use super::{Answer, Message, MultiPaxos, Page, Record};
use crate::ledger::PAGE_SLOTS;
use crate::protocol::{Context, Role};
use crate::types::{Ballot, Payload, REPLICAS_MAX, ReplicaId, Replicas, Slot};

impl MultiPaxos {
    /// Opens a ballot and asks everyone, itself included, for promises.
    pub(super) fn campaign<C: Context<Self>>(&mut self, cx: &mut C) {
        self.drop_found(cx);
        self.role = Role::Candidate;
        self.leader = None;
        // `Prepare` is held until the ballot is durable, so no ballot is ever opened twice.
        self.promised = self.promised.above(self.id);
        cx.append(Record::Promised { ballot: self.promised }, Payload::EMPTY);
        self.pages = [Page { from: self.log.applied(), ..Page::default() }; REPLICAS_MAX];
        self.set_election_timer(cx);
        self.send_prepare(cx);
    }

    pub(super) fn repeat_prepare<C: Context<Self>>(&mut self, cx: &mut C) {
        self.send_prepare(cx);
    }

    fn send_prepare<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repeat_at = cx.now() + self.heartbeat_ns;
        for to in Replicas::first(self.replicas).iter() {
            if !self.pages[to.index()].complete {
                let from = self.pages[to.index()].from;
                let lost = self.lost.is_some();
                let prepare = Message::Prepare { ballot: self.promised, from, lost };
                cx.send(to, prepare, Payload::EMPTY);
            }
        }
    }

    pub(super) fn on_prepare<C: Context<Self>>(
        &mut self,
        candidate: ReplicaId,
        ballot: Ballot,
        from: Slot,
        lost: bool,
        cx: &mut C,
    ) {
        // Nobody opens ballot zero, which stands for no vote.
        if candidate != ballot.owner() || ballot == Ballot::ZERO || self.lost.is_some() {
            return;
        }
        // Loyal to a leader that was just heard: the candidate has lost touch, not the group.
        let loyal = cx.now() < self.loyal_until && self.leader != Some(candidate);
        if ballot > self.promised && loyal && !lost {
            return;
        }
        if ballot < self.promised {
            // Promises nothing: it only tells what was promised.
            cx.send_now(candidate, Message::Reject { promised: self.promised }, Payload::EMPTY);
            return;
        }
        if ballot > self.promised {
            self.follow(ballot, cx);
            cx.append(Record::Promised { ballot }, Payload::EMPTY);
            self.set_election_timer(cx);
        }
        if from < self.log.base() {
            // The votes asked for are gone: those slots are chosen and applied. The candidate
            // must catch up before it may lead.
            if candidate != self.id {
                cx.send_snapshot(candidate);
            }
            return;
        }
        self.send_promise(candidate, ballot, from, cx);
    }

    /// One page of votes, then the promise that lists them. All are held until the promise is
    /// durable.
    fn send_promise<C: Context<Self>>(
        &self,
        candidate: ReplicaId,
        ballot: Ballot,
        from: Slot,
        cx: &mut C,
    ) {
        let until = (from + PAGE_SLOTS).min(self.log.end()).max(from);
        let mut votes = 0;
        for slot in (from.0..until.0).map(Slot) {
            if let Some(entry) = self.log.get(slot).filter(|entry| entry.has_value()) {
                let (accepted, chosen) = (entry.accepted, entry.chosen);
                cx.send(candidate, Message::Voted { ballot, slot, accepted, chosen }, entry.value);
                votes |= 1 << (slot - from);
            }
        }
        let more = self.log.slots(until).any(|(_, entry)| entry.has_value());
        cx.send(candidate, Message::Promise { ballot, from, until, more, votes }, Payload::EMPTY);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_voted<C: Context<Self>>(
        &mut self,
        acceptor: ReplicaId,
        ballot: Ballot,
        slot: Slot,
        accepted: Ballot,
        chosen: bool,
        value: Payload,
        cx: &mut C,
    ) {
        if !self.awaits(acceptor, ballot) {
            return;
        }
        let page = self.pages[acceptor.index()];
        if slot < page.from || slot - page.from >= PAGE_SLOTS {
            return;
        }
        let bit = 1 << (slot - page.from);
        // A vote that there is no place for must not count as come: this replica is too far behind
        // to lead.
        let Some(entry) = self.log.fill(slot) else { return };
        // A chosen value is found in every higher ballot, so it counts as the highest vote.
        let accepted = if chosen { Ballot(u64::MAX) } else { accepted };
        if accepted > entry.notes.found.0 {
            if entry.notes.found.0 > Ballot::ZERO {
                cx.release(entry.notes.found.1);
            }
            cx.retain(value);
            entry.notes.found = (accepted, value);
        }
        self.pages[acceptor.index()].votes |= bit;
    }

    pub(super) fn on_promise<C: Context<Self>>(
        &mut self,
        acceptor: ReplicaId,
        ballot: Ballot,
        answer: Answer,
        cx: &mut C,
    ) {
        if !self.awaits(acceptor, ballot) || answer.from != self.pages[acceptor.index()].from {
            return;
        }
        let page = &mut self.pages[acceptor.index()];
        if answer.votes & !page.votes != 0 {
            // A vote was lost on the way; the page is asked for again.
            return;
        }
        *page = Page { from: answer.until, votes: 0, complete: !answer.more };
        if answer.more {
            let lost = self.lost.is_some();
            let prepare = Message::Prepare { ballot, from: answer.until, lost };
            cx.send(acceptor, prepare, Payload::EMPTY);
        }
        if self.is_promised() {
            self.lost = None;
            self.lead(cx);
        }
    }

    /// Whether those have promised who must have.
    fn is_promised(&self) -> bool {
        if self.lost.is_some() {
            return self.others().all(|other| self.pages[other.index()].complete);
        }
        self.pages.iter().filter(|page| page.complete).count() >= self.phase1_quorum
    }

    fn awaits(&self, acceptor: ReplicaId, ballot: Ballot) -> bool {
        self.role == Role::Candidate
            && ballot == self.promised
            && acceptor.index() < self.replicas
            && !self.pages[acceptor.index()].complete
    }

    /// A phase-1 quorum has promised: proposes again whatever may have been chosen, and fills the
    /// holes between with empty batches.
    fn lead<C: Context<Self>>(&mut self, cx: &mut C) {
        assert_eq!(self.role, Role::Candidate);
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.heard = Replicas::NONE;
        self.resign_at = cx.now() + self.election_timeout_ns;
        self.loyal_until = self.resign_at;
        let found_last = self
            .log
            .slots(self.log.applied())
            .filter(|(_, entry)| entry.notes.found.0 > Ballot::ZERO)
            .map(|(slot, _)| slot)
            .last();
        self.next = self.log.applied();
        while found_last.is_some_and(|last| self.next <= last) {
            let slot = self.next;
            let entry = self.log.get_mut(slot).expect("what was found is in the window");
            let (found, value) = core::mem::take(&mut entry.notes.found);
            self.next = slot.next();
            self.propose(slot, value, cx);
            if found > Ballot::ZERO {
                cx.release(value);
            }
        }
        self.begin_reign(cx);
        self.apply(true, cx);
        self.on_leader_timeout(cx);
    }

    /// Forgets what phase 1 has found so far.
    pub(super) fn drop_found<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.role != Role::Candidate {
            return;
        }
        for slot in (self.log.base().0..self.log.tail().0).map(Slot) {
            let Some(entry) = self.log.get_mut(slot) else { break };
            let (found, value) = core::mem::take(&mut entry.notes.found);
            if found > Ballot::ZERO {
                cx.release(value);
            }
        }
    }

    pub(super) fn on_reject<C: Context<Self>>(&mut self, promised: Ballot, cx: &mut C) {
        if promised <= self.promised || self.role == Role::Follower {
            return;
        }
        let was_leader = self.role == Role::Leader;
        // The next own ballot must be above the one that got in the way.
        self.follow(promised, cx);
        cx.append(Record::Promised { ballot: promised }, Payload::EMPTY);
        if was_leader {
            self.campaign(cx);
        }
    }
}
