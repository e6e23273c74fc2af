//! What is wrong with a workload, said so that a person can mend it at once.

use std::fmt;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Faults listed at once; more would scroll the first out of sight.
const FAULTS_MAX: usize = 20;
/// How much of a found value is repeated, in characters.
const FOUND_CHARS_MAX: usize = 40;

/// Everything that is wrong with one workload, in the order of the file.
///
/// [`Display`](fmt::Display) gives one line per fault;
/// [`render`](Self::render) adds the lines of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    path: PathBuf,
    text: String,
    list: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostics {
    /// The faults, at most 20.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The faults for a terminal: each with the lines of the file around it, in colour if `color`.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let path = self.path.display().to_string();
        let mut blocks: Vec<String> = Vec::new();
        for diagnostic in &self.list {
            blocks.push(renderer.render(&self.snippet(diagnostic, &path)));
        }
        let mut text = blocks.join("\n\n");
        if self.omitted > 0 {
            text.push_str(&format!("\n\n{}", self.rest()));
        }
        text
    }

    fn snippet<'a>(&'a self, diagnostic: &'a Diagnostic, path: &'a str) -> Vec<Group<'a>> {
        let title = Level::ERROR.primary_title(diagnostic.headline());
        let group = match &diagnostic.source {
            Source::File { line, column, length } => {
                let start = byte_offset(&self.text, *line, *column);
                let end = start + byte_length(&self.text[start..], *length);
                let mark = AnnotationKind::Primary.span(start..end).label(&diagnostic.rule);
                title.element(Snippet::source(&self.text).path(path).annotation(mark))
            }
            Source::Override { text, column, length } => {
                let start = byte_offset(text, 1, *column);
                let end = start + byte_length(&text[start..], *length);
                let mark = AnnotationKind::Primary.span(start..end).label(&diagnostic.rule);
                title.element(Snippet::source(text).path("--set").annotation(mark))
            }
            Source::Whole => title.element(Level::NOTE.message(&diagnostic.rule)),
        };
        let help = (!diagnostic.instead.is_empty())
            .then(|| Level::HELP.message(diagnostic.instead.as_str()));
        vec![group.elements(help)]
    }

    /// Adds to `report` what is wrong with overrides, each at the place that `place_of` knows for
    /// its text, and once.
    pub(crate) fn blame(&self, report: &mut Report, place_of: impl Fn(&str) -> Option<Place>) {
        for diagnostic in &self.list {
            let place = match &diagnostic.source {
                Source::Override { text, .. } => place_of(text),
                Source::File { .. } | Source::Whole => None,
            };
            report.add_once(place.unwrap_or(Place::WHOLE), diagnostic);
        }
    }

    fn rest(&self) -> String {
        let plural = if self.omitted == 1 { "fault" } else { "faults" };
        format!("{}: {} more {plural} not shown", self.path.display(), self.omitted)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", diagnostic.line(&self.path))?;
        }
        if self.omitted > 0 {
            write!(f, "\n{}", self.rest())?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// One fault: where, what was found, which rule it breaks, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    source: Source,
    /// The path of the key, such as `load.keys.count`; empty for the file as a whole.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What must hold.
    pub rule: String,
    /// What to write; may be empty.
    pub instead: String,
}

impl Diagnostic {
    /// Line and column, counted from 1, if the fault stands in the file.
    #[must_use]
    pub const fn position(&self) -> Option<(usize, usize)> {
        match self.source {
            Source::File { line, column, .. } => Some((line, column)),
            Source::Override { .. } | Source::Whole => None,
        }
    }

    fn line(&self, path: &Path) -> String {
        let place = match &self.source {
            Source::File { line, column, .. } => format!("{}:{line}:{column}", path.display()),
            Source::Override { text, .. } => format!("--set {text}"),
            Source::Whole => path.display().to_string(),
        };
        let mut line = format!("{place}: {}; {}", self.headline(), self.rule);
        if !self.instead.is_empty() {
            line.push_str("; ");
            line.push_str(&self.instead);
        }
        line
    }

    fn headline(&self) -> String {
        if self.field.is_empty() {
            return self.found.clone();
        }
        format!("{}: {}", self.field, self.found)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File { line: usize, column: usize, length: usize },
    Override { text: String, column: usize, length: usize },
    Whole,
}

/// Where a key or a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    /// Line and column in characters, counted from 1.
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// Length in characters, for the marks below a line.
    pub(crate) length: usize,
}

impl Place {
    /// The file as a whole, for what stands nowhere.
    pub(crate) const WHOLE: Self = Self { origin: Origin::Whole, line: 0, column: 0, length: 0 };
    /// The first character of the file.
    pub(crate) const START: Self = Self { origin: Origin::File, line: 1, column: 1, length: 1 };
}

/// Which text a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Whole,
    File,
    /// The override of this index; columns count from the start of its value.
    Override(usize),
}

/// Gathers faults while a workload is read.
#[derive(Debug)]
pub(crate) struct Report {
    overrides: Vec<String>,
    list: Vec<(Place, Diagnostic)>,
}

impl Report {
    pub(crate) fn new(overrides: &[String]) -> Self {
        Self { overrides: overrides.to_vec(), list: Vec::new() }
    }

    /// Notes a fault.
    pub(crate) fn add(
        &mut self,
        place: Place,
        field: impl Into<String>,
        found: impl Into<String>,
        rule: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let source = match place.origin {
            Origin::Whole => Source::Whole,
            Origin::File => {
                Source::File { line: place.line, column: place.column, length: place.length }
            }
            Origin::Override(index) => {
                let text = self.overrides[index].clone();
                let value_at = text.find('=').map_or(0, |at| text[..=at].chars().count());
                // The value of an override is one line; a place past it is the value as a whole.
                let column = if place.line == 1 { value_at + place.column } else { value_at + 1 };
                Source::Override { text, column, length: place.length }
            }
        };
        let (field, found) = (field.into(), found.into());
        let (rule, instead) = (rule.into(), instead.into());
        self.list.push((place, Diagnostic { source, field, found, rule, instead }));
    }

    /// Notes a fault that was found elsewhere, unless it is known at this place.
    fn add_once(&mut self, place: Place, found: &Diagnostic) {
        let same = |(at, known): &(Place, Diagnostic)| {
            (*at, &known.field, &known.rule) == (place, &found.field, &found.rule)
        };
        if !self.list.iter().any(same) {
            let Diagnostic { field, found, rule, instead, .. } = found.clone();
            self.add(place, field, found, rule, instead);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The faults in the order of the file, then those of the overrides.
    pub(crate) fn finish(mut self, path: &Path, text: &str) -> Diagnostics {
        self.list.sort_by_key(|(place, _)| *place);
        let omitted = self.list.len().saturating_sub(FAULTS_MAX);
        let list = self.list.into_iter().take(FAULTS_MAX).map(|(_, diagnostic)| diagnostic);
        Diagnostics { path: path.into(), text: text.into(), list: list.collect(), omitted }
    }
}

/// ``found `value` ``, shortened, without line breaks or control characters.
pub(crate) fn found(value: &str) -> String {
    if value.is_empty() {
        return "found nothing".into();
    }
    let mut short: String =
        value.chars().take(FOUND_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if value.chars().count() > FOUND_CHARS_MAX {
        short.push_str("...");
    }
    format!("found `{short}`")
}

/// `` (did you mean `name`?)`` if there is a nearest name.
pub(crate) fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

fn byte_offset(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize =
        text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    line_start + byte_length(&text[line_start..], column.saturating_sub(1))
}

fn byte_length(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}
