//! Histories like those of a real run, for the benches.

use synod_results::history::{Kind, Operation, Outcome};

/// A linearizable history of `count` operations on `keys` keys by `sessions` sessions, each with
/// one operation under way: half gets and half writes, of which a tenth are compare-and-swaps and
/// a few are never answered. In the order of the answers, as a load generator records it.
#[expect(clippy::cast_possible_truncation, reason = "remainders of what fits")]
pub(crate) fn history(count: usize, keys: usize, sessions: u32) -> Vec<Operation> {
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut values = vec![(0_u64, true); keys];
    let mut sequences = vec![0_u32; sessions as usize];
    let mut operations = Vec::with_capacity(count);
    for point in 0..count as u64 {
        let session = (point % u64::from(sessions)) as u32;
        let key = random() % keys as u64;
        let (value, is_absent) = &mut values[key as usize];
        // It takes effect at its point; the neighbours of one session do not overlap.
        let half_ns = 100 * u64::from(sessions) / 2;
        let at_ns = 1_000_000 + point * 100;
        let mut operation = Operation {
            start_ns: at_ns - random() % half_ns,
            end_ns: at_ns + random() % half_ns,
            key,
            version: point + 1,
            session,
            ..Operation::default()
        };
        let choice = random() % 100;
        if choice < 50 {
            operation.observed = *value;
            operation.outcome = if *is_absent { Outcome::Absent } else { Outcome::Ok };
        } else {
            sequences[session as usize] += 1;
            operation.written = Operation::id(session, sequences[session as usize]);
            operation.kind = if choice < 95 { Kind::Put } else { Kind::CompareAndSwap };
            operation.expected = if choice < 95 { 0 } else { *value };
            if choice == 50 {
                (operation.outcome, operation.end_ns) = (Outcome::Unknown, u64::MAX);
                operation.version = 0;
            }
            (*value, *is_absent) = (operation.written, false);
        }
        operations.push(operation);
    }
    operations
}
