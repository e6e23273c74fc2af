//! Linearizability of registers whose writes all write different values, after Gibbons and
//! Korach, "Testing Shared Memories" (1997), in O(n log n).
//!
//! A written value and its reads form a *group* (`check/groups.rs`). As no value is written twice,
//! the group's operations follow each other without another group's between them. A successful
//! compare-and-swap reads one value and replaces it by the next, so it ties their groups
//! together, and a chain of them is a *block*: its groups follow each other in one order only.
//!
//! Let *first end* be the earliest answer in a block and *last start* the latest call. If the
//! first end comes before the last start, the value must have been current all the time between:
//! a *forward zone*. Otherwise the operations all overlap, and the block fits in at any one moment
//! between last start and first end: a *backward zone*. The history is linearizable if and only if
//! (a) each block's own order agrees with real time, (b) no two forward zones overlap, and (c) no
//! backward zone lies within a forward one. Stamps that are equal count as overlapping.
//!
//! A write without an answer counts only if somebody saw its value; then it ends never.

use super::Broken;
use super::explain::Rule;
use super::fault::{Fault, Role};
use super::groups::{Group, Groups, NONE};
use super::record::{ABSENT, AS_EXPECTED, DELETE, FOUND, PAIR, SWAP, UNANSWERED, WRITER, WRITTEN};

/// The span of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Zone {
    /// When the zone begins, and below that whether it is a forward one: of zones that begin at
    /// one time, the backward ones come first, because they lie within none that begins there.
    begin_and_is_forward: u64,
    end: u64,
}

impl Zone {
    const fn new(first_end: u64, last_start: u64) -> Self {
        if first_end < last_start {
            Self { begin_and_is_forward: first_end << 1 | 1, end: last_start }
        } else {
            Self { begin_and_is_forward: last_start << 1, end: first_end }
        }
    }

    const fn begin(self) -> u64 {
        self.begin_and_is_forward >> 1
    }

    const fn is_forward(self) -> bool {
        self.begin_and_is_forward & 1 == 1
    }
}

/// The memory of the check of registers, kept from partition to partition.
#[derive(Debug, Default)]
pub(super) struct RegisterCheck {
    /// Zones key by key.
    zones: Vec<Zone>,
    /// For each key, where its next zone goes; then where its zones end.
    ends: Vec<u32>,
    #[cfg_attr(not(test), expect(dead_code, reason = "only mutants look at it"))]
    broken: Broken,
}

impl RegisterCheck {
    pub(super) fn new(broken: Broken) -> Self {
        Self { broken, ..Self::default() }
    }

    /// Judges all groups but those of counters.
    pub(super) fn check(&mut self, groups: &mut Groups) -> Result<(), Box<Fault>> {
        settle_unanswered_swaps(groups)?;
        self.gather_zones(groups)?;
        self.compare_zones(groups)
    }

    /// Says what is wrong with a group in itself, if anything is.
    fn examine(&self, group: &Group) -> Result<(), Box<Fault>> {
        let value = group.value;
        let writer = Role::Writer(value);
        #[cfg(test)]
        if self.broken.is(super::tests::Mutant::IgnoreUnansweredWrites)
            && group.has(UNANSWERED)
            && group.is_seen()
        {
            return Err(Fault::rule(group.key, Rule::ValueFromNowhere, &[Role::Finder(value)]));
        }
        let (rule, roles) = if !group.is_seen() {
            return Ok(());
        } else if let Some(rule) = never_written(group) {
            let has_writer = group.has(WRITER);
            (rule, [if has_writer { writer } else { Role::Finder(value) }, Role::Finder(value)])
        } else if group.first_end < group.writer_start() {
            (Rule::ReadBeforeWrite, [writer, Role::Ends(value, group.first_end)])
        } else if group.has(ABSENT) && !group.has(DELETE) {
            (Rule::AbsentDespiteValue, [writer, Role::AbsentFinder(value)])
        } else if group.has(FOUND) && value == 0 {
            (Rule::ValueUnnamed, [Role::ValueFinder(value); 2])
        } else if group.has(FOUND) && group.has(DELETE) {
            (Rule::ValueDespiteDelete, [writer, Role::ValueFinder(value)])
        } else if group.has(AS_EXPECTED) {
            (Rule::MismatchDespiteMatch, [writer, Role::ExpectingFinder(value)])
        } else {
            return Ok(());
        };
        Err(Fault::rule(group.key, rule, &roles))
    }

