//! Sloppy quorums (Dynamo, section 4.6): others take a write in the place of replicas that do not
//! answer, and hand it off to those later.

use super::{Message, Phase, Quorum};
use crate::protocol::Context;
use crate::registers::Record;
use crate::registers::items::Entry;
use crate::types::{Payload, ReplicaId, Replicas};

/// Bytes of hints in one record of a checkpoint.
const RECORD_BYTES: usize = 64 << 10;

// The coordinator of a write.
impl Quorum {
    /// Asks as many others as there are to take a write, each in the place of one replica that is absent.
    /// This one, which is there for certain, comes first, and who is absent as well comes last; of the
    /// rest, who does not answer either has another place the next time.
    pub(super) fn offer_hints<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &self.rounds[place];
        let (name, question, stand_ins) = (round.name(), round.question, round.stand_ins);
        let absent = self.absent;
        let missing = round.participants.without(round.answered).and(absent);
        let attempt = cx.now().since(round.begun_at()) / self.retry_ns;
        let list = self.list_of_batch(round.batch, cx);
        let free = self.ring.fallbacks(list).filter(|&other| !stand_ins.contains(other));
        let own = free.clone().filter(|&other| other == self.id);
        let others = free.filter(|&other| other != self.id);
        let turned = |is_absent: bool| {
            let such = others.clone().filter(move |&other| absent.contains(other) == is_absent);
            let count = such.clone().count();
            let attempt = usize::try_from(attempt % count.max(1) as u64).expect("replicas are few");
            such.cycle().skip(attempt).take(count)
        };
        let takers = own.chain(turned(false)).chain(turned(true));
        let mut offered = Replicas::NONE;
        for (meant_for, other) in missing.iter().zip(takers) {
            // A question promises nothing.
            cx.send_now(other, Message::HintedWrite { round: name, meant_for }, question);
            offered.insert(other);
        }
        self.rounds[place].offered = offered;
    }

    /// Another replica has taken a write in the place of one that holds its keys. It stands in for one
    /// alone: a quorum is of so many different replicas.
    pub(super) fn on_hinted_ack<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        meant_for: ReplicaId,
        cx: &mut C,
    ) {
        let place = self.rounds.place_of(round);
        if place.is_none_or(|place| self.rounds[place].stand_ins.contains(from)) {
            return;
        }
        let Some(place) = self.rounds.answered(round, meant_for, Phase::takes_acks) else { return };
        self.rounds[place].stand_ins.insert(from);
        self.note_written(place, cx);
    }

    /// The replicas that hold the keys of a round's batch, which all have the same preference list.
    pub(super) fn holders<C: Context<Self>>(&self, batch: Payload, cx: &C) -> Replicas {
        self.ring.preferred(self.list_of_batch(batch, cx))
    }
}

// The replica that stands in.
impl Quorum {
    /// Keeps a write for another replica. With no room it says nothing, and is no part of the quorum.
    pub(super) fn on_hinted_write<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        meant_for: ReplicaId,
        entries: Payload,
        cx: &mut C,
    ) {
        let is_other = meant_for != self.id && self.everyone.contains(meant_for);
        if !is_other || !self.hints.have_room(entries.bytes as usize) {
            return;
        }
        self.keep_hints(meant_for, entries, cx);
        self.hints.wake_by(cx.now());
        cx.append(Record::Hinted { meant_for }, entries);
        cx.send(from, Message::HintedAck { round, meant_for }, Payload::EMPTY);
    }

    pub(super) fn keep_hints<C: Context<Self>>(
        &mut self,
        meant_for: ReplicaId,
        entries: Payload,
        cx: &C,
    ) {
        for (key, register) in Entry::all(cx.bytes(entries)) {
            self.hints.keep(meant_for, key, &register);
        }
    }

    /// Sees whether replicas that were not there are there again.
    pub(super) fn hand_off_all<C: Context<Self>>(&mut self, cx: &mut C) {
        self.everyone.iter().for_each(|to| self.hand_off(to, cx));
        self.hints.rest(cx.now());
    }

    fn hand_off<C: Context<Self>>(&mut self, to: ReplicaId, cx: &mut C) {
        self.scratch.clear();
        let life = self.coordinator.life();
        let Some(batch) = self.hints.hand_off(to, life, &mut self.scratch) else { return };
        let entries = cx.store(&self.scratch);
        // It promises nothing: the hints stay until the other has acknowledged them.
        cx.send_now(to, Message::Handoff { batch }, entries);
        cx.release(entries);
    }

    /// A replica has what was handed off to it. That it was dropped is not written down: after a restart
    /// it is handed off once more, which changes nothing.
    pub(super) fn on_handoff_ack<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        batch: u64,
        cx: &mut C,
    ) {
        if self.hints.end(from, batch) {
            self.hand_off(from, cx);
        }
    }

    /// Appends all hints again.
    pub(super) fn checkpoint_hints<C: Context<Self>>(&mut self, cx: &mut C) {
        self.scratch.clear();
        let mut gathered_for = None;
        for (meant_for, key, register) in self.hints.iter() {
            let is_full = self.scratch.len() >= RECORD_BYTES;
            if let Some(other) = gathered_for.filter(|&other| other != meant_for || is_full) {
                append_hints(other, &self.scratch, cx);
                self.scratch.clear();
            }
            Entry::push(key, 0, &register, &mut self.scratch);
            gathered_for = Some(meant_for);
        }
        if let Some(meant_for) = gathered_for {
            append_hints(meant_for, &self.scratch, cx);
        }
    }

    /// Before this replica's registers go to one that lost its disk: what is kept for others is among
    /// what that one may have written.
    pub(super) fn store_hints<C: Context<Self>>(&mut self, cx: &mut C) {
        for (_, key, register) in self.hints.iter() {
            let value = cx.store(register.value);
            cx.write_register(key, register.tag, register.deleted, value);
            cx.release(value);
        }
    }
}

fn append_hints<C: Context<Quorum>>(meant_for: ReplicaId, entries: &[u8], cx: &mut C) {
    let entries = cx.store(entries);
    cx.append(Record::Hinted { meant_for }, entries);
    cx.release(entries);
}
