//! What happens next in a world: events in order of time, and of their making at one time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When an event is due, which it is of all ever made, and its place in the table of events.
type Due = (u64, u64, u32);

/// What happens next: a machine has its turn, or something else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<E> {
    Turn(usize),
    Event(E),
}

/// Events that have not happened yet. The heap moves only what orders them; they stay in place.
///
/// Turns are put off and brought forward all the time, and each machine waits for one at most. They
/// are kept beside the heap, which would fill up with those that came to nothing.
#[derive(Debug)]
pub(super) struct Events<E> {
    heap: BinaryHeap<Reverse<Due>>,
    table: Vec<Option<E>>,
    free: Vec<u32>,
    /// When each machine's turn is due, and which it is of all ever made.
    turns: Vec<(u64, u64)>,
    made: u64,
}

impl<E> Events<E> {
    /// None yet, and turns of so many machines.
    pub(super) fn new(machines: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            table: Vec::new(),
            free: Vec::new(),
            turns: vec![(u64::MAX, 0); machines],
            made: 0,
        }
    }

    /// Adds an event that happens at `at`.
    pub(super) fn push(&mut self, at: u64, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            u32::try_from(self.table.len() - 1).expect("events that wait are few")
        });
        self.table[place as usize] = Some(event);
        self.made += 1;
        self.heap.push(Reverse((at, self.made, place)));
    }

    /// The machine's turn is at `at`, and at no other time.
    pub(super) fn set_turn(&mut self, machine: usize, at: u64) {
        self.made += 1;
        self.turns[machine] = (at, self.made);
    }

    /// What happens next and when, if that is not after `end`.
    pub(super) fn pop_until(&mut self, end: u64) -> Option<(u64, Next<E>)> {
        let (machine, &turn) = self.turns.iter().enumerate().min_by_key(|(_, turn)| **turn)?;
        match self.heap.peek() {
            Some(&Reverse((at, made, place))) if (at, made) < turn => {
                if at > end {
                    return None;
                }
                self.heap.pop();
                self.free.push(place);
                let event = self.table[place as usize].take().expect("an event happens once");
                Some((at, Next::Event(event)))
            }
            _ if turn.0 <= end && turn.0 < u64::MAX => {
                self.turns[machine].0 = u64::MAX;
                Some((turn.0, Next::Turn(machine)))
            }
            _ => None,
        }
    }

    /// Events made so far: a number that no two of them share.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Takes out all events but turns, in order, and leaves none.
    pub(super) fn take_all(&mut self) -> Vec<(u64, E)> {
        self.free.clear();
        let table = &mut self.table;
        let due = std::mem::take(&mut self.heap).into_sorted_vec();
        let events = due.into_iter().rev().map(|Reverse((at, _, place))| {
            (at, table[place as usize].take().expect("an event happens once"))
        });
        let events = events.collect();
        self.table.clear();
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_in_order_of_time_and_then_of_making() {
        let mut events = Events::new(2);
        for (at, event) in [(5, 'b'), (1, 'a'), (5, 'c'), (9, 'd')] {
            events.push(at, event);
        }
        assert_eq!(events.pop_until(4), Some((1, Next::Event('a'))));
        assert_eq!(events.pop_until(4), None);
        events.set_turn(1, 7);
        events.push(5, 'e');
        events.set_turn(1, 5);
        events.push(5, 'f');
        assert_eq!(events.pop_until(5), Some((5, Next::Event('b'))));
        assert_eq!(events.pop_until(5), Some((5, Next::Event('c'))));
        assert_eq!(events.pop_until(5), Some((5, Next::Event('e'))));
        assert_eq!(events.pop_until(5), Some((5, Next::Turn(1))));
        let rest: String = events.take_all().into_iter().map(|(_, event)| event).collect();
        assert_eq!(rest, "fd");
        assert_eq!(events.pop_until(u64::MAX), None);
    }
}
