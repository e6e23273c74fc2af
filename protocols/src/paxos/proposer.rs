//! The proposer: both phases of each slot, defeats, and slots that nobody decides.

use super::{Instance, Message, PATIENCE_DOUBLINGS_MAX, Paxos, Phase};
use crate::ledger::PAGE_SLOTS;
use crate::protocol::Context;
use crate::types::{Ballot, Payload, ReplicaId, Replicas, Slot, Time};

/// Times that the range of a wait after a defeat is doubled at most.
const DOUBLINGS_MAX: u32 = 10;

impl Paxos {
    pub(super) fn on_requests<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        if self.lost.is_some() {
            cx.redirect(batch, None);
            return;
        }
        assert!(self.in_flight < self.window);
        cx.retain(batch);
        self.in_flight += 1;
        self.waiting.push_back(batch);
        self.propose_waiting(cx);
    }

    /// Gives each batch that waits the next slot, as far as there are any.
    pub(super) fn propose_waiting<C: Context<Self>>(&mut self, cx: &mut C) {
        while !self.waiting.is_empty() {
            let slot = self.next();
            let Some(entry) = self.log.fill(slot) else { return };
            entry.notes.batch = self.waiting.pop_front();
            self.open(slot, cx);
        }
    }

    /// Phase 1 of a new ballot: asks everyone, itself included.
    fn open<C: Context<Self>>(&mut self, slot: Slot, cx: &mut C) {
        assert!(self.ready, "the number of this life is durable before its first ballot");
        let entry = self.log.fill(slot).expect("proposals lie inside the window");
        assert!(!entry.chosen);
        let instance = &mut entry.notes;
        instance.drop_found(cx);
        let highest = instance.promised.max(instance.ballot).max(instance.rival);
        instance.ballot = ballot_above(highest, self.life, self.id);
        instance.opened_at = cx.now();
        instance.phase = Phase::Prepare;
        instance.answered = Replicas::NONE;
        instance.refused = Replicas::NONE;
        self.ask(slot, cx);
    }

    /// Asks whoever has not answered the present phase.
    fn ask<C: Context<Self>>(&mut self, slot: Slot, cx: &mut C) {
        let due = cx.now() + self.retry_ns;
        let instance = &mut self.log.get_mut(slot).expect("it is under way").notes;
        instance.due = due;
        let ballot = instance.ballot;
        let (message, value) = match instance.phase {
            Phase::Prepare => (Message::Prepare { slot, ballot }, Payload::EMPTY),
            Phase::Accept => (Message::Accept { slot, ballot }, instance.proposal()),
            Phase::Idle | Phase::Defeated => unreachable!("only ballots under way ask"),
        };
        for to in Replicas::first(self.replicas).without(instance.answered).iter() {
            // Asking is no promise: this replica promises and votes when it asks itself, and the
            // ballot is never opened again because its life was durable first.
            cx.send_now(to, message, value);
        }
        self.wake_at = self.wake_at.min(due);
    }

    /// The instance, if `ballot` is under way there in that phase.
    fn under_way(&mut self, slot: Slot, ballot: Ballot, phase: Phase) -> Option<&mut Instance> {
        let instance = &mut self.log.get_mut(slot)?.notes;
        (instance.phase == phase && instance.ballot == ballot).then_some(instance)
    }

    pub(super) fn on_promise<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        accepted: Ballot,
        value: Payload,
        cx: &mut C,
    ) {
        let enough = self.promises_needed();
        let Some(instance) = self.under_way(slot, ballot, Phase::Prepare) else { return };
        instance.answered.insert(from);
        instance.refused = instance.refused.without(instance.answered);
        if accepted > instance.found.0 {
            instance.drop_found(cx);
            cx.retain(value);
            instance.found = (accepted, value);
        }
        if instance.answered.len() >= enough {
            instance.phase = Phase::Accept;
            instance.answered = Replicas::NONE;
            instance.refused = Replicas::NONE;
            self.ask(slot, cx);
        }
    }

    /// A majority; or all others, while this replica does not know what it promised itself.
    fn promises_needed(&self) -> usize {
        if self.lost.is_some() { self.replicas - 1 } else { self.majority() }
    }

    pub(super) fn on_accepted<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        cx: &mut C,
    ) {
        let majority = self.majority();
        let Some(instance) = self.under_way(slot, ballot, Phase::Accept) else { return };
        instance.answered.insert(from);
        if instance.answered.len() < majority {
            return;
        }
        let value = instance.proposal();
        for to in self.others() {
            // That the value is chosen rests on the disks of the majority.
            cx.send_now(to, Message::Learn { slot, ballot }, Payload::EMPTY);
        }
        self.learn(slot, ballot, value, cx);
    }

    pub(super) fn on_reject<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        promised: Ballot,
        cx: &mut C,
    ) {
        let Some(instance) = self.log.get_mut(slot).map(|entry| &mut entry.notes) else { return };
        let phase = instance.phase;
        if !matches!(phase, Phase::Prepare | Phase::Accept) || instance.ballot != ballot {
            return;
        }
        instance.rival = instance.rival.max(promised);
        if !instance.answered.contains(from) {
            instance.refused.insert(from);
        }
        let refused = instance.refused.len();
        let needed = if phase == Phase::Prepare { self.promises_needed() } else { self.majority() };
        let asked = if self.lost.is_some() && phase == Phase::Prepare {
            self.replicas - 1
        } else {
            self.replicas
        };
        if asked - refused < needed {
            self.give_up(slot, cx);
        }
    }

    /// The ballot cannot win any more. The next one has to wait, or two proposers could go on to
    /// defeat each other for ever. Whoever was first needs about as long as this ballot took: where
    /// disks are slow, a shorter wait would only defeat it in turn.
    fn give_up<C: Context<Self>>(&mut self, slot: Slot, cx: &mut C) {
        let instance = &mut self.log.get_mut(slot).expect("it is under way").notes;
        instance.drop_found(cx);
        instance.phase = Phase::Defeated;
        let took_ns = cx.now().since(instance.opened_at).min(self.patience_ns);
        let doubled_ns = self.backoff_ns.max(2 * took_ns) << instance.defeats.min(DOUBLINGS_MAX);
        let longest_ns = (self.patience_ns << PATIENCE_DOUBLINGS_MAX).max(self.backoff_ns);
        let half_ns = doubled_ns.min(longest_ns) / 2;
        instance.defeats = instance.defeats.saturating_add(1);
        if self.randomised_backoff {
            instance.wait_ns = half_ns + cx.random() % half_ns;
            instance.due = cx.now() + instance.wait_ns;
        } else {
            instance.due = cx.now() + self.backoff_ns;
        }
        self.wake_at = self.wake_at.min(instance.due);
    }

    /// Opens and repeats what is due.
    pub(super) fn wake<C: Context<Self>>(&mut self, cx: &mut C) {
        self.wake_at = Time::NEVER;
        for slot in (self.log.applied().0..self.log.tail().0).map(Slot) {
            let Some(entry) = self.log.get(slot) else { break };
            let Instance { phase, due, refused, opened_at, .. } = entry.notes;
            // Who has not answered by now may be gone, and those who refused are needed then.
            let hopeless = !refused.is_empty() && cx.now() >= opened_at + self.patience_ns;
            match phase {
                Phase::Idle => {}
                Phase::Defeated | Phase::Prepare | Phase::Accept if due > cx.now() => {
                    self.wake_at = self.wake_at.min(due);
                }
                Phase::Defeated => self.open(slot, cx),
                Phase::Prepare | Phase::Accept if hopeless => self.give_up(slot, cx),
                Phase::Prepare | Phase::Accept => self.ask(slot, cx),
            }
        }
    }

    /// Opens a ballot in each of the next slots that nobody has decided and in which nobody gets on:
    /// whatever is found there is proposed again, and nothing where nothing is.
    pub(super) fn take_over<C: Context<Self>>(&mut self, cx: &mut C) {
        let page_end = (self.log.applied() + PAGE_SLOTS).min(self.log.end());
        // Who has lost its promises decides only what keeps it from getting them back.
        let until = match self.lost {
            Some(lost) => lost.until.min(page_end),
            None => self.next().min(page_end),
        };
        for slot in (self.log.applied().0..until.0).map(Slot) {
            let entry = self.log.get(slot).expect("inside the window");
            let rests = cx.now() >= entry.notes.moved_at + self.doubled_patience_ns();
            if !entry.chosen && entry.notes.phase == Phase::Idle && rests {
                self.open(slot, cx);
            }
        }
    }

    /// What must hold of a proposer in one slot.
    pub(super) fn check_proposer(&self, slot: Slot, instance: &Instance) {
        let Instance { phase, ballot, answered, found, batch, .. } = *instance;
        assert!(batch.is_none() || phase != Phase::Idle, "an own batch is on its way in {slot:?}");
        assert!(found.0 == Ballot::ZERO || matches!(phase, Phase::Prepare | Phase::Accept));
        if phase == Phase::Idle {
            return;
        }
        assert!(self.ready);
        assert_eq!(ballot.owner(), self.id);
        assert_eq!(ballot.0 >> 8 & 0xffff, u64::from(self.life), "a ballot of this life");
        match phase {
            Phase::Prepare => assert!(answered.len() < self.promises_needed()),
            Phase::Accept => assert!(answered.len() < self.majority()),
            Phase::Idle | Phase::Defeated => {}
        }
    }
}

/// The smallest ballot of a replica's life above another. From the high bits: a count, 16 of life,
/// 8 of proposer.
fn ballot_above(ballot: Ballot, life: u16, id: ReplicaId) -> Ballot {
    let count = (ballot.0 >> 24) + 1;
    let next = Ballot(count << 24 | u64::from(life) << 8 | u64::from(id.0));
    assert!(next.is_possible(), "ballots are exhausted");
    next
}
