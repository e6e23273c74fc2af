//! Whether the transactions of a history are strictly serializable: whether there is one order of all
//! of them that explains every answer and agrees with real time.
//!
//! That each key by itself is linearizable, and that versions are those of its writes in their order,
//! is known before ([`super::run`]). So it is known which write of a key comes before which other one,
//! and what each read saw. From that follows which transaction must come before which other one
//! (Adya, Liskov and O'Neil, *Generalized Isolation Level Definitions*, 2000, section 4). With real
//! time as a chain of moments the graph has a few edges for each operation. There is an order if and
//! only if there is no circle, which one sort says (Kahn 1962). A transaction that was never answered
//! counts as soon as anything that it writes was seen. What of it was not seen comes after all writes
//! that say what they replaced; if others that were never answered wrote the same key, where it comes is
//! left open. Nothing right is called wrong by that.

use std::collections::BTreeMap;

use super::explain::{Rule, Violation};
use super::{Broken, Finding};
use crate::history::{Kind, Operation, Outcome};

/// What it takes to hold an operation with its part of the graph.
pub(super) const OPERATION_BYTES: u64 = 256;

/// Judges the operations of a history; those of one transaction have one session and one start.
/// Returns how many transactions there are.
pub(super) fn judge(operations: &[Operation], broken: Broken) -> Result<u64, Finding> {
    let mut parts: Vec<Part> = operations.iter().map(|&operation| Part::new(operation)).collect();
    if parts.iter().any(|part| part.happened && part.writes() && part.version == 0) {
        let reason = "writes have no version, so their order is not known".to_owned();
        return Err(Finding::Undecidable(reason));
    }
    let transactions = number(&mut parts);
    name_unanswered(&mut parts);
    let mut graph = Graph::new(transactions.len(), broken);
    graph.add_time(&transactions);
    parts.sort_unstable_by_key(|part| (part.operation.key, part.version, part.rank()));
    for of_key in parts.chunk_by(|one, other| one.operation.key == other.operation.key) {
        graph.add_key(of_key);
    }
    match graph.circle() {
        None => Ok(transactions.len() as u64),
        Some(circle) => Err(Finding::Violation(Box::new(violation(&parts, &circle)))),
    }
}

/// An operation with its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) operation: Operation,
    pub(super) transaction: usize,
    /// The version that it read or wrote. That of an unanswered write is found out by whoever saw it;
    /// until then it is larger than all others.
    pub(super) version: u64,
    /// Whether anything that its transaction writes was seen, or answered.
    pub(super) happened: bool,
}

impl Part {
    pub(super) fn new(operation: Operation) -> Self {
        let happened = !matches!(operation.outcome, Outcome::Unknown | Outcome::Refused);
        let version = if happened { operation.version } else { u64::MAX };
        Self { operation, transaction: 0, version, happened }
    }

    /// Whether it changed its key, or may have.
    pub(super) fn writes(&self) -> bool {
        let Operation { kind, written, .. } = self.operation;
        match self.operation.outcome {
            Outcome::Ok | Outcome::Unknown if kind == Kind::Transfer => written != 0,
            Outcome::Ok | Outcome::Unknown => kind != Kind::Get,
            Outcome::Absent | Outcome::Mismatch | Outcome::Refused => false,
        }
    }

    /// Of one version the write comes first. What a swap replaced, and nobody else saw, has the version
    /// of the swap, and comes before it.
    pub(super) fn rank(&self) -> u8 {
        match (self.writes(), self.operation.outcome) {
            (true, Outcome::Unknown) => 0,
            (true, _) => 1,
            (false, _) => 2,
        }
    }
}

/// When a transaction began and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start_ns: u64,
    /// `u64::MAX` without an answer.
    end_ns: u64,
}

