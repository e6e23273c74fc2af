//! A bounded ring of slots: the only place where a slot becomes an index.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::types::Slot;

/// Elements for the slots `base..base + capacity`.
///
/// Invariant: an element outside that range does not exist; moving `base` forward resets what
/// falls out.
#[derive(Debug)]
pub struct Window<T> {
    base: Slot,
    elements: Box<[T]>,
}

impl<T: Copy + Default> Window<T> {
    /// A window from slot 0.
    ///
    /// # Panics
    /// If `capacity` is not a power of two: the index is then a mask.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two());
        let elements: Vec<T> = (0..capacity).map(|_| T::default()).collect();
        Self { base: Slot(0), elements: elements.into_boxed_slice() }
    }

    /// The first slot that the window covers.
    #[must_use]
    pub const fn base(&self) -> Slot {
        self.base
    }

    /// The first slot behind the window.
    #[must_use]
    pub fn end(&self) -> Slot {
        self.base + self.elements.len() as u64
    }

    /// The element of `slot`, if the window covers it.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&T> {
        self.covers(slot).then(|| &self.elements[self.index(slot)])
    }

    /// The element of `slot`, if the window covers it.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let index = self.index(slot);
        self.covers(slot).then(|| &mut self.elements[index])
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
        if base - self.base >= self.elements.len() as u64 {
            self.elements.iter_mut().for_each(|element| dropped(core::mem::take(element)));
            self.base = base;
        }
        while self.base < base {
            dropped(self.advance());
        }
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
