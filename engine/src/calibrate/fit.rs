//! Costs that explain measurements: nonlinear least squares (Levenberg 1944, Marquardt 1963).
//!
//! Costs are positive and differ by orders of magnitude, so the search works on their logarithms: a
//! step is a factor, and no cost can become less than nothing. Derivatives are differences, for what
//! is fitted is a simulator. A weak pull towards the start keeps costs where nothing tells them apart.

/// By how much a cost is varied to see what it does: enough to stand out of the grain of a simulator.
const STEP: f64 = 0.15;

/// The most that a cost changes in one round, as a logarithm.
const STRIDE_MAX: f64 = 0.7;

/// How often harder damping is tried before a round is given up.
const ATTEMPTS: usize = 6;

/// A round that gains less, as a share of the squares, has gained nothing.
const GAIN_MIN: f64 = 1e-3;

/// Rounds in a row that may gain nothing: the next one is damped otherwise.
const IDLE_MAX: usize = 2;

/// How a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Rounds at most; each evaluates once for each cost, and a few times more.
    pub rounds: usize,
    /// What it adds to the errors if a cost is off its start by a factor of e.
    pub pull: f64,
}

/// The costs whose residuals have the least squares, beginning at `start`; all of them are positive.
///
/// # Errors
/// That of the first evaluation that fails, or what `hear` says after a round.
pub fn least_squares<E>(
    start: &[f64],
    search: Search,
    mut residuals: impl FnMut(&[f64]) -> Result<Vec<f64>, E>,
    mut hear: impl FnMut(usize, f64) -> Result<(), E>,
) -> Result<Vec<f64>, E> {
    let origin: Vec<f64> = start.iter().map(|cost| cost.ln()).collect();
    let mut at = |logs: &[f64]| {
        let costs: Vec<f64> = logs.iter().map(|log| log.exp()).collect();
        let mut all = residuals(&costs)?;
        all.extend(logs.iter().zip(&origin).map(|(log, from)| search.pull * (log - from)));
        Ok::<_, E>(all)
    };
    let mut logs = origin.clone();
    let mut here = at(&logs)?;
    let mut damping = 0.01;
    let mut idle = 0;
    for round in 1..=search.rounds {
        let mut slopes = Vec::new();
        for cost in 0..logs.len() {
            let mut varied = logs.clone();
            varied[cost] += STEP;
            let there = at(&varied)?;
            slopes.push(there.iter().zip(&here).map(|(to, from)| (to - from) / STEP).collect());
        }
        idle += 1;
        for _ in 0..ATTEMPTS {
            let stride = stride(&slopes, &here, damping);
            let next: Vec<f64> = logs.iter().zip(&stride).map(|(log, by)| log + by).collect();
            let there = at(&next)?;
            if squares(&there) < squares(&here) {
                let gain = 1.0 - squares(&there) / squares(&here);
                (logs, here) = (next, there);
                damping = (damping / 5.0).max(1e-6);
                idle = if gain > GAIN_MIN { 0 } else { idle };
                break;
            }
            damping *= 5.0;
        }
        hear(round, squares(&here))?;
        if idle == IDLE_MAX {
            break;
        }
    }
    Ok(logs.iter().map(|log| log.exp()).collect())
}

fn squares(residuals: &[f64]) -> f64 {
    residuals.iter().map(|residual| residual * residual).sum()
}

/// Where the residuals, taken as straight lines with these slopes, are least: the more damping, the
/// shorter the way.
fn stride(slopes: &[Vec<f64>], residuals: &[f64], damping: f64) -> Vec<f64> {
    let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
    let mut rows: Vec<Vec<f64>> = slopes
        .iter()
        .enumerate()
        .map(|(place, slope)| {
            let mut row: Vec<f64> = slopes.iter().map(|other| dot(slope, other)).collect();
            row[place] += damping * (row[place] + 1e-3);
            row.push(-dot(slope, residuals));
            row
        })
        .collect();
    solve(&mut rows).into_iter().map(|by| by.clamp(-STRIDE_MAX, STRIDE_MAX)).collect()
}

/// Solves linear equations, each a row with its right side last, by elimination. The matrix is
/// positive definite, so the diagonal never vanishes and no rows have to be exchanged.
fn solve(rows: &mut [Vec<f64>]) -> Vec<f64> {
    let count = rows.len();
    for pivot in 0..count {
        let (above, below) = rows.split_at_mut(pivot + 1);
        let row = &above[pivot];
        for other in below {
            let share = other[pivot] / row[pivot];
            other.iter_mut().zip(row).for_each(|(to, from)| *to -= share * from);
        }
    }
    let mut solution = vec![0.0; count];
    for place in (0..count).rev() {
        let row = &rows[place];
        let known: f64 = (place + 1..count).map(|other| row[other] * solution[other]).sum();
        solution[place] = (row[count] - known) / row[place];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let mut rows =
            vec![vec![4.0, 1.0, 0.5, 9.0], vec![1.0, 3.0, 0.0, 5.0], vec![0.5, 0.0, 2.0, 3.5]];
        let solution = solve(&mut rows);
        for (first, expected) in [(0, 9.0), (1, 5.0), (2, 3.5)] {
            let row = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.0], [0.5, 0.0, 2.0]][first];
            let found: f64 = row.iter().zip(&solution).map(|(a, b)| a * b).sum();
            assert!((found - expected).abs() < 1e-9, "{solution:?}");
        }
    }

    #[test]
    fn a_sum_of_costs_is_taken_apart() {
        let truth = [40.0, 3_000.0, 700.0];
        let uses = [[1.0, 1.0, 0.0], [50.0, 1.0, 0.0], [1.0, 1.0, 9.0], [9.0, 3.0, 1.0]];
        let time = |costs: &[f64], uses: &[f64]| {
            costs.iter().zip(uses).map(|(cost, count)| cost * count).sum::<f64>()
        };
        let residuals = |costs: &[f64]| {
            Ok::<_, ()>(
                uses.iter().map(|uses| (time(costs, uses) / time(&truth, uses)).ln()).collect(),
            )
        };
        let search = Search { rounds: 30, pull: 1e-6 };
        let found = least_squares(&[500.0; 3], search, residuals, |_, _| Ok(())).unwrap();
        for (found, truth) in found.iter().zip(truth) {
            assert!((found / truth - 1.0).abs() < 0.01, "{found} {truth}");
        }
    }
}