/// Gives each part the number of its transaction. They are left in that order, and by key.
pub(super) fn number(parts: &mut [Part]) -> Vec<Span> {
    parts.sort_unstable_by_key(|part| {
        let Operation { session, start_ns, key, .. } = part.operation;
        (session, start_ns, key)
    });
    let mut transactions: Vec<Span> = Vec::new();
    let mut last = None;
    for part in parts {
        let Operation { session, start_ns, end_ns, .. } = part.operation;
        if last != Some((session, start_ns)) {
            transactions.push(Span { start_ns, end_ns });
            last = Some((session, start_ns));
        }
        part.transaction = transactions.len() - 1;
    }
    transactions
}

/// Finds the versions of writes that were never answered, as far as they were seen.
fn name_unanswered(parts: &mut [Part]) {
    let is_unanswered = |part: &Part| part.writes() && part.operation.outcome == Outcome::Unknown;
    let writers: BTreeMap<(u64, u64), usize> = (0..)
        .zip(parts.iter())
        .filter(|(_, part)| is_unanswered(part))
        .map(|(place, part)| ((part.operation.key, part.operation.written), place))
        .collect();
    if writers.is_empty() {
        return;
    }
    let mut seen = Vec::new();
    for part in parts.iter().filter(|part| part.happened) {
        let Operation { key, kind, expected, observed, .. } = part.operation;
        let is_swap = kind == Kind::CompareAndSwap && part.writes();
        let id = if is_swap { expected } else { observed };
        if let Some(&writer) = writers.get(&(key, id)) {
            seen.push((writer, part.version));
        }
    }
    for (writer, version) in seen {
        // A read tells the version itself, and a swap one that is later.
        parts[writer].version = parts[writer].version.min(version);
        let transaction = parts[writer].transaction;
        // Parts are still in the order of their transactions.
        let from = parts.partition_point(|part| part.transaction < transaction);
        let of_it = parts[from..].iter_mut().take_while(|part| part.transaction == transaction);
        of_it.for_each(|part| part.happened = true);
    }
}

/// What must come before what. The first nodes are the transactions, the others moments.
#[derive(Debug)]
pub(super) struct Graph {
    transactions: usize,
    nodes: usize,
    edges: Vec<(u32, u32)>,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests break it"))]
    broken: Broken,
}

impl Graph {
    pub(super) fn new(transactions: usize, broken: Broken) -> Self {
        Self { transactions, nodes: transactions, edges: Vec::new(), broken }
    }

    fn add(&mut self, earlier: usize, later: usize) {
        if earlier != later {
            let narrow = |node| u32::try_from(node).expect("histories fit memory");
            self.edges.push((narrow(earlier), narrow(later)));
        }
    }

    /// Whatever ended comes before the moment of its end, and that before whatever begins later.
    pub(super) fn add_time(&mut self, transactions: &[Span]) {
        #[cfg(test)]
        if self.broken.is(super::tests::Mutant::TransactionsIgnoreTime) {
            return;
        }
        let mut ends: Vec<(u64, usize)> =
            (0..).zip(transactions).map(|(number, span)| (span.end_ns, number)).collect();
        ends.retain(|&(end_ns, _)| end_ns < u64::MAX);
        ends.sort_unstable();
        let first = self.nodes;
        for (place, &(_, number)) in ends.iter().enumerate() {
            self.add(number, first + place);
            if place > 0 {
                self.add(first + place - 1, first + place);
            }
        }
        self.nodes += ends.len();
        for (number, span) in transactions.iter().enumerate() {
            let before = ends.partition_point(|&(end_ns, _)| end_ns < span.start_ns);
            if before > 0 {
                self.add(first + before - 1, number);
            }
        }
    }

