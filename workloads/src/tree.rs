//! YAML text as a tree in which every key and every value knows where it stands.
//!
//! Only what a workload needs is taken: one document of mappings, lists and scalars. Anchors,
//! aliases and tags are refused, so a short file cannot become a large tree.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::diagnostics::{Origin, Place, Report, found};

/// Files longer than this are refused.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Deeper nesting than any workload has.
const DEPTH_MAX: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) data: Data,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) text: String,
}

impl Node {
    /// The value as a message shows it.
    pub(crate) fn found(&self) -> String {
        match &self.data {
            Data::Null => "found nothing".into(),
            Data::Scalar(text) => found(text),
            Data::List(_) => "found a list".into(),
            Data::Map(_) => "found a mapping".into(),
        }
    }
}

/// Reads one document; nothing is returned if a fault left no tree to look at.
pub(crate) fn parse(text: &str, origin: Origin, report: &mut Report) -> Option<Node> {
    if text.len() > TEXT_BYTES_MAX {
        let place = Place { origin, line: 1, column: 1, length: 1 };
        let size = format!("found {} bytes", text.len());
        report.add(place, "", size, "a workload is at most 1 MiB long", "split it into several");
        return None;
    }
    if let Some(place) = first_indenting_tab(text, origin) {
        report.add(place, "", "found a tab", "YAML indents with spaces only", "write spaces");
        return None;
    }
    // A byte order mark is no part of the document.
    let mut builder = Builder { origin, report, open: Vec::new(), root: None, documents: 0 };
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let built = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                builder.syntax_error(&error, text);
                return None;
            }
        };
        if built.is_err() {
            return None;
        }
    }
    builder.root
}

/// A fault was reported after which reading on makes no sense.
struct Stop;

struct Builder<'r> {
    origin: Origin,
    report: &'r mut Report,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

/// A list or mapping that has not ended yet.
struct Open {
    place: Place,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(Vec<(Key, Node)>, Option<Key>),
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = self.place(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.start_document(place),
            Event::Alias(_) => self.refuse(place, "an alias", "aliases are not expanded"),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(place, anchor, tag.is_some())?;
                self.scalar(place, text, style)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(place, anchor, tag.is_some())?;
                self.start(place, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(place, anchor, tag.is_some())?;
                self.start(place, Content::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn start_document(&mut self, place: Place) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let rule = "a file holds one workload";
        self.report.add(place, "", "found a second document", rule, "give it its own file");
        Err(Stop)
    }

    fn refuse_extras(&mut self, place: Place, anchor: usize, tagged: bool) -> Result<(), Stop> {
        if anchor != 0 {
            return self.refuse(place, "an anchor", "anchors and aliases are not expanded");
        }
        if tagged {
            return self.refuse(place, "a tag", "each key says itself of which type it is");
        }
        Ok(())
    }

    fn refuse(&mut self, place: Place, what: &str, rule: &str) -> Result<(), Stop> {
        self.report.add(place, "", format!("found {what}"), rule, "write the value itself");
        Err(Stop)
    }

    fn scalar(&mut self, place: Place, text: Cow<'_, str>, style: ScalarStyle) -> Result<(), Stop> {
        if let Some(Open { content: Content::Map(_, key @ None), .. }) = self.open.last_mut() {
            *key = Some(Key { place, text: text.into_owned() });
            return Ok(());
        }
        let absent = matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
        let data = if absent && style == ScalarStyle::Plain {
            Data::Null
        } else {
            Data::Scalar(text.into_owned())
        };
        self.put(Node { place, data });
        Ok(())
    }

    fn start(&mut self, place: Place, content: Content) -> Result<(), Stop> {
        if let Some(Open { content: Content::Map(_, None), .. }) = self.open.last() {
            let rule = "a key is a plain name";
            self.report.add(place, "", "found a key that is itself a structure", rule, "");
            return Err(Stop);
        }
        if self.open.len() == DEPTH_MAX {
            let rule = format!("a workload nests at most {DEPTH_MAX} deep");
            self.report.add(place, "", "found more levels", rule, "close a bracket");
            return Err(Stop);
        }
        self.open.push(Open { place, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(Open { place, content }) = self.open.pop() else { return Err(Stop) };
        let data = match content {
            Content::List(items) => Data::List(items),
            Content::Map(entries, _) => Data::Map(entries),
        };
        self.put(Node { place, data });
        Ok(())
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(entries, key)) => {
                let Some(key) = key.take() else { return };
                match entries.iter().find(|(earlier, _)| earlier.text == key.text) {
                    None => entries.push((key, node)),
                    Some((earlier, _)) => {
                        let text = format!("found the key `{}` again", key.text);
                        let rule = format!(
                            "a key stands once, and this one is on line {}",
                            earlier.place.line
                        );
                        self.report.add(key.place, "", text, rule, "remove one of them");
                    }
                }
            }
        }
    }

    fn syntax_error(&mut self, error: &ScanError, text: &str) {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        let place = Place { origin: self.origin, line, column, length: 1 };
        // An alias of nothing would be refused as well if it were one of something.
        if error.info().contains("unknown anchor") {
            let rule = "aliases are not expanded";
            self.report.add(place, "", "found an alias", rule, "write the value itself");
            return;
        }
        let near = text.lines().nth(line.saturating_sub(1)).unwrap_or("").trim();
        let near = if near.is_empty() { "found the end".into() } else { found(near) };
        let rule = format!("this is not YAML: {}", error.info());
        let instead = "look for a missing quote, bracket, space after `:` or indentation here or \
                       above";
        self.report.add(place, "", near, rule, instead);
    }

    fn place(&self, span: Span) -> Place {
        Place {
            origin: self.origin,
            line: span.start.line(),
            column: span.start.col() + 1,
            length: span.len().max(1),
        }
    }
}

/// The first tab in the white space before the content of a line.
fn first_indenting_tab(text: &str, origin: Origin) -> Option<Place> {
    text.lines().zip(1..).find_map(|(content, line)| {
        let rest = content.trim_start_matches(' ');
        let column = content.len() - rest.len() + 1;
        let blank = rest.trim().is_empty();
        (rest.starts_with('\t') && !blank).then_some(Place { origin, line, column, length: 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        let mut report = Report::new(&[]);
        let node = parse(text, Origin::File, &mut report).unwrap();
        assert!(report.is_empty());
        node
    }

    fn entries(node: &Node) -> &[(Key, Node)] {
        let Data::Map(entries) = &node.data else { panic!("{node:?}") };
        entries
    }

    #[test]
    fn places_count_characters_from_one() {
        let root = tree("a: 1\n'bé': [x,  yy]\nc:\n  d: {e: \"q\", f: }\n");
        let places: Vec<_> =
            entries(&root).iter().map(|(key, _)| (key.place.line, key.place.column)).collect();
        assert_eq!(places, [(1, 1), (2, 1), (3, 1)]);
        let (_, list) = &entries(&root)[1];
        let Data::List(items) = &list.data else { panic!() };
        assert_eq!((items[1].place.line, items[1].place.column, items[1].place.length), (2, 12, 2));
        let (_, c) = &entries(&root)[2];
        let (_, d) = &entries(c)[0];
        let (key, f) = &entries(d)[1];
        assert_eq!((key.text.as_str(), key.place.column), ("f", 15));
        assert!(matches!(f.data, Data::Null));
    }

    #[test]
    fn quoted_null_is_text() {
        let root = tree("a: 'null'\nb: null");
        assert!(matches!(entries(&root)[0].1.data, Data::Scalar(_)));
        assert!(matches!(entries(&root)[1].1.data, Data::Null));
    }
}
