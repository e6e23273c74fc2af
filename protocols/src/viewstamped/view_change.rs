//! View changes (section 4.2): wishing for a view, moving to it, and beginning it with the best log.
//!
//! Why the best log has everything committed. A batch is committed in view v when a majority has it
//! whose status was normal in v, and none of them ever cuts it off: [`catch_up`](crate::catch_up)
//! cuts only what contradicts a log that has everything committed before. A majority of
//! `DoViewChange`s names one of them, so the best candidate by (last normal view, op-number) is that
//! one, or one that was normal in a later view, or has more of the same log.

use super::{Candidate, Message, Record, Source, Status, Viewstamped};
use crate::acks::Acks;
use crate::protocol::Context;
use crate::types::{Payload, REPLICAS_MAX, Reign, ReplicaId, Replicas, Slot, Time};

impl Viewstamped {
    /// Nothing was heard of the primary for too long, or the view did not begin.
    pub(super) fn suspect<C: Context<Self>>(&mut self, cx: &mut C) {
        self.await_primary(cx);
        self.wish(self.wanted.max(self.view.next()), cx);
    }

    /// Wishes for a view; moves to it when a majority does.
    pub(super) fn wish<C: Context<Self>>(&mut self, view: Reign, cx: &mut C) {
        self.want(view);
        self.wished.insert(self.id);
        if self.wished.len() >= self.quorum {
            self.enter(cx);
        } else {
            self.send_wish(cx);
        }
    }

    fn want(&mut self, view: Reign) {
        if view > self.wanted {
            self.wanted = view;
            self.wished = Replicas::NONE;
        }
    }

    pub(super) fn withdraw_wish(&mut self) {
        self.wanted = self.view;
        self.wished = Replicas::NONE;
    }

