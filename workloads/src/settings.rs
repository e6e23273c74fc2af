//! A tree of YAML against the table of keys: every value by its path, with every default.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::choices::{self, RawChoice};
use crate::diagnostics::{Origin, Place, Report, did_you_mean, found};
use crate::fields::{Field, Kind, Presence, children, field};
use crate::names::nearest;
use crate::scalars::{Value, either, not_among, read, rule};
use crate::tree::{Data, Key, Node, parse};

/// The values of a workload by path, such as `load.keys.count` or `faults.0.at`.
///
/// Complete: what was absent has its default, and what was faulty has some value too, so reading
/// goes on to find more faults.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, Value>,
    lengths: BTreeMap<String, usize>,
    /// Mappings that are there.
    mappings: BTreeSet<String>,
    /// Where each value stands; for a mapping or list that has a key, where the key stands.
    places: BTreeMap<String, Place>,
    /// Paths of which a fault was reported.
    faulty: BTreeSet<String>,
    pub(crate) choices: Vec<RawChoice>,
}

impl Settings {
    /// A count, a size, a duration or a flag.
    pub(crate) fn integer(&self, path: &str) -> u64 {
        match self.values.get(path) {
            Some(Value::Integer(value)) => *value,
            other => panic!("{path} is read as a whole number but the table gives {other:?}"),
        }
    }

    /// The same as a smaller type, which the range in the table fits.
    pub(crate) fn narrow<T: TryFrom<u64>>(&self, path: &str) -> T {
        let value = self.integer(path);
        let Ok(narrow) = T::try_from(value) else {
            panic!("{path}: the table lets {value} through, which its type does not hold");
        };
        narrow
    }

    /// A share, a rate or a plain number.
    pub(crate) fn real(&self, path: &str) -> f64 {
        match self.values.get(path) {
            Some(Value::Real(value)) => *value,
            other => panic!("{path} is read as a number but the table gives {other:?}"),
        }
    }

    /// Text, or none if the key is absent.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        match self.values.get(path) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The items of the list at `path`.
    pub(crate) fn length(&self, path: &str) -> usize {
        self.lengths.get(path).copied().unwrap_or(0)
    }

    /// Whether there is anything at `path`, given or by default.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.values.contains_key(path)
            || self.lengths.contains_key(path)
            || self.mappings.contains(path)
    }

    /// Whether nothing was wrong at or below any of `paths`.
    pub(crate) fn sound(&self, paths: &[&str]) -> bool {
        let below = |faulty: &str, path: &str| {
            faulty.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !self.faulty.iter().any(|faulty| paths.iter().any(|path| below(faulty, path)))
    }

    /// Whether the workload itself says something at `path`.
    pub(crate) fn given(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Where `path` stands, or else the nearest mapping around it.
    pub(crate) fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return *place;
            }
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => return Place::WHOLE,
            }
        }
    }

    pub(crate) fn mark_faulty(&mut self, path: &str) {
        self.faulty.insert(path.into());
    }
}

/// Reads a whole workload.
pub(crate) fn read_settings(root: &Node, catalog: &Catalog, report: &mut Report) -> Settings {
    let mut reader = Reader { catalog, report, settings: Settings::default() };
    match &root.data {
        Data::Map(entries) => reader.entries(entries, root.place, "", ""),
        Data::Null | Data::Scalar(_) | Data::List(_) => {
            let rule = "a workload is a mapping of keys";
            reader.report.add(root.place, "", root.found(), rule, example_workload(catalog));
        }
    }
    reader.settings
}

/// Reads a mapping that has nothing but one key of workloads.
pub(crate) fn read_part(root: &Node, part: &str, report: &mut Report) -> Option<Settings> {
    let catalog = Catalog { protocols: Vec::new() };
    let mut reader = Reader { catalog: &catalog, report, settings: Settings::default() };
    let field = field(part)?;
    let Data::Map(entries) = &root.data else {
        let rule = format!("must be a mapping with the key `{part}`");
        reader.report.add(root.place, "", root.found(), rule, advice(field));
        return None;
    };
    for (key, node) in entries {
        if key.text == part {
            reader.given(node, Some(key.place), part, field);
        } else {
            let rule = format!("nothing stands here but `{part}`");
            reader.report.add(key.place, &*key.text, "found another key", rule, "remove it");
        }
    }
    if !reader.settings.has(part) && reader.report.is_empty() {
        let rule = format!("the key `{part}` is missing");
        reader.report.add(root.place, part, "found nothing", rule, advice(field));
    }
    Some(reader.settings)
}

