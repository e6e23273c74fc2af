//! The line on the terminal that says what a run is doing.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use synod_protocols::types::Time;

use crate::io::uring::clock;

/// Often enough for a person. A simulated run has thousands of looks in that time.
const EVERY_NS: u64 = 100_000_000;

/// A line that is written over. Where nobody sees it, because it is not wanted or not on a terminal,
/// nothing is done for it.
pub(super) struct ProgressLine {
    shown: bool,
    next_at: Cell<Time>,
}

impl ProgressLine {
    pub(super) fn new(wanted: bool) -> Self {
        Self { shown: wanted && io::stderr().is_terminal(), next_at: Cell::default() }
    }

    /// Says something new. An empty line takes it away.
    pub(super) fn tell(&self, line: &str) {
        if self.shown {
            // Progress that cannot be shown is no reason to end a run.
            let _not_shown =
                write!(io::stderr(), "\r\x1b[2K{line}").and_then(|()| io::stderr().flush());
        }
    }

    /// Says how far it is, unless it has just said so.
    pub(super) fn tell_often(&self, line: impl FnOnce() -> String) {
        if self.shown && clock() >= self.next_at.get() {
            self.next_at.set(clock() + EVERY_NS);
            self.tell(&line());
        }
    }
}
