//! Many questions at once: one in twenty comparisons of equals would be called a difference.

/// The p-values after Holm (1979), in the order given: below a level, they keep the probability of
/// even one false alarm among all of them below it.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut most = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        most = most.max(p_values[index] * left).min(1.0);
        corrected[index] = most;
    }
    corrected
}
