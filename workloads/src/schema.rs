//! What editors and people are told of the keys: a JSON schema and a reference, from the table.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, ParameterDefault, ParameterSpec, ProtocolSpec};
use crate::choices::{LABEL, parameter_kind};
use crate::fields::{FIELDS, Field, Kind, Presence, children, field};
use crate::scalars::{rule, show};
use crate::units::{BYTE_UNITS, DURATION_UNITS};

/// The JSON schema of a workload with the protocols of `catalog`.
///
/// It describes each value alone; what must hold between keys only [`load`](crate::load) checks.
#[must_use]
pub fn schema(catalog: &Catalog) -> Value {
    let mut root = mapping("", catalog);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Workload of Synod");
    root["description"] = json!("What to run: the cluster, the protocols, the load, the faults.");
    root
}

/// Every key with its values, its default and its meaning, as text for people.
#[must_use]
pub fn reference(catalog: &Catalog) -> String {
    let mut text = String::new();
    for entry in FIELDS {
        let mut facts = Vec::new();
        if !matches!(entry.kind, Kind::Map) {
            facts.push(rule(&entry.kind));
        }
        match entry.presence {
            Presence::Default("") => {}
            Presence::Default(value) => facts.push(format!("default {value}")),
            Presence::Optional => facts.push("optional".into()),
            Presence::Required => facts.push("required".into()),
        }
        let _ = writeln!(text, "{}\n    {}", entry.path, entry.doc);
        if !facts.is_empty() {
            let _ = writeln!(text, "    {}", facts.join("; "));
        }
        if let Kind::Choice(options) = entry.kind {
            for (name, meaning) in options.list() {
                let _ = writeln!(text, "    {name}: {meaning}");
            }
        }
    }
    for protocol in &catalog.protocols {
        let _ = writeln!(text, "protocols[].{}\n    {}", protocol.name, protocol.summary);
        for spec in &protocol.parameters {
            let default = parameter_default(spec);
            let _ = writeln!(text, "protocols[].{}.{}\n    {}", protocol.name, spec.name, spec.doc);
            let _ = writeln!(text, "    {}; default {default}", rule(&parameter_kind(spec)));
        }
    }
    text
}

fn mapping(path: &str, catalog: &Catalog) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for child in children(path) {
        properties.insert(child.key().into(), described(child, catalog));
        if child.presence == Presence::Required {
            required.push(child.key());
        }
    }
    object(properties, &required)
}

fn described(field: &'static Field, catalog: &Catalog) -> Value {
    let mut value = shape(field, catalog);
    value["description"] = json!(field.doc);
    if let Presence::Default(text) = field.presence
        && !text.is_empty()
        && !text.starts_with('{')
    {
        value["default"] = match (&field.kind, text.parse::<u64>()) {
            (Kind::Flag, _) => json!(text == "true"),
            (Kind::Count { .. }, Ok(number)) => json!(number),
            _ => json!(text),
        };
    }
    value
}

fn shape(entry: &'static Field, catalog: &Catalog) -> Value {
    match &entry.kind {
        Kind::Map if entry.presence == Presence::Optional => nullable(mapping(entry.path, catalog)),
        Kind::Map => mapping(entry.path, catalog),
        Kind::OneOf => one_of(entry, catalog),
        Kind::List { min } => {
            let pattern = format!("{}[]", entry.path);
            let items = field(&pattern).map_or(Value::Null, |item| described(item, catalog));
            json!({ "type": "array", "minItems": min, "items": items })
        }
        Kind::Protocols => {
            let items: Vec<Value> = catalog.protocols.iter().flat_map(choices).collect();
            json!({ "type": "array", "minItems": 1, "items": { "oneOf": items } })
        }
        Kind::Text
        | Kind::Name
        | Kind::Path
        | Kind::Count { .. }
        | Kind::Bytes { .. }
        | Kind::Duration { .. }
        | Kind::Share
        | Kind::Rate { .. }
        | Kind::Real { .. }
        | Kind::Flag
        | Kind::Choice(_)
        | Kind::Target => {
            let value = scalar(&entry.kind);
            if entry.presence == Presence::Optional { nullable(value) } else { value }
        }
    }
}

