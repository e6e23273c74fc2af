//! A bounded ring of slots: the only place where a slot becomes an index.

use alloc::boxed::Box;
use alloc::vec;

use crate::types::Slot;

/// Elements for the slots `base..base + capacity`.
///
/// There is memory for as many as were ever needed at a time: a replica that has just begun, as it does
/// often in simulations, would otherwise do little else than to make elements that it never looks at.
///
/// Invariant: an element outside that range does not exist; moving `base` forward resets what
/// falls out.
#[derive(Debug)]
pub struct Window<T> {
    base: Slot,
    capacity: usize,
    /// The elements from `base` on, a power of two of them; all behind are blank.
    elements: Box<[T]>,
    blank: T,
}

/// Elements that there is memory for from the start.
const ELEMENTS_MIN: usize = 64;

impl<T: Copy + Default> Window<T> {
    /// A window from slot 0.
    ///
    /// # Panics
    /// If `capacity` is not a power of two: the index is then a mask.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two());
        let elements = vec![T::default(); capacity.min(ELEMENTS_MIN)].into_boxed_slice();
        Self { base: Slot(0), capacity, elements, blank: T::default() }
    }

    /// The first slot that the window covers.
    #[must_use]
    pub const fn base(&self) -> Slot {
        self.base
    }

    /// The first slot behind the window.
    #[must_use]
    pub fn end(&self) -> Slot {
        self.base + self.capacity as u64
    }

    /// The element of `slot`, if the window covers it.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&T> {
        if self.holds(slot) {
            return Some(&self.elements[self.index(slot)]);
        }
        self.covers(slot).then_some(&self.blank)
    }

    /// The element of `slot`, if the window covers it.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        if !self.holds(slot) {
            if !self.covers(slot) {
                return None;
            }
            self.grow(slot);
        }
        let index = self.index(slot);
        Some(&mut self.elements[index])
    }

    /// Moves the window one slot forward and returns the element that fell out.
    pub fn advance(&mut self) -> T {
        let index = self.index(self.base);
        self.base = self.base.next();
        core::mem::take(&mut self.elements[index])
    }

    /// Moves the window to start at `base`, which may lie anywhere ahead, handing over each element
    /// that falls out.
    pub fn advance_to(&mut self, base: Slot, mut dropped: impl FnMut(T)) {
        assert!(base >= self.base);
        if !self.holds(base) {
            self.elements.iter_mut().for_each(|element| dropped(core::mem::take(element)));
            self.base = base;
        }
        while self.base < base {
            dropped(self.advance());
        }
    }

    /// Makes memory for all elements up to that of `slot`.
    #[cold]
    fn grow(&mut self, slot: Slot) {
        let mut count = self.elements.len();
        while slot - self.base >= count as u64 {
            count *= 2;
        }
        // In both the elements lie in order, from where that of `base` lies.
        let first = self.index(self.base);
        let fewer = core::mem::replace(&mut self.elements, vec![T::default(); count].into());
        let (wrapped, front) = fewer.split_at(first);
        for (place, &element) in (0..).zip(front.iter().chain(wrapped)) {
            let index = self.index(self.base + place);
            self.elements[index] = element;
        }
    }

    /// Whether there is memory for the element of `slot`.
    fn holds(&self, slot: Slot) -> bool {
        slot >= self.base && slot - self.base < self.elements.len() as u64
    }

    fn covers(&self, slot: Slot) -> bool {
        slot >= self.base && slot < self.end()
    }

    #[allow(clippy::cast_possible_truncation, reason = "the mask keeps it below the capacity")]
    fn index(&self, slot: Slot) -> usize {
        (slot.0 & (self.elements.len() as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn covers_exactly_its_capacity() {
        let mut window = Window::<u32>::new(4);
        *window.get_mut(Slot(3)).expect("slot 3 is the last of four") = 7;
        assert_eq!(window.get(Slot(4)), None);
        assert_eq!(window.advance(), 0);
        assert_eq!(window.get(Slot(0)), None);
        assert_eq!(window.get(Slot(4)), Some(&0));
        assert_eq!(window.get(Slot(3)), Some(&7));
    }

    #[test]
    fn grows_to_what_is_needed_and_no_further() {
        let mut window = Window::<u64>::new(4 * ELEMENTS_MIN);
        window.advance_to(Slot(77), drop);
        let slots = || (77..77 + 4 * ELEMENTS_MIN as u64).map(Slot);
        assert!(slots().all(|slot| window.get(slot) == Some(&0)), "blank ones are there");
        assert_eq!(window.elements.len(), ELEMENTS_MIN);
        for slot in slots() {
            *window.get_mut(slot).expect("covered") = slot.0;
        }
        assert!(slots().all(|slot| window.get(slot) == Some(&slot.0)));
        assert_eq!(window.elements.len(), 4 * ELEMENTS_MIN);
        assert_eq!(window.get_mut(window.end()), None);
        let mut dropped = Vec::new();
        window.advance_to(Slot(1000), |element| dropped.push(element));
        dropped.sort_unstable();
        assert!(dropped.into_iter().eq(slots().map(|slot| slot.0)));
    }

    #[test]
    fn jumps_drop_every_element_once() {
        for to in [1, 3, 4, 5, 100] {
            let mut window = Window::<u32>::new(4);
            (0..4).for_each(|slot| *window.get_mut(Slot(slot)).expect("covered") = 1);
            let mut dropped = 0;
            window.advance_to(Slot(to), |element| dropped += element);
            assert_eq!(u64::from(dropped), to.min(4));
            assert_eq!(window.base(), Slot(to));
        }
    }
}
