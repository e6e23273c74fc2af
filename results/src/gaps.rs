//! How long nothing was answered: what a fault costs those who ask.

use crate::check::Source;
use crate::history::{HistoryError, Outcome};

/// Pieces of a run for each of which the first and the last answer are known, whatever its length:
/// gaps that are shorter than a piece are not seen.
const PIECES: usize = 1 << 20;

/// The first and the last answer of a piece of the run.
type Ends = Option<(u64, u64)>;

/// The longest time without an answer within each window; all times on the clock of the history,
/// whose load was from `from_ns` to `until_ns`.
///
/// # Errors
/// If the history cannot be read to its end.
pub fn longest(
    windows_ns: &[(u64, u64)],
    source: &(impl Source + ?Sized),
    (from_ns, until_ns): (u64, u64),
) -> Result<Vec<u64>, HistoryError> {
    let gaps = all(source, (from_ns, until_ns))?;
    let longest = windows_ns.iter().map(|&(opens_ns, closes_ns)| {
        let within = gaps.iter().map(|&(began_ns, ended_ns)| {
            ended_ns.min(closes_ns).saturating_sub(began_ns.max(opens_ns))
        });
        within.max().unwrap_or(0)
    });
    Ok(longest.collect())
}

/// When nothing was answered, from when to when, in order.
fn all(
    source: &(impl Source + ?Sized),
    (from_ns, until_ns): (u64, u64),
) -> Result<Vec<(u64, u64)>, HistoryError> {
    let length_ns = until_ns.saturating_sub(from_ns).div_ceil(PIECES as u64).max(1);
    let mut pieces: Vec<Ends> = vec![None; PIECES];
    source.for_each_block(&mut |block| {
        for operation in block {
            let answered = !matches!(operation.outcome, Outcome::Unknown | Outcome::Refused);
            let end_ns = operation.end_ns;
            if answered && (from_ns..until_ns).contains(&end_ns) {
                let place = usize::try_from((end_ns - from_ns) / length_ns).expect("few pieces");
                let (first_ns, last_ns) = pieces[place].unwrap_or((end_ns, end_ns));
                pieces[place] = Some((first_ns.min(end_ns), last_ns.max(end_ns)));
            }
        }
    })?;
    let mut gaps = Vec::new();
    let mut answered_ns = from_ns;
    for (first_ns, last_ns) in pieces.into_iter().flatten() {
        gaps.push((answered_ns, first_ns));
        answered_ns = last_ns;
    }
    gaps.push((answered_ns, until_ns.max(answered_ns)));
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Operation;

    const MS: u64 = 1_000_000;

    /// Answers at these milliseconds; what was refused or never answered is none.
    fn history(answers_ms: &[u64]) -> Vec<Operation> {
        let operation = |outcome, end_ns| Operation { outcome, end_ns, ..Operation::default() };
        let answers = answers_ms.iter().map(|at_ms| operation(Outcome::Ok, at_ms * MS));
        let no_answers =
            [operation(Outcome::Refused, 35 * MS), operation(Outcome::Unknown, u64::MAX)];
        answers.chain(no_answers).collect()
    }

    #[test]
    fn a_gap_counts_as_far_as_it_lies_within_the_window() {
        // Not in order, as two load threads tell them.
        let history = history(&[10, 20, 30, 50, 90, 5, 25, 45, 99]);
        let windows_ms = [(31, 100), (31, 47), (31, 40), (47, 80), (91, 200), (200, 300)];
        let windows_ns = windows_ms.map(|(opens_ms, closes_ms)| (opens_ms * MS, closes_ms * MS));
        let gaps = longest(&windows_ns, history.as_slice(), (0, 100 * MS)).unwrap();
        let gaps_ms: Vec<u64> = gaps.iter().map(|gap_ns| gap_ns / MS).collect();
        assert_eq!(gaps_ms, [40, 14, 9, 30, 8, 0]);
    }

    #[test]
    fn a_run_without_answers_is_one_gap() {
        assert_eq!(longest(&[(3, 90)], history(&[]).as_slice(), (0, 70)).unwrap(), [67]);
    }
}
