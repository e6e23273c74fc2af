//! Requests that wait for a slot.
//!
//! What arrives together lies together in the arena, so neighbours merge into one batch without
//! being touched again.

use std::collections::VecDeque;

use synod_protocols::types::{Payload, Time};

use crate::arena::Arena;

/// Batches that are being gathered, oldest first.
#[derive(Debug)]
pub(super) struct Pending {
    batches: VecDeque<Payload>,
    commands: usize,
    commands_max: usize,
    batch_ops_max: usize,
    batch_bytes_max: usize,
    /// When the oldest request came; nothing until the turn that it came in knows its time.
    since: Option<Time>,
}

impl Pending {
    pub(super) fn new(commands_max: usize, batch_ops_max: usize, batch_bytes_max: usize) -> Self {
        let batches = VecDeque::with_capacity(256);
        Self { batches, commands: 0, commands_max, batch_ops_max, batch_bytes_max, since: None }
    }

    /// How many more commands may wait.
    pub(super) fn room(&self) -> usize {
        self.commands_max - self.commands
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// When the oldest request came.
    pub(super) fn since(&self) -> Time {
        self.since.unwrap_or(Time::NEVER)
    }

    /// The time of this turn, in which whatever is new came.
    pub(super) fn note(&mut self, now: Time) {
        if self.batches.is_empty() {
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
    }

    /// Whether the first batch cannot grow any more.
    pub(super) fn has_full_batch(&self) -> bool {
        self.batches.len() > 1
            || self.batches.front().is_some_and(|first| {
                first.commands as usize * 2 > self.batch_ops_max
                    || first.bytes as usize * 2 > self.batch_bytes_max
            })
    }

    /// Adds requests that the caller has stored, and takes over its hold on them.
    pub(super) fn push(&mut self, requests: Payload, arena: &mut Arena) {
        assert!(requests.commands > 0);
        self.commands += requests.commands as usize;
        if let Some(last) = self.batches.back_mut()
            && last.block == requests.block
            && last.offset + last.bytes == requests.offset
            && (last.commands + requests.commands) as usize <= self.batch_ops_max
            && (last.bytes + requests.bytes) as usize <= self.batch_bytes_max
        {
            last.bytes += requests.bytes;
            last.commands += requests.commands;
            // One payload now, so one hold.
            arena.release(requests);
            return;
        }
        self.batches.push_back(requests);
    }

    /// The oldest batch; the caller takes over the hold on it.
    pub(super) fn pop(&mut self) -> Payload {
        let batch = self.batches.pop_front().expect("the caller has looked");
        self.commands -= batch.commands as usize;
        if self.batches.is_empty() {
            self.since = None;
        }
        batch
    }
}