    /// All parts on one key, by version.
    pub(super) fn add_key(&mut self, parts: &[Part]) {
        // The last write, and those that read it.
        let mut writer = None;
        let mut readers: Vec<usize> = Vec::new();
        // When the last write ended that does not say what it replaced.
        let mut blind_until_ns: Option<u64> = None;
        for part in parts.iter().filter(|part| part.happened) {
            if part.version == u64::MAX {
                // What a transaction wrote and nobody saw was not replaced by a write that says what
                // it replaced: it comes after all of those.
                let is_last = part.writes()
                    && blind_until_ns.is_none_or(|until_ns| part.operation.start_ns > until_ns);
                #[cfg(test)]
                let is_last =
                    is_last && !self.broken.is(super::tests::Mutant::TransactionsMayBeTorn);
                if is_last {
                    let others = readers.iter().copied().chain(writer);
                    others.for_each(|other| self.add(other, part.transaction));
                }
                continue;
            }
            if let Some(writer) = writer {
                self.add(writer, part.transaction);
            }
            if !part.writes() {
                readers.push(part.transaction);
                continue;
            }
            #[cfg(test)]
            if self.broken.is(super::tests::Mutant::TransactionsIgnoreReads) {
                readers.clear();
            }
            if !matches!(part.operation.kind, Kind::CompareAndSwap | Kind::Transfer) {
                blind_until_ns = blind_until_ns.max(Some(part.operation.end_ns));
            }
            readers.drain(..).for_each(|reader| self.add(reader, part.transaction));
            writer = Some(part.transaction);
        }
    }

    /// Transactions each of which must come before the next, and the last before the first.
    pub(super) fn circle(&self) -> Option<Vec<usize>> {
        let mut after_from = vec![0_u32; self.nodes + 1];
        self.edges.iter().for_each(|&(earlier, _)| after_from[earlier as usize + 1] += 1);
        (0..self.nodes).for_each(|node| after_from[node + 1] += after_from[node]);
        let mut after = vec![0_u32; self.edges.len()];
        let mut filled = after_from.clone();
        let mut before = vec![0_u32; self.nodes];
        for &(earlier, later) in &self.edges {
            after[filled[earlier as usize] as usize] = later;
            filled[earlier as usize] += 1;
            before[later as usize] += 1;
        }
        let following =
            |node: usize| &after[after_from[node] as usize..after_from[node + 1] as usize];
        let mut free: Vec<usize> = (0..self.nodes).filter(|&node| before[node] == 0).collect();
        let mut done = 0;
        while let Some(node) = free.pop() {
            done += 1;
            for &later in following(node) {
                before[later as usize] -= 1;
                if before[later as usize] == 0 {
                    free.push(later as usize);
                }
            }
        }
        (done < self.nodes).then(|| self.shortest_circle(&before, following))
    }

    /// A short circle among the nodes that the sort could not place.
    fn shortest_circle<'a>(
        &self,
        before: &[u32],
        following: impl Fn(usize) -> &'a [u32],
    ) -> Vec<usize> {
        let is_left = |node: usize| before[node] > 0;
        let starts = (0..self.transactions).filter(|&node| is_left(node)).take(STARTS_MAX);
        let circles = starts.filter_map(|start| {
            // Breadth first, until the way leads back.
            let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
            let mut line = std::collections::VecDeque::from([start]);
            while let Some(node) = line.pop_front() {
                for &later in following(node) {
                    let later = later as usize;
                    if later == start {
                        let mut circle = vec![node];
                        while let Some(&from) = came_from.get(circle.last()?) {
                            circle.push(from);
                        }
                        circle.retain(|&node| node < self.transactions);
                        return Some(circle);
                    }
                    if is_left(later) && !came_from.contains_key(&later) {
                        came_from.insert(later, node);
                        line.push_back(later);
                    }
                }
            }
            None
        });
        circles.min_by_key(Vec::len).unwrap_or_default()
    }
}

/// Transactions from which a short circle is looked for.
const STARTS_MAX: usize = 200;

/// The operations of a circle.
pub(super) fn violation(parts: &[Part], circle: &[usize]) -> Violation {
    let of_circle = parts.iter().filter(|part| circle.contains(&part.transaction));
    Violation::new(Rule::TransactionCycle, of_circle.map(|part| part.operation).collect())
}
