//! The leader of a round: asks for the votes, and answers its clients.

use super::{KEPT_PER_ROUND, Message, PaxosCommit};
use crate::protocol::Context;
use crate::transactions::answers::{concerned, refuse, reply};
use crate::transactions::items::intersect;
use crate::types::{Payload, ReplicaId};

impl PaxosCommit {
    /// Everybody that has a part in the batch executes it and votes.
    pub(super) fn begin<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        let managers = concerned(batch, self.replicas, cx);
        if managers.iter().any(|manager| self.waits_in_vain(manager)) {
            refuse(batch, cx);
            return;
        }
        let place = self.rounds.free_place().expect("there is room");
        // Once as the requests, once as the question.
        cx.retain(batch);
        cx.retain(batch);
        self.rounds.begin(place, self.life, (), batch, batch, cx.now());
        self.rounds[place].participants = managers;
        self.ask(place, cx);
        self.forget(self.id, cx);
    }

    /// Whether too many rounds are kept for a manager that does not say that it has their outcome, though
    /// it was asked and there was time to. It is most likely down.
    fn waits_in_vain(&self, manager: ReplicaId) -> bool {
        let kept = self
            .instances
            .iter()
            .filter(|it| it.leader == self.id && it.questions > 1 && it.waiting.contains(manager));
        kept.count() >= KEPT_PER_ROUND * self.window
    }

    fn ask<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let open = self.rounds.iter().map(|(_, round)| round.name());
        let closed_before = open.min().expect("this one is open");
        self.closed_before[self.id.index()] = closed_before;
        self.rounds.ask(place, |_, round| Message::Prepare { round, closed_before }, cx);
    }

    pub(super) fn ask_again<C: Context<Self>>(&mut self, cx: &mut C) {
        let now = cx.now();
        if now < self.rounds.retry_at() {
            return;
        }
        self.rounds.rest(now);
        for place in 0..self.rounds.capacity() {
            if self.rounds.overdue(place, now).is_none() {
                continue;
            }
            if now.since(self.rounds[place].begun_at()) < self.vote_timeout_ns {
                self.ask(place, cx);
            } else {
                self.take_over(self.id, self.rounds[place].name(), now);
            }
        }
    }

    /// The leader keeps the votes on its own rounds, which say what was read.
    pub(super) fn note_vote<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        vote: Payload,
        cx: &mut C,
    ) {
        if let Some(place) = self.rounds.answered(round, from, |()| true) {
            cx.retain(vote);
            self.rounds[place].answers[from.index()] = vote;
        }
    }

    /// The outcome of a round of its own: the clients hear of it, and the round is over.
    pub(super) fn close<C: Context<Self>>(&mut self, place: usize, outcome: Payload, cx: &mut C) {
        let round = &self.rounds[place];
        let is_voted = round.answered == round.participants;
        if is_voted {
            intersect(&round.answers, round.participants, &mut self.scratch, cx);
        }
        if is_voted && cx.bytes(outcome) == &self.scratch[..] {
            reply(round, self.replicas, &mut self.scratch, cx);
        } else if outcome.is_empty() {
            // It was aborted whatever the votes are.
            refuse(round.batch, cx);
        }
        self.rounds[place].release_answers(cx);
        self.rounds.close(place, cx);
    }

    /// Whether a round is one that this replica leads, and is not over.
    pub(super) fn is_open(&self, leader: ReplicaId, round: u64) -> bool {
        leader == self.id && self.rounds.place_of(round).is_some()
    }
}