    /// Walks each block from its head, checks its own order, and files its zone.
    fn gather_zones(&mut self, groups: &Groups) -> Result<(), Box<Fault>> {
        self.ends.clear();
        let mut end = 0;
        for key in &groups.keys {
            self.ends.push(end);
            end += key.groups;
        }
        // What an earlier partition left there is overwritten, and nothing else is read.
        if self.zones.len() < end as usize {
            self.zones.resize(end as usize, Zone::default());
        }
        let (mut walked, mut counted) = (0, 0);
        for group in &groups.all {
            if !is_usual(group) {
                if is_of_counter(groups, group) {
                    continue;
                }
                self.examine(group)?;
                if !group.counts() {
                    continue;
                }
            } else if groups.counters != 0 && is_of_counter(groups, group) {
                continue;
            }
            counted += 1;
            if group.has(SWAP) {
                continue;
            }
            let block = block_of(groups, group)?;
            walked += block.groups;
            let next = &mut self.ends[group.key_number as usize];
            self.zones[*next as usize] = block.zone;
            *next = next.wrapping_add(1);
        }
        if walked == counted { Ok(()) } else { Err(cycle_fault(groups)) }
    }

    fn compare_zones(&mut self, groups: &Groups) -> Result<(), Box<Fault>> {
        let mut begin = 0;
        for ((key_number, key), &end) in (0_u32..).zip(&groups.keys).zip(&self.ends) {
            let zones = &mut self.zones[begin as usize..end as usize];
            begin += key.groups;
            sort(zones);
            // When the last forward zone that has begun ends: those before it ended earlier.
            let mut current_end = 0;
            for (at, zone) in zones.iter().enumerate() {
                #[cfg(test)]
                match self.broken.mutant {
                    Some(super::tests::Mutant::CompareWithItself) if zone.is_forward() => {
                        current_end = zone.end;
                    }
                    Some(super::tests::Mutant::SkipBackwardZones) if !zone.is_forward() => continue,
                    _ => {}
                }
                let must_reach = if zone.is_forward() { zone.begin() } else { zone.end };
                if must_reach < current_end {
                    let mut before = zones[..at].iter().rev();
                    let outer = before.find(|outer| outer.is_forward()).unwrap_or(zone);
                    return Err(zones_fault(groups, key_number, *outer, *zone));
                }
                current_end = if zone.is_forward() { zone.end } else { current_end };
            }
        }
        Ok(())
    }
}

/// Whether there is certainly nothing to be said about the group alone.
fn is_usual(group: &Group) -> bool {
    let contradiction = if group.has(DELETE) { FOUND } else { ABSENT };
    group.has(WRITTEN)
        && !group.has(contradiction | AS_EXPECTED)
        && group.first_end >= group.writer_start()
}

fn is_of_counter(groups: &Groups, group: &Group) -> bool {
    groups.keys[group.key_number as usize].is_counter
}

/// An unanswered compare-and-swap whose value was seen did succeed; so it saw the value that it
/// expected, which may again be that of an unanswered one.
fn settle_unanswered_swaps(groups: &mut Groups) -> Result<(), Box<Fault>> {
    let mut pending = std::mem::take(&mut groups.unanswered_swaps);
    pending.sort_unstable();
    for &(first, _) in &pending {
        let mut own = first;
        while let Ok(at) = pending.binary_search_by_key(&own, |&(own, _)| own)
            && !groups.all[own as usize].has(WRITTEN)
            && groups.all[own as usize].is_seen()
        {
            let (group, value) = (groups.all[own as usize], pending[at].1);
            let expected = groups.find(group.key, value);
            let broken = expected.map_or(Some(Rule::ValueFromNowhere), |expected| {
                never_written(&groups.all[expected as usize])
            });
            if let Some(rule) = broken {
                let roles = [Role::Writer(value), Role::Writer(group.value)];
                return Err(Fault::rule(group.key, rule, &roles));
            }
            let expected = expected.expect("or the value is from nowhere");
            groups.replace(expected, own)?;
            // From here on it is as good as answered, and not looked at again.
            groups.all[own as usize].set(WRITTEN);
            own = expected;
        }
    }
    groups.unanswered_swaps = pending;
    Ok(())
}

/// The rule that is broken if the value of this group was found, if it was never written.
fn never_written(group: &Group) -> Option<Rule> {
    if group.has(WRITTEN | UNANSWERED) {
        None
    } else if !group.has(WRITER) {
        Some(Rule::ValueFromNowhere)
    } else if group.has(PAIR) {
        Some(Rule::FailedValueRead)
    } else {
        Some(Rule::RefusedValueRead)
    }
}

/// A block of groups.
struct Block {
    zone: Zone,
    groups: u32,
}

