//! Learning what was chosen: the leader's running bound, and catching up.

use super::{Message, MultiPaxos, Record};
use crate::ledger::PAGE_SLOTS;
use crate::protocol::{Context, Role};
use crate::types::{Ballot, Payload, ReplicaId, Slot};

impl MultiPaxos {
    /// The leader of `ballot` says that everything below `chosen` is chosen.
    pub(super) fn hear_chosen<C: Context<Self>>(
        &mut self,
        leader: ReplicaId,
        ballot: Ballot,
        chosen: Slot,
        cx: &mut C,
    ) {
        // A value accepted in the leader's own ballot is the one it proposed, so the chosen one. A
        // value of an older ballot may have lost: it must be asked for.
        let mut slot = self.log.applied();
        while slot < chosen
            && let Some(entry) = self.log.get_mut(slot)
            && (entry.chosen || entry.accepted == ballot)
        {
            entry.chosen = true;
            slot = slot.next();
        }
        self.apply(false, cx);
        if self.log.applied() < chosen {
            self.ask_to_learn(leader, cx);
        }
    }

    pub(super) fn ask_to_learn<C: Context<Self>>(&mut self, of: ReplicaId, cx: &mut C) {
        if self.log.asks_to_learn(cx.now(), self.heartbeat_ns) {
            // A question promises nothing.
            cx.send_now(of, Message::Learn { from: self.log.applied() }, Payload::EMPTY);
        }
    }

    pub(super) fn on_learn<C: Context<Self>>(&mut self, from: ReplicaId, start: Slot, cx: &mut C) {
        if start < self.log.base() {
            cx.send_snapshot(from);
            return;
        }
        let until = self.log.applied().min(start + PAGE_SLOTS);
        for slot in (start.0..until.0).map(Slot) {
            let entry = self.log.get(slot).expect("between base and applied");
            assert!(entry.chosen);
            // That a value is chosen rests on a quorum's disks, not on this one.
            cx.send_now(from, Message::Chosen { slot, chosen: self.log.applied() }, entry.value);
        }
    }

    pub(super) fn on_chosen<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        chosen: Slot,
        value: Payload,
        cx: &mut C,
    ) {
        // A leader applies only what its own ballot has chosen: its followers take the bound that it
        // announces for a statement about their votes in that ballot. What comes here late may have
        // been chosen in a higher one.
        if self.role == Role::Leader {
            return;
        }
        let applied = self.log.applied();
        if slot >= self.log.applied()
            && let Some(entry) = self.log.fill(slot)
            && !entry.chosen
        {
            entry.replace(value, cx);
            entry.chosen = true;
            cx.append(Record::Chosen { slot, applied }, value);
            self.apply(false, cx);
        }
        if self.log.applied() < chosen {
            self.ask_to_learn(from, cx);
        }
    }
}
