//! Choices by name, and the nearest name to one that was mistyped.

/// A choice that a workload spells by name.
pub(crate) trait Named: Copy + PartialEq + 'static {
    /// Each choice with its name and one line on what it means.
    const ALL: &'static [(Self, &'static str, &'static str)];

    /// The name of this choice.
    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(choice, ..)| *choice == self);
        found.map_or("", |(_, name, _)| name)
    }
}

/// The names of a type's choices, each with what it means.
pub(crate) fn options<T: Named>() -> Vec<(&'static str, &'static str)> {
    T::ALL.iter().map(|(_, name, doc)| (*name, *doc)).collect()
}

/// The name that a typing error most likely meant, or none if nothing is near.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = plain(typed);
    // A hint that shares only half of its letters would mislead more than it helps.
    let limit = typed.len().max(3) / 3;
    names
        .into_iter()
        .map(|name| match plain(name) {
            // The start of a name is short for it.
            plain if typed.len() >= 3 && plain.starts_with(&typed) => (0, name),
            plain => (distance(&typed, &plain), name),
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters and digits in lower case: `Multi-Paxos` is `multi_paxos`.
fn plain(name: &str) -> Vec<char> {
    // Names are short; a longer text is not a typing error of one.
    name.chars().take(64).filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that make `from` into `to`.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut rows = [vec![0; to.len() + 1], (0..=to.len()).collect(), vec![0; to.len() + 1]];
    for (i, a) in from.iter().enumerate() {
        rows[2][0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = rows[1][j] + usize::from(a != b);
            let mut best = replaced.min(rows[1][j + 1] + 1).min(rows[2][j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(rows[0][j - 1] + 1);
            }
            rows[2][j + 1] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names() {
        let names = ["replicas", "cores", "transport", "multi_paxos"];
        assert_eq!(nearest("replcas", names), Some("replicas"));
        assert_eq!(nearest("core", names), Some("cores"));
        assert_eq!(nearest("tarnsport", names), Some("transport"));
        assert_eq!(nearest("MultiPaxos", names), Some("multi_paxos"));
        assert_eq!(nearest("trans", names), Some("transport"));
        assert_eq!(nearest("nodes", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn distances() {
        let of = |a: &str, b: &str| distance(&plain(a), &plain(b));
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("ab", "ba"), 1);
    }
}