/// The block that begins with `head`, if its order agrees with real time.
#[inline]
fn block_of(groups: &Groups, head: &Group) -> Result<Block, Box<Fault>> {
    let (mut first_end, mut last_start) = (head.first_end, head.last_start);
    let (mut next, mut walked) = (head.successor, 1);
    while next != NONE {
        let group = &groups.all[next as usize];
        if group.first_end < last_start {
            return Err(block_order_fault(groups, head, group));
        }
        first_end = first_end.min(group.first_end);
        last_start = last_start.max(group.last_start);
        walked += 1;
        next = group.successor;
    }
    Ok(Block { zone: Zone::new(first_end, last_start), groups: walked })
}

/// The groups of the block that begins with `head`.
fn block_groups<'a>(groups: &'a Groups, head: &'a Group) -> impl Iterator<Item = &'a Group> {
    std::iter::successors(Some(head), |group| {
        (group.successor != NONE).then(|| &groups.all[group.successor as usize])
    })
}

/// The operations that bound two zones of a key, and the writers of the values at hand.
#[cold]
fn zones_fault(groups: &Groups, key_number: u32, outer: Zone, inner: Zone) -> Box<Fault> {
    let rule = if inner.is_forward() { Rule::BothCurrent } else { Rule::OverwrittenButRead };
    let mut roles = Vec::new();
    let mut key = 0;
    let is_head =
        |group: &&Group| group.key_number == key_number && group.counts() && !group.has(SWAP);
    for zone in [outer, inner] {
        let heads = groups.all.iter().filter(is_head);
        // Two zones may be equal, and are then of different groups.
        let mut fitting =
            heads.filter(|head| block_of(groups, head).is_ok_and(|block| block.zone == zone));
        let head = if roles.is_empty() { fitting.next() } else { fitting.next_back() };
        let head = head.expect("a zone is that of a block");
        let ends = block_groups(groups, head).min_by_key(|group| group.first_end);
        let starts = block_groups(groups, head).max_by_key(|group| group.last_start);
        let (ends, starts) = (ends.expect("not empty"), starts.expect("not empty"));
        roles.extend([Role::Ends(ends.value, ends.first_end), Role::Writer(ends.value)]);
        roles.extend([Role::Starts(starts.value, starts.last_start), Role::Writer(starts.value)]);
        key = head.key;
    }
    Fault::rule(key, rule, &roles)
}

/// The compare-and-swap `late` replaced a value before all operations on it had begun.
#[cold]
fn block_order_fault(groups: &Groups, head: &Group, late: &Group) -> Box<Fault> {
    let early = block_groups(groups, head)
        .take_while(|group| group.value != late.value)
        .max_by_key(|group| group.last_start)
        .expect("a block has a head");
    let roles = [
        Role::Writer(early.value),
        Role::Starts(early.value, early.last_start),
        Role::Ends(late.value, late.first_end),
        Role::Writer(late.value),
    ];
    Fault::rule(head.key, Rule::SwapAgainstTime, &roles)
}

/// Blocks without a head: each compare-and-swap needs the value that another one writes.
#[cold]
fn cycle_fault(groups: &Groups) -> Box<Fault> {
    let mut reached = vec![false; groups.all.len()];
    for (head, group) in groups.all.iter().enumerate() {
        let mut next = if group.has(SWAP) { None } else { Some(head) };
        while let Some(number) = next {
            reached[number] = true;
            let successor = groups.all[number].successor;
            next = (successor != NONE).then_some(successor as usize);
        }
    }
    let mut unreached = groups
        .all
        .iter()
        .zip(reached)
        .filter(|(group, reached)| !reached && group.counts() && !is_of_counter(groups, group));
    let (first, _) = unreached.next().expect("a block without a head was counted");
    let others = block_groups(groups, first).skip(1).take_while(|group| group.value != first.value);
    let mut roles = vec![Role::Writer(first.value)];
    roles.extend(others.map(|group| Role::Writer(group.value)));
    Fault::rule(first.key, Rule::SwapCycle, &roles)
}

/// Sorts zones that are nearly in order already, as the answers of a history are.
fn sort(zones: &mut [Zone]) {
    // So many steps for each zone cost about as much as to sort without knowing anything.
    let mut steps_left = 16 * zones.len();
    for at in 1..zones.len() {
        let zone = zones[at];
        let mut hole = at;
        while hole > 0 && zone.begin_and_is_forward < zones[hole - 1].begin_and_is_forward {
            zones[hole] = zones[hole - 1];
            hole -= 1;
        }
        zones[hole] = zone;
        steps_left = steps_left.saturating_sub(at - hole);
        if steps_left == 0 {
            zones.sort_unstable();
            return;
        }
    }
}
