//! A history as a table, an operation a row.

use crate::columns::{Column, Values};
use crate::history::{Operation, Outcome};

/// What the clients saw. A value is known by the id of the operation that wrote it, as in
/// [`Operation`]; `end_ns` is empty where nobody answered.
#[must_use]
pub fn columns(operations: &[Operation]) -> Vec<Column> {
    let counts = |of: fn(&Operation) -> u64| Values::Counts(operations.iter().map(of).collect());
    let end =
        |operation: &Operation| (operation.outcome != Outcome::Unknown).then_some(operation.end_ns);
    let kinds = operations.iter().map(|operation| operation.kind.name().to_owned());
    let outcomes = operations.iter().map(|operation| operation.outcome.name().to_owned());
    vec![
        Column::new("session", counts(|operation| operation.session.into())),
        Column::new("kind", Values::Words(kinds.collect())),
        Column::new("key", counts(|operation| operation.key)),
        Column::new("start_ns", counts(|operation| operation.start_ns)),
        Column::new("end_ns", Values::MaybeCounts(operations.iter().map(end).collect())),
        Column::new("outcome", Values::Words(outcomes.collect())),
        Column::new("written", counts(|operation| operation.written)),
        Column::new("expected", counts(|operation| operation.expected)),
        Column::new("observed", counts(|operation| operation.observed)),
        Column::new("version", counts(|operation| operation.version)),
    ]
}