/// The shortest workload, for messages to who wrote none.
pub(crate) fn example_workload(catalog: &Catalog) -> String {
    let name = catalog.protocols.first().map_or("...", |protocol| protocol.name);
    format!("write at least `protocols: [{name}]`")
}

struct Reader<'a> {
    catalog: &'a Catalog,
    report: &'a mut Report,
    settings: Settings,
}

impl Reader<'_> {
    /// Reads the keys of a mapping. `path` is where it stands, `pattern` its path in the table.
    fn entries(&mut self, entries: &[(Key, Node)], at: Place, path: &str, pattern: &str) {
        self.settings.mappings.insert(path.into());
        let known: Vec<&str> = children(pattern).map(Field::key).collect();
        for (key, _) in entries {
            if !known.contains(&key.text.as_str()) {
                self.unknown_key(key, path, &known);
            }
        }
        for child in children(pattern) {
            let child_path = join(path, child.key());
            match entries.iter().find(|(key, _)| key.text == child.key()) {
                Some((key, node)) => self.given(node, Some(key.place), &child_path, child),
                None => self.absent(at, &child_path, child),
            }
        }
    }

    fn given(&mut self, node: &Node, key: Option<Place>, path: &str, field: &'static Field) {
        let nothing = matches!(node.data, Data::Null);
        let optional = field.presence == Presence::Optional;
        let structure = matches!(field.kind, Kind::Map | Kind::OneOf | Kind::List { .. })
            && field.presence != Presence::Required;
        // A key below which everything is commented out says nothing.
        if nothing && (optional || structure) {
            return self.absent(node.place, path, field);
        }
        let place = match node.data {
            Data::Map(_) | Data::List(_) => key.unwrap_or(node.place),
            Data::Null | Data::Scalar(_) => node.place,
        };
        if place.origin != Origin::Whole {
            self.settings.places.insert(path.into(), place);
        }
        match (&field.kind, &node.data) {
            (Kind::Map, Data::Map(entries)) => self.entries(entries, place, path, field.path),
            (Kind::OneOf, Data::Map(_) | Data::Scalar(_)) => self.one_of(node, path, field),
            (Kind::List { min }, Data::List(items)) if items.len() >= *min => {
                self.items(items, path, field);
            }
            (Kind::Protocols, Data::List(items)) if !items.is_empty() => {
                self.protocols(items, path);
            }
            (Kind::Map | Kind::OneOf | Kind::List { .. } | Kind::Protocols, _) => {
                let empty = matches!(&node.data, Data::List(items) if items.is_empty());
                let found = if empty { "found an empty list".into() } else { node.found() };
                self.fault(node.place, path, field, found, rule(&field.kind), advice(field));
            }
            (_, Data::Scalar(text)) => self.scalar(text, node, path, field),
            (_, Data::Null | Data::List(_) | Data::Map(_)) => {
                let (rule, instead) = (rule(&field.kind), advice(field));
                self.fault(node.place, path, field, node.found(), rule, instead);
            }
        }
    }

    fn scalar(&mut self, text: &str, node: &Node, path: &str, field: &'static Field) {
        match read(&field.kind, text, &example(field)) {
            Ok(value) => {
                self.settings.values.insert(path.into(), value);
            }
            Err(misfit) => {
                self.fault(node.place, path, field, node.found(), misfit.rule, misfit.instead);
            }
        }
    }

    fn items(&mut self, items: &[Node], path: &str, list: &Field) {
        self.settings.lengths.insert(path.into(), items.len());
        let pattern = format!("{}[]", list.path);
        let Some(item_field) = field(&pattern) else {
            panic!("the table says nothing of the items of {path}");
        };
        for (index, item) in items.iter().enumerate() {
            self.given(item, None, &join(path, &index.to_string()), item_field);
        }
    }

    /// A mapping with one key, or the key alone where it needs nothing else.
    fn one_of(&mut self, node: &Node, path: &str, field: &'static Field) {
        let variants: Vec<&'static Field> = children(field.path).collect();
        let names: Vec<&str> = variants.iter().map(|variant| variant.key()).collect();
        let (key, value) = match &node.data {
            Data::Scalar(text) => {
                let key = Key { place: node.place, text: text.clone() };
                (key, Node { place: node.place, data: Data::Null })
            }
            Data::Map(entries) if entries.len() == 1 => entries[0].clone(),
            Data::Map(entries) => {
                let place = entries.get(1).map_or(node.place, |(key, _)| key.place);
                let found = format!("found {} choices", entries.len());
                let rule = format!("must be exactly one of {}", either(&names));
                return self.fault(place, path, field, found, rule, "keep one of them");
            }
            Data::Null | Data::List(_) => return,
        };
        let Some(variant) = variants.iter().find(|variant| variant.key() == key.text) else {
            let misfit = not_among(&names, &key.text);
            let found = found(&key.text);
            return self.fault(key.place, path, field, found, misfit.rule, misfit.instead);
        };
        let variant_path = join(path, variant.key());
        match (&variant.kind, &value.data) {
            (Kind::Map, Data::Null) => self.entries(&[], key.place, &variant_path, variant.path),
            (_, Data::Null) => {
                let rule = rule(&variant.kind);
                let instead =
                    format!("write for example `{}: {}`", variant.key(), example(variant));
                self.settings.mark_faulty(path);
                self.report.add(key.place, &variant_path, "found nothing", rule, instead);
            }
            _ => self.given(&value, Some(key.place), &variant_path, variant),
        }
        // A choice that could not be read at all leaves the default one in its place.
        if let (false, Presence::Default(text)) = (self.settings.has(&variant_path), field.presence)
        {
            self.default(text, path, field);
        }
    }

    fn protocols(&mut self, items: &[Node], path: &str) {
        for (index, item) in items.iter().enumerate() {
            let item_path = join(path, &index.to_string());
            let faults = &mut self.settings.faulty;
            let choice = choices::read_choice(item, &item_path, self.catalog, self.report, faults);
            self.settings.choices.extend(choice);
        }
    }

    fn absent(&mut self, at: Place, path: &str, field: &'static Field) {
        match field.presence {
            Presence::Optional => {}
            Presence::Required => {
                let rule = format!("the key `{}` is missing", field.key());
                let found = "found nothing".to_owned();
                self.fault(at, path, field, found, rule, advice(field));
            }
            Presence::Default(text) => self.default(text, path, field),
        }
    }

    fn default(&mut self, text: &str, path: &str, field: &'static Field) {
        if let Kind::List { .. } = field.kind {
            self.settings.lengths.insert(path.into(), 0);
        } else if let (Kind::Map, true) = (&field.kind, text.is_empty()) {
            self.entries(&[], Place::WHOLE, path, field.path);
        } else if let Kind::Map | Kind::OneOf = field.kind {
            let Some(node) = parse(text, Origin::Whole, self.report) else {
                panic!("{path}: the default {text:?} is not YAML");
            };
            self.given(&node, None, path, field);
        } else {
            let Ok(value) = read(&field.kind, text, "") else {
                panic!("{path}: the default {text:?} breaks its own rule");
            };
            self.settings.values.insert(path.into(), value);
        }
    }

    /// Reports a fault, and puts some value in the place of the faulty one.
    fn fault(
        &mut self,
        place: Place,
        path: &str,
        field: &'static Field,
        found: String,
        rule: String,
        instead: impl Into<String>,
    ) {
        self.report.add(place, path, found, rule, instead);
        self.settings.mark_faulty(path);
        match (field.presence, &field.kind) {
            (Presence::Default(text), _) => self.default(text, path, field),
            (_, Kind::Share | Kind::Rate { .. } | Kind::Real { .. }) => {
                self.settings.values.insert(path.into(), Value::Real(1.0));
            }
            (_, Kind::Count { min, .. } | Kind::Bytes { min, .. } | Kind::Duration { min, .. }) => {
                self.settings.values.insert(path.into(), Value::Integer(*min));
            }
            (_, Kind::Flag | Kind::Choice(_)) => {
                self.settings.values.insert(path.into(), Value::Integer(0));
            }
            // A stand-in for a whole mapping has stand-ins for its keys.
            (Presence::Required, Kind::Map) => {
                for child in children(field.path) {
                    self.stand_in(path, child);
                }
            }
            (
                _,
                Kind::Text
                | Kind::Name
                | Kind::Path
                | Kind::Target
                | Kind::Map
                | Kind::OneOf
                | Kind::List { .. }
                | Kind::Protocols,
            ) => {}
        }
    }

    fn stand_in(&mut self, path: &str, child: &'static Field) {
        let child_path = join(path, child.key());
        let value = match (&child.presence, &child.kind) {
            (Presence::Optional, _) => return,
            (Presence::Default(text), _) => return self.default(text, &child_path, child),
            (Presence::Required, Kind::Target) => Value::Text("random".into()),
            (Presence::Required, Kind::Bytes { min, .. }) => Value::Integer(*min),
            (Presence::Required, Kind::Rate { min, .. }) => Value::Real(*min),
            (Presence::Required, _) => Value::Integer(0),
        };
        self.settings.values.insert(child_path, value);
    }

    fn unknown_key(&mut self, key: &Key, path: &str, known: &[&str]) {
        let field_path = join(path, &key.text);
        let hint = did_you_mean(nearest(&key.text, known.iter().copied()));
        let place_name = if path.is_empty() { "a workload" } else { path };
        let rule = if known.is_empty() {
            format!("{place_name} has no keys")
        } else {
            format!("{place_name} has the keys {}", listed(known))
        };
        let instead = format!("remove it or write one of these{hint}");
        let found = "found an unknown key".to_owned();
        self.settings.mark_faulty(&field_path);
        self.report.add(key.place, field_path, found, rule, instead);
    }
}

