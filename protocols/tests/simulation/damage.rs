//! Histories that were tampered with: what the check of histories must notice.

use synod_protocols::command::{Op, Status};

use crate::history::Operation;
use crate::random::Random;

/// How a true history becomes a false one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Damage {
    /// A read saw a value that had been overwritten when it began.
    StaleRead,
    /// A read saw what nobody wrote.
    ReadFromNowhere,
    /// A read saw nothing although a value was there.
    ReadOfNothing,
    /// A read ended before the write that it saw began.
    ReadBeforeItsWrite,
    /// Two reads, one after the other, changed places.
    ReadsSwapped,
    /// Two writes, one after the other, changed places.
    WritesSwapped,
    /// A write that somebody saw is missing.
    LostWrite,
    /// An addition counted twice.
    AddedTwice,
    /// A compare-and-swap that found another value says that it swapped.
    SwappedAnyway,
}

impl Damage {
    /// Damages one place of the history, if there is one that fits.
    pub(crate) fn apply(self, history: &mut Vec<Operation>, random: &mut Random) {
        let mut places = Vec::new();
        for first in 0..history.len() {
            for second in 0..history.len() {
                if self.fits(&history[first], &history[second]) {
                    places.push((first, second));
                }
            }
        }
        if !places.is_empty() {
            let (first, second) = random.pick(&places);
            self.change(history, first, second);
        }
    }

    /// Whether this damage can be done to these two operations, which may be one and the same.
    fn fits(self, first: &Operation, second: &Operation) -> bool {
        let same = std::ptr::eq(first, second);
        let ordered = first.key == second.key && ends_before(first, second);
        match self {
            Self::StaleRead => ordered && first.op == Op::Put && saw_other(second, first),
            Self::ReadFromNowhere | Self::ReadOfNothing => same && saw_value(first),
            Self::ReadBeforeItsWrite => first.op == Op::Put && saw(second, first),
            Self::ReadsSwapped => ordered && saw_value(first) && saw_other(second, first),
            Self::WritesSwapped => ordered && first.op == Op::Put && second.op == Op::Put,
            Self::LostWrite => first.op == Op::Put && saw(second, first),
            Self::AddedTwice => same && first.op == Op::Add && answered(first, Status::Ok),
            Self::SwappedAnyway => {
                same && first.op == Op::CompareAndSwap && answered(first, Status::Mismatch)
            }
        }
    }

    fn change(self, history: &mut Vec<Operation>, first: usize, second: usize) {
        let (one, other) = (history[first].clone(), history[second].clone());
        match self {
            Self::StaleRead => *seen(&mut history[second]) = one.value,
            Self::ReadFromNowhere => seen(&mut history[first])[7] = 0xff,
            Self::ReadOfNothing => {
                let (_, outcome) = history[first].ended.as_mut().expect("it fits");
                outcome.status = Status::Absent;
                outcome.value.clear();
            }
            Self::ReadBeforeItsWrite => {
                // Ends are after beginnings, so that the two cannot overlap.
                let begun_at = one.invoked_at;
                let read = &mut history[second];
                read.invoked_at = begun_at.saturating_sub(2);
                read.ended.as_mut().expect("it fits").0 = begun_at.saturating_sub(1);
            }
            Self::ReadsSwapped => {
                history[first].ended.as_mut().expect("it fits").1 = other.ended.expect("both").1;
                history[second].ended.as_mut().expect("it fits").1 = one.ended.expect("both").1;
            }
            Self::WritesSwapped => {
                history[first].value = other.value;
                history[second].value = one.value;
            }
            Self::LostWrite => drop(history.remove(first)),
            Self::AddedTwice => {
                let sum = seen(&mut history[first]);
                let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("a sum"));
                *sum = (number(sum) + number(&one.value)).to_le_bytes().to_vec();
            }
            Self::SwappedAnyway => {
                let (_, outcome) = history[first].ended.as_mut().expect("it fits");
                outcome.status = Status::Ok;
                outcome.value.clear();
            }
        }
    }
}

fn ends_before(first: &Operation, second: &Operation) -> bool {
    first.ended.as_ref().is_some_and(|(at, _)| *at < second.invoked_at)
}

fn answered(operation: &Operation, status: Status) -> bool {
    operation.ended.as_ref().is_some_and(|(_, outcome)| outcome.status == status)
}

/// Whether a read saw a value, not a sum.
fn saw_value(read: &Operation) -> bool {
    read.op == Op::Get && read.key < 100 && answered(read, Status::Ok)
}

/// Whether a read saw what an operation wrote.
fn saw(read: &Operation, write: &Operation) -> bool {
    saw_value(read) && read.ended.as_ref().is_some_and(|(_, outcome)| outcome.value == write.value)
}

/// Whether a read saw something else than an operation wrote or saw.
fn saw_other(read: &Operation, other: &Operation) -> bool {
    let value = match &other.ended {
        Some((_, outcome)) if other.op == Op::Get => &outcome.value,
        Some(_) | None => &other.value,
    };
    saw_value(read) && read.ended.as_ref().is_some_and(|(_, outcome)| outcome.value != *value)
}

fn seen(operation: &mut Operation) -> &mut Vec<u8> {
    &mut operation.ended.as_mut().expect("it fits").1.value
}