fn one_of(entry: &'static Field, catalog: &Catalog) -> Value {
    let mut shapes = Vec::new();
    for variant in children(entry.path) {
        let alone = matches!(variant.kind, Kind::Map)
            && children(variant.path).all(|child| child.presence != Presence::Required);
        if alone {
            shapes.push(json!({ "const": variant.key(), "description": variant.doc }));
        }
        // Without its value a choice means its defaults, if it has them all.
        let shape = match (&variant.kind, alone) {
            (Kind::Map, false) => mapping(variant.path, catalog),
            (Kind::Map | Kind::List { .. }, _) => shape(variant, catalog),
            (kind, _) => scalar(kind),
        };
        let mut properties = Map::new();
        properties.insert(variant.key().into(), shape);
        let mut object = object(properties, &[variant.key()]);
        object["description"] = json!(variant.doc);
        shapes.push(object);
    }
    json!({ "oneOf": shapes })
}

/// A protocol by its name alone, and with its parameters.
fn choices(protocol: &ProtocolSpec) -> [Value; 2] {
    let mut parameters = Map::new();
    let label = json!({
        "type": "string",
        "description": "The name in reports; by default that of the protocol.",
    });
    parameters.insert(LABEL.into(), label);
    for spec in &protocol.parameters {
        let mut value = nullable(scalar(&parameter_kind(spec)));
        value["description"] = json!(format!("{} Default: {}.", spec.doc, parameter_default(spec)));
        parameters.insert(spec.name.into(), value);
    }
    let mut body = Map::new();
    body.insert(protocol.name.into(), nullable(object(parameters, &[])));
    let mut full = object(body, &[protocol.name]);
    full["description"] = json!(protocol.summary);
    [json!({ "const": protocol.name, "description": protocol.summary }), full]
}

fn parameter_default(spec: &ParameterSpec) -> String {
    match spec.default {
        ParameterDefault::Fixed(value) => show(&parameter_kind(spec), value),
        ParameterDefault::Majority => "a majority of the replicas".into(),
    }
}

fn scalar(kind: &Kind) -> Value {
    const NUMBER: &str = r"[0-9][0-9_]*(\.[0-9]+)?([eE][+-]?[0-9]+)?";
    let units = |units: &[(&str, u64)]| {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        format!("^(0|{NUMBER} ?({}))$", names.join("|"))
    };
    match kind {
        Kind::Count { min, max } => json!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": format!("^{NUMBER} ?[kMG]?$") },
        ] }),
        // A bare 0 is a size and a duration in every unit.
        Kind::Bytes { .. } => quantity(&units(BYTE_UNITS), kind),
        Kind::Duration { .. } => quantity(&units(DURATION_UNITS), kind),
        Kind::Share => json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": format!("^{NUMBER} ?%?$") },
        ] }),
        Kind::Rate { min, max } => json!({ "anyOf": [
            { "type": "number", "minimum": min, "maximum": max },
            { "type": "string", "pattern": format!("^{NUMBER} ?[kMG]?(/s)?$") },
        ] }),
        Kind::Real { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Choice(options) => {
            let named = options.list().into_iter();
            let shapes: Vec<Value> =
                named.map(|(name, doc)| json!({ "const": name, "description": doc })).collect();
            json!({ "oneOf": shapes })
        }
        Kind::Target => json!({ "anyOf": [
            { "enum": ["leader", "follower", "random"] },
            { "type": "integer", "minimum": 0, "maximum": 8 },
        ] }),
        Kind::Text | Kind::Name | Kind::Path => json!({ "type": "string" }),
        Kind::Map | Kind::OneOf | Kind::List { .. } | Kind::Protocols => json!({}),
    }
}

fn quantity(pattern: &str, kind: &Kind) -> Value {
    let text = json!({ "type": "string", "pattern": pattern, "title": rule(kind) });
    let (Kind::Bytes { min: 0, .. } | Kind::Duration { min: 0, .. }) = kind else { return text };
    json!({ "anyOf": [text, { "const": 0 }] })
}

fn nullable(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "null" }] })
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    let mut object = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}
