//! Tables for other programs: columns with names, each of one type.

use std::fmt::Write as _;

/// A column. All columns of a table have as many values.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What the values are, with their unit: lower case, words joined by underscores.
    pub name: String,
    /// The values, from the first row to the last.
    pub values: Values,
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Text.
    Words(Vec<String>),
    /// Numbers that count something.
    Counts(Vec<u64>),
    /// Such numbers where there is one.
    MaybeCounts(Vec<Option<u64>>),
    /// Numbers that were calculated.
    Figures(Vec<f64>),
    /// Such numbers where there is one.
    MaybeFigures(Vec<Option<f64>>),
    /// True or false.
    Flags(Vec<bool>),
}

impl Column {
    /// A column of this name.
    pub fn new(name: impl Into<String>, values: Values) -> Self {
        Self { name: name.into(), values }
    }
}

impl Values {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Words(words) => words.len(),
            Self::Counts(counts) => counts.len(),
            Self::MaybeCounts(counts) => counts.len(),
            Self::Figures(figures) => figures.len(),
            Self::MaybeFigures(figures) => figures.len(),
            Self::Flags(flags) => flags.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row as text.
    fn text(&self, row: usize) -> String {
        match self {
            Self::Words(words) => quoted(&words[row]),
            Self::Counts(counts) => counts[row].to_string(),
            Self::MaybeCounts(counts) => {
                counts[row].map_or_else(String::new, |count| count.to_string())
            }
            Self::Figures(figures) => format!("{:.3}", figures[row]),
            Self::MaybeFigures(figures) => {
                figures[row].map_or_else(String::new, |figure| format!("{figure:.3}"))
            }
            Self::Flags(flags) => flags[row].to_string(),
        }
    }
}

/// A table as comma-separated values (RFC 4180), the names first.
#[must_use]
pub fn csv(columns: &[Column]) -> String {
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let mut text = names.join(",");
    let rows = columns.first().map_or(0, |column| column.values.len());
    for row in 0..rows {
        let values: Vec<String> = columns.iter().map(|column| column.values.text(row)).collect();
        let _infallible = write!(text, "\n{}", values.join(","));
    }
    text.push('\n');
    text
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\n']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_and_quotes_are_quoted() {
        let table = [
            Column::new("a,b", Values::Words(vec!["x".to_owned(), "y \"z\"".to_owned()])),
            Column::new("n", Values::MaybeCounts(vec![Some(3), None])),
            Column::new("f", Values::Figures(vec![0.5, 1e6])),
            Column::new("m", Values::MaybeFigures(vec![None, Some(2.0)])),
            Column::new("sound", Values::Flags(vec![true, false])),
        ];
        let lines =
            "\"a,b\",n,f,m,sound\nx,3,0.500,,true\n\"y \"\"z\"\"\",,1000000.000,2.000,false\n";
        assert_eq!(csv(&table), lines);
    }
}
