//! The list of protocols, whose names and parameters only the catalog knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, ParameterKind, ParameterSpec, ProtocolSpec};
use crate::diagnostics::{Place, Report, did_you_mean, found};
use crate::fields::{Kind, Options};
use crate::names::nearest;
use crate::scalars::{Value, either, read, show};
use crate::settings::{join, listed};
use crate::tree::{Data, Key, Node};

/// A protocol as the workload gives it: parameters that it does not mention are none.
#[derive(Debug)]
pub(crate) struct RawChoice {
    /// Its place in the catalog.
    pub(crate) index: usize,
    pub(crate) path: String,
    pub(crate) name_place: Place,
    pub(crate) label: Option<String>,
    pub(crate) label_place: Place,
    pub(crate) parameters: Vec<Option<u64>>,
    pub(crate) places: BTreeMap<&'static str, Place>,
}

/// The key beside the parameters that names a protocol in reports.
pub(crate) const LABEL: &str = "label";

/// What a parameter's number is, for reading and showing it.
pub(crate) fn parameter_kind(parameter: &ParameterSpec) -> Kind {
    let (min, max) = (parameter.minimum, parameter.maximum);
    match parameter.kind {
        ParameterKind::Duration => Kind::Duration { min, max },
        ParameterKind::Count => Kind::Count { min, max },
        ParameterKind::Bytes => Kind::Bytes { min, max },
        ParameterKind::Flag => Kind::Flag,
        ParameterKind::Choice(options) => Kind::Choice(Options::Listed(options)),
    }
}

/// Reads one item of the list: a name, or a mapping of one name to its parameters.
pub(crate) fn read_choice(
    item: &Node,
    path: &str,
    catalog: &Catalog,
    report: &mut Report,
    faulty: &mut BTreeSet<String>,
) -> Option<RawChoice> {
    let empty = Node { place: item.place, data: Data::Null };
    let (key, body) = match &item.data {
        Data::Scalar(text) => (Key { place: item.place, text: text.clone() }, &empty),
        Data::Map(entries) if entries.len() == 1 => (entries[0].0.clone(), &entries[0].1),
        Data::Map(entries) => {
            faulty.insert(path.into());
            let place = entries.get(1).map_or(item.place, |(key, _)| key.place);
            let rule = "an item is one protocol, with its parameters one level deeper";
            let instead = "indent the parameters below the name, or start a new item with `- `";
            report.add(place, path, format!("found {} keys", entries.len()), rule, instead);
            return None;
        }
        Data::Null | Data::List(_) => {
            faulty.insert(path.into());
            let instead = format!("write one of {}", either(&names(catalog)));
            report.add(item.place, path, item.found(), "must be the name of a protocol", instead);
            return None;
        }
    };
    let Some(index) = catalog.protocols.iter().position(|protocol| protocol.name == key.text)
    else {
        faulty.insert(path.into());
        let names = names(catalog);
        let hint = did_you_mean(nearest(&key.text, names.iter().copied()));
        let rule = format!("the protocols are {}", listed(&names));
        report.add(key.place, path, found(&key.text), rule, format!("write one of these{hint}"));
        return None;
    };
    let protocol = &catalog.protocols[index];
    let mut choice = RawChoice {
        index,
        path: join(path, protocol.name),
        name_place: key.place,
        label: None,
        label_place: key.place,
        parameters: vec![None; protocol.parameters.len()],
        places: BTreeMap::new(),
    };
    match &body.data {
        Data::Null => {}
        Data::Map(entries) => choice.read_parameters(entries, protocol, report, faulty),
        Data::Scalar(_) | Data::List(_) => {
            faulty.insert(choice.path.clone());
            let rule = "the parameters of a protocol are a mapping";
            let instead = format!("write `{}: {{ {} }}`", protocol.name, sample(protocol));
            report.add(body.place, &choice.path, body.found(), rule, instead);
        }
    }
    Some(choice)
}

impl RawChoice {
    fn read_parameters(
        &mut self,
        entries: &[(Key, Node)],
        protocol: &ProtocolSpec,
        report: &mut Report,
        faulty: &mut BTreeSet<String>,
    ) {
        for (key, node) in entries {
            let path = join(&self.path, &key.text);
            let position =
                protocol.parameters.iter().position(|parameter| parameter.name == key.text);
            let kind = match position {
                Some(position) => parameter_kind(&protocol.parameters[position]),
                None if key.text == LABEL => Kind::Name,
                None => {
                    faulty.insert(path.clone());
                    unknown_parameter(key, &path, protocol, report);
                    continue;
                }
            };
            let text = match &node.data {
                // A parameter whose value is commented out has its default.
                Data::Null => continue,
                Data::Scalar(text) => text.as_str(),
                Data::List(_) | Data::Map(_) => "",
            };
            let example = position.map_or_else(
                || protocol.name.into(),
                |position| show(&kind, protocol.parameters[position].default.resolve(3)),
            );
            match (read(&kind, text, &example), position) {
                (Ok(Value::Integer(value)), Some(position)) => {
                    self.parameters[position] = Some(value);
                    self.places.insert(protocol.parameters[position].name, node.place);
                }
                (Ok(Value::Text(text)), None) => {
                    self.label = Some(text);
                    self.label_place = node.place;
                }
                (Ok(_), _) => {}
                (Err(misfit), _) => {
                    faulty.insert(path.clone());
                    report.add(node.place, path, node.found(), misfit.rule, misfit.instead);
                }
            }
        }
    }
}

fn unknown_parameter(key: &Key, path: &str, protocol: &ProtocolSpec, report: &mut Report) {
    let mut known: Vec<&str> = protocol.parameters.iter().map(|p| p.name).collect();
    known.push(LABEL);
    let hint = did_you_mean(nearest(&key.text, known.iter().copied()));
    let rule = format!("{} has the parameters {}", protocol.name, listed(&known));
    let instead = format!("remove it or write one of these{hint}");
    report.add(key.place, path, "found an unknown parameter", rule, instead);
}

/// One parameter with its default, or a label where there is none.
fn sample(protocol: &ProtocolSpec) -> String {
    protocol.parameters.first().map_or_else(
        || format!("{LABEL}: {}", protocol.name),
        |parameter| {
            let value = show(&parameter_kind(parameter), parameter.default.resolve(3));
            format!("{}: {value}", parameter.name)
        },
    )
}

fn names(catalog: &Catalog) -> Vec<&'static str> {
    catalog.protocols.iter().map(|protocol| protocol.name).collect()
}