    fn send_wish<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repeat_at = cx.now() + self.heartbeat_ns;
        for to in self.others() {
            // A wish promises nothing.
            let wish = Message::StartViewChange { view: self.wanted, entered: false };
            cx.send_now(to, wish, Payload::EMPTY);
        }
    }

    pub(super) fn on_start_view_change<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        entered: bool,
        cx: &mut C,
    ) {
        if view <= self.view || from == self.id || !self.may_take_part_in(view) {
            return;
        }
        if entered {
            // A majority wants it, whatever this replica hears.
            self.wanted = view;
            self.enter(cx);
        } else if !self.leads && cx.now() >= self.loyal_until && view >= self.wanted {
            self.want(view);
            self.wished.insert(from);
            if !self.wished.contains(self.id) || self.wished.len() >= self.quorum {
                self.wish(view, cx);
            }
        }
    }

    /// A majority wishes for the view.
    fn enter<C: Context<Self>>(&mut self, cx: &mut C) {
        self.move_to(self.wanted, cx);
        self.repeat(cx);
    }

    /// Takes part in no earlier view from now on.
    pub(super) fn move_to<C: Context<Self>>(&mut self, view: Reign, cx: &mut C) {
        assert!(view > self.view);
        self.view = view;
        self.status = Status::ViewChange;
        self.leads = false;
        self.begins = false;
        self.attempts += 1;
        self.candidates = [None; REPLICAS_MAX];
        self.source = None;
        self.catch_up.begin(&self.log, cx);
        self.withdraw_wish();
        cx.append(Record::View { view }, Payload::EMPTY);
        self.await_primary(cx);
        self.repeat_at = cx.now() + self.heartbeat_ns;
    }

    /// Who does not lead says again what was not answered.
    pub(super) fn repeat<C: Context<Self>>(&mut self, cx: &mut C) {
        let repeats = self.status == Status::ViewChange || self.wanted > self.view;
        self.repeat_at = cx.now() + if repeats { self.heartbeat_ns } else { u64::MAX };
        if self.lost.is_some() {
            self.repeat_recovery(cx);
        }
        if self.wanted > self.view {
            self.send_wish(cx);
        }
        if let Some(source) = self.source {
            self.get_state(source.from, cx);
        } else if self.status == Status::ViewChange {
            for to in self.others() {
                // That a majority wants the view is no promise of this replica.
                let wish = Message::StartViewChange { view: self.view, entered: true };
                cx.send_now(to, wish, Payload::EMPTY);
            }
            self.send_do_view_change(cx);
        }
    }

    /// Tells the primary of the view what this replica has. It waits for the record of the view.
    pub(super) fn send_do_view_change<C: Context<Self>>(&self, cx: &mut C) {
        let Some(primary) = self.primary() else { return };
        let do_view_change = Message::DoViewChange {
            view: self.view,
            last_normal: self.last_normal,
            op: self.log.end(),
            commit: self.commit,
            lost: self.lost.is_some(),
            base: if self.is_witness(self.id) { self.log.base() } else { Slot(0) },
        };
        cx.send(primary, do_view_change, Payload::EMPTY);
    }

    pub(super) fn on_do_view_change<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        candidate: Candidate,
        cx: &mut C,
    ) {
        if self.primary_of(view) != Some(self.id) || !self.may_take_part_in(view) {
            return;
        }
        if view > self.view {
            self.wanted = view;
            self.enter(cx);
        }
        if view != self.view {
            return;
        }
        if self.leads {
            self.send_start_view(from, cx);
        } else if self.status == Status::ViewChange && self.source.is_none() {
            self.candidates[from.index()] = Some(candidate);
            self.choose(cx);
        }
    }

    /// Takes over the best log when enough have told what they have.
    fn choose<C: Context<Self>>(&mut self, cx: &mut C) {
        let told = || self.candidates.iter().flatten();
        let knowing = told().filter(|candidate| !candidate.lost).count();
        let commit = told().map(|candidate| candidate.commit).max().unwrap_or_default();
        // Who has lost what it had knows nothing, but with all others nothing is missing.
        let all_others_know = told().count() == self.replicas && knowing + 1 == self.replicas;
        if knowing < self.quorum && !all_others_know {
            return;
        }
        let (mut from, Candidate { op: mut until, base, .. }) = self.best_of(self.everyone());
        let ends = !self.is_witness(from) || base <= self.catch_up.verified();
        if !ends {
            // What a witness does not keep any more comes from the best active replica.
            (from, until) = (self.best_of(self.active.iter()).0, base);
        }
        self.source = Some(Source { from, until, ends });
        if from == self.id {
            self.catch_up.verify(until);
        }
        self.advance(commit, false, cx);
        self.go_on(cx);
    }

    /// Who of these has the best log.
    fn best_of(&self, replicas: impl Iterator<Item = ReplicaId>) -> (ReplicaId, Candidate) {
        replicas
            .filter_map(|replica| Some((replica, self.candidates[replica.index()]?)))
            .filter(|(_, candidate)| !candidate.lost)
            // The own log needs no transfer, and an active replica's is whole, so they win ties.
            .max_by_key(|&(id, Candidate { last_normal, op, .. })| {
                (last_normal, op, !self.is_witness(id), id == self.id)
            })
            .expect("a majority has told, and of each majority one is active")
    }

    /// Begins the view if the log is there; otherwise asks for more of it.
    pub(super) fn go_on<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(Source { from, until, ends }) = self.source else { return };
        let verified = self.catch_up.verified();
        if verified < until {
            self.get_state(from, cx);
            return;
        }
        if !ends {
            self.choose(cx);
            return;
        }
        self.log.truncate(verified, cx);
        cx.append(Record::Normal { view: self.view, op: verified }, Payload::EMPTY);
        self.status = Status::Normal;
        self.last_normal = self.view;
        self.source = None;
        self.lost = None;
        self.attempts = 0;
        self.repeat_at = Time::NEVER;
        self.await_primary(cx);
        self.advance(self.commit, false, cx);
        if self.primary() == Some(self.id) {
            self.begins = true;
            self.acks = Acks::NONE;
            for to in self.everyone() {
                self.send_start_view(to, cx);
            }
        } else if let Some(primary) = self.primary() {
            self.acknowledge(primary, cx);
        }
    }

    /// Tells that the view has begun, with a log that is on disk: whoever chose it once must not
    /// choose another one.
    pub(super) fn send_start_view<C: Context<Self>>(&self, to: ReplicaId, cx: &mut C) {
        let start_view = Message::StartView {
            view: self.view,
            op: self.log.end(),
            commit: self.commit,
            reign: self.log.last_reign(),
        };
        cx.send(to, start_view, Payload::EMPTY);
    }

    pub(super) fn on_start_view<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        view: Reign,
        op: Slot,
        commit: Slot,
        reign: Reign,
        cx: &mut C,
    ) {
        let leads = self.primary_of(view) == Some(from);
        if view < self.view || !leads || !self.may_take_part_in(view) {
            return;
        }
        if from == self.id {
            if view == self.view && self.begins {
                self.lead(cx);
            }
            return;
        }
        if view > self.view {
            self.move_to(view, cx);
        }
        self.await_primary(cx);
        self.loyal_until = cx.now() + self.view_change_timeout_ns;
        self.withdraw_wish();
        if self.status == Status::ViewChange {
            if self.source.is_none() {
                self.source = Some(Source { from, until: op, ends: true });
                self.catch_up.compare(&self.log, op, reign);
            }
            self.commit = self.commit.max(commit);
            self.go_on(cx);
        } else {
            self.acknowledge(from, cx);
        }
        self.advance(commit, false, cx);
    }

    /// The view's log is on disk: proposes from now on.
    fn lead<C: Context<Self>>(&mut self, cx: &mut C) {
        self.begins = false;
        self.leads = true;
        self.heard = Replicas::NONE;
        self.acks.note(self.id, self.log.end());
        // Until active replicas have shown that they are there.
        (self.calls_witnesses, self.due) = (true, self.log.end());
        self.resign_at = cx.now() + self.view_change_timeout_ns;
        self.suspect_at = Time::NEVER;
        self.repeat_at = cx.now() + self.heartbeat_ns;
        self.withdraw_wish();
        let commit = self.acks.reached_by(self.quorum);
        self.advance(commit, true, cx);
    }
}
