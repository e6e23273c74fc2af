//! Frames under way on one emulated link.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;

use synod_protocols::types::Time;
use synod_workloads::Random;

use super::control::LinkTotals;
use super::rule::{Cut, Rule};
use crate::frame::{self, Kind};

const MILLION: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What is under way, and what has arrived and waits for the real link.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BinaryHeap<Reverse<Frame>>,
    ripe: Vec<u8>,
    waiting_bytes: usize,
    /// Frames that were admitted: where two are due at once, the earlier goes first.
    admitted: u64,
    /// When the last frame arrives. Without reordering none arrives before it.
    last: Time,
    /// When the greeting arrives. Nothing arrives before it.
    greeted: Time,
    /// When the link has taken all bytes that it was given.
    taken: Time,
    /// Buffers for further frames.
    spare: Vec<Vec<u8>>,
}

/// Ordered by when it is due.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    due: Time,
    number: u64,
    since: Time,
    /// Whether it was meant to wait.
    late: bool,
    bytes: Vec<u8>,
}

impl Line {
    /// Takes a frame, and decides what becomes of it. A greeting is never lost or doubled: with it
    /// the connection would be.
    pub(super) fn admit(
        &mut self,
        now: Time,
        bytes: &[u8],
        rule: &Rule,
        random: &mut Random,
        counts: &LinkTotals,
    ) {
        let greeting = frame::kind(bytes).is_some_and(Kind::is_greeting);
        let mut strikes = |ppm: u32| ppm > 0 && random.below(MILLION) < u64::from(ppm);
        let lost = rule.cut == Cut::Loses || strikes(rule.loss_ppm);
        if lost && !greeting {
            counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let doubled = strikes(rule.duplication_ppm) && !greeting;
        counts.doubled.fetch_add(u64::from(doubled), Ordering::Relaxed);
        for _ in 0..=u32::from(doubled) {
            let takes_ns = (bytes.len() as u64 * SECOND_NS).checked_div(rule.bytes_per_second);
            self.taken = self.taken.max(now) + takes_ns.unwrap_or(0);
            let mut due = self.taken + rule.latency.draw(random);
            due = due.max(if rule.reorder { self.greeted } else { self.last });
            self.last = self.last.max(due);
            if greeting {
                self.greeted = due;
            }
            let held = rule.cut != Cut::Open;
            counts.held.fetch_add(u64::from(held), Ordering::Relaxed);
            self.push(if held { Time::NEVER } else { due }, now, bytes);
        }
    }

    fn push(&mut self, due: Time, now: Time, bytes: &[u8]) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        self.waiting_bytes += bytes.len();
        self.admitted += 1;
        let (number, late) = (self.admitted, due > now);
        self.waiting.push(Reverse(Frame { due, number, since: now, late, bytes: buffer }));
    }

    /// What waited for the end of a cut arrives now, in order.
    pub(super) fn let_go(&mut self, now: Time) {
        let mut frames = std::mem::take(&mut self.waiting).into_vec();
        for Reverse(frame) in &mut frames {
            if frame.due == Time::NEVER {
                frame.due = self.last.max(now);
            }
        }
        self.waiting = frames.into();
        self.last = self.last.max(now);
    }

    /// Moves what is due to what may be sent.
    pub(super) fn ripen(&mut self, now: Time, counts: &LinkTotals) {
        while let Some(Reverse(first)) = self.waiting.peek()
            && first.due <= now
        {
            let Some(Reverse(mut frame)) = self.waiting.pop() else { return };
            if frame.late {
                counts.delayed.fetch_add(1, Ordering::Relaxed);
                counts.delayed_ns.fetch_add(now.since(frame.since), Ordering::Relaxed);
            }
            self.waiting_bytes -= frame.bytes.len();
            self.ripe.extend_from_slice(&frame.bytes);
            frame.bytes.clear();
            self.spare.push(frame.bytes);
        }
    }

    /// What may be sent; whoever sends it takes it out.
    pub(super) fn ripe(&mut self) -> &mut Vec<u8> {
        &mut self.ripe
    }

    pub(super) fn has_ripe(&self) -> bool {
        !self.ripe.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.ripe.is_empty()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.ripe.len()
    }

    /// When the next frame is due.
    pub(super) fn due(&self) -> Time {
        self.waiting.peek().map_or(Time::NEVER, |Reverse(frame)| frame.due)
    }

    /// The connection is gone, and what was under way with it.
    pub(super) fn clear(&mut self) {
        while let Some(Reverse(mut frame)) = self.waiting.pop() {
            frame.bytes.clear();
            self.spare.push(frame.bytes);
        }
        self.ripe.clear();
        self.waiting_bytes = 0;
        (self.last, self.greeted, self.taken) = (Time(0), Time(0), Time(0));
    }
}
