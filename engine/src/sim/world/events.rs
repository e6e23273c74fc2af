//! What happens next in a world: events in order of time, and of their making at one time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When an event is due, which it is of all ever made, and its place in the table of events.
type Due = (u64, u64, u32);

/// Events that have not happened yet. The heap moves only what orders them; they stay in place.
#[derive(Debug)]
pub(super) struct Events<E> {
    heap: BinaryHeap<Reverse<Due>>,
    table: Vec<Option<E>>,
    free: Vec<u32>,
    made: u64,
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), table: Vec::new(), free: Vec::new(), made: 0 }
    }
}

impl<E> Events<E> {
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

    /// The next event and its time, if that is not after `end`.
    pub(super) fn pop_until(&mut self, end: u64) -> Option<(u64, E)> {
        let &Reverse((at, _, place)) = self.heap.peek()?;
        if at > end {
            return None;
        }
        self.heap.pop();
        self.free.push(place);
        Some((at, self.table[place as usize].take().expect("an event happens once")))
    }

    /// Events made so far: a number that no two of them share.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Takes out all events, in order, and leaves none.
    pub(super) fn take_all(&mut self) -> Vec<(u64, E)> {
        std::iter::from_fn(|| self.pop_until(u64::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_in_order_of_time_and_then_of_making() {
        let mut events = Events::default();
        for (at, event) in [(5, 'b'), (1, 'a'), (5, 'c'), (9, 'd')] {
            events.push(at, event);
        }
        assert_eq!(events.pop_until(4), Some((1, 'a')));
        assert_eq!(events.pop_until(4), None);
        events.push(5, 'e');
        let rest: String = events.take_all().into_iter().map(|(_, event)| event).collect();
        assert_eq!(rest, "bced");
    }
}