/// A value to show to who wrote something that does not fit.
pub(crate) fn example(field: &Field) -> String {
    match (field.presence, &field.kind) {
        (Presence::Default(""), Kind::Map) => "{}".into(),
        (Presence::Default(""), Kind::List { .. }) => "[]".into(),
        (Presence::Default(""), _) => "a few words".into(),
        (Presence::Default(text), _) => text.into(),
        (_, Kind::Bytes { .. }) => "1KiB".into(),
        (_, Kind::Duration { .. }) => "2s".into(),
        (_, Kind::Rate { .. }) => "10k/s".into(),
        (_, Kind::Count { min, .. }) => min.to_string(),
        (_, Kind::Choice(options)) => {
            options.list().first().map_or_else(String::new, |(name, _)| (*name).into())
        }
        (_, Kind::Target) => "follower".into(),
        (_, Kind::Path) => "/var/tmp/synod".into(),
        (_, Kind::Name) => "my-workload".into(),
        (_, Kind::List { .. }) => format!("[{}]", item_example(field)),
        (_, Kind::Map) => format!("{{ {} }}", required_keys(field)),
        (_, Kind::Text | Kind::Share | Kind::Real { .. } | Kind::Flag | Kind::OneOf) => {
            "...".into()
        }
        (_, Kind::Protocols) => "[name]".into(),
    }
}

fn item_example(list: &Field) -> String {
    field(&format!("{}[]", list.path)).map_or_else(String::new, example)
}

fn required_keys(mapping: &Field) -> String {
    let keys: Vec<String> = children(mapping.path)
        .filter(|child| child.presence == Presence::Required)
        .map(|child| format!("{}: {}", child.key(), example(child)))
        .collect();
    keys.join(", ")
}

fn advice(field: &Field) -> String {
    match field.key() {
        // An item of a list has no key to write.
        item if item.ends_with("[]") => format!("write for example `{}`", example(field)),
        key => format!("write for example `{key}: {}`", example(field)),
    }
}

/// `a, b and c`.
pub(crate) fn listed(names: &[&str]) -> String {
    match names {
        [] => "none".into(),
        [only] => (*only).into(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The path of a key in a mapping.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}
