//! Recovery (section 4.3): a replica whose disk was lost or damaged.
//!
//! It asks the others, with a nonce that tells this life from earlier ones, and takes over the log of
//! the primary of the latest view that it hears of. Until then it acknowledges nothing and is no
//! candidate.
//!
//! The paper waits for f + 1 answers, one of them from that primary. That is not enough: this replica
//! may have sent a `DoViewChange` for a later view to somebody who has not answered, and would then
//! acknowledge batches that the view which began with it does not have (Michael et al., DISC 2017).
//! Here it waits for **all** others. What it promised somebody, that one has heard or never will:
//! bytes that an earlier life sent, or was sent, are gone, since a connection is made anew by each life
//! and ends the one before. (A `StartView` that was sent before the loss may name less of a log than was
//! acknowledged since.) Who has heard a `DoViewChange` has moved to its view, on disk. So no promise of
//! this replica that counts is above the latest view, and the primary of that view, while it leads,
//! has all that any earlier one can have committed with the help of this replica.
//!
//! Two replicas need both for a view. If the one that is left does not lead, this one joins its wish
//! for a view, and promises it with a `DoViewChange` that says `lost`: it counts as a promise, and
//! not as a log, so that the view begins only with the logs of all others.

use super::{Lost, Message, Response, Source, Viewstamped};
use crate::protocol::Context;
use crate::types::{Payload, REPLICAS_MAX, Reign, ReplicaId};

impl Viewstamped {
    pub(super) fn begin_recovery<C: Context<Self>>(&mut self, cx: &mut C) {
        self.lost = Some(Lost { nonce: cx.random(), responses: [None; REPLICAS_MAX] });
        self.repeat(cx);
    }

    /// Asks everybody again: views go on meanwhile.
    pub(super) fn repeat_recovery<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(Lost { nonce, .. }) = self.lost else { return };
        self.repeat_at = cx.now() + self.heartbeat_ns;
        for to in self.others() {
            // A question promises nothing.
            cx.send_now(to, Message::Recovery { nonce }, Payload::EMPTY);
        }
    }

    pub(super) fn on_recovery<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        nonce: u64,
        cx: &mut C,
    ) {
        if self.lost.is_none() {
            // Held until the view is durable.
            let (view, op, primary) = (self.view, self.log.end(), self.leads);
            let response = Message::RecoveryResponse { view, nonce, op, primary };
            cx.send(from, response, Payload::EMPTY);
        }
    }

    pub(super) fn on_recovery_response<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        nonce: u64,
        response: Response,
        cx: &mut C,
    ) {
        let Some(lost) = self.lost.as_mut().filter(|lost| lost.nonce == nonce) else { return };
        lost.responses[from.index()] = Some(response);
        let latest = self.responses().map(|response| response.view).max().unwrap_or_default();
        let is_new = latest > self.view || (latest == self.view && self.source.is_none());
        let Some(primary) = self.primary_of(latest).filter(|&primary| primary != self.id) else {
            return;
        };
        if let Some(Response { view, op, primary: true }) = self.response_of(primary)
            && view == latest
            && is_new
            && self.may_take_part_in(latest)
        {
            if latest > self.view {
                self.move_to(latest, cx);
            }
            self.source = Some(Source { from: primary, until: op, ends: true });
            self.go_on(cx);
        }
    }

    fn responses(&self) -> impl Iterator<Item = Response> {
        self.others().filter_map(|other| self.response_of(other))
    }

    fn response_of(&self, replica: ReplicaId) -> Option<Response> {
        self.lost.and_then(|lost| lost.responses[replica.index()])
    }

    /// Whether no promise that this replica has lost can be against taking part in a view: always,
    /// unless some of the others have not answered yet, or one of them is in a later view.
    pub(super) fn may_take_part_in(&self, view: Reign) -> bool {
        self.lost.is_none()
            || (self.responses().count() + 1 == self.replicas
                && self.responses().all(|response| response.view <= view))
    }
}
