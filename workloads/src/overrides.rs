//! `--set path=value`: changes to the tree of a workload before it is read.

use crate::diagnostics::{Origin, Place, Report, found};
use crate::fields::{Kind, field};
use crate::settings::join;
use crate::tree::{Data, Key, Node, parse};

/// Applies overrides in order; later ones win.
pub(crate) fn apply(root: &mut Node, overrides: &[String], report: &mut Report) {
    for (index, text) in overrides.iter().enumerate() {
        let place = Place { origin: Origin::Override(index), line: 1, column: 1, length: 1 };
        let Some((path, value)) = text.split_once('=') else {
            let rule = "an override is a path, `=` and a value";
            report.add(place, "", found(text), rule, "write for example `load.clients=64`");
            continue;
        };
        let faults_before = report.len();
        let value = match parse(value, Origin::Override(index), report) {
            Some(node) => node,
            None if report.len() > faults_before => continue,
            None => Node { place, data: Data::Null },
        };
        let steps: Vec<&str> = path.trim().split('.').collect();
        if let Err(misstep) = set(root, &steps, "", value) {
            report.add(place, misstep.path, misstep.found, misstep.rule, misstep.instead);
        }
    }
}

/// An override that leads nowhere.
struct Misstep {
    path: String,
    found: String,
    rule: String,
    instead: String,
}

/// Puts `value` at `steps` below `node`, which stands at `pattern` in the table of keys.
fn set(node: &mut Node, steps: &[&str], pattern: &str, value: Node) -> Result<(), Misstep> {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return Ok(());
    };
    if let Data::List(items) = &mut node.data {
        let length = items.len();
        let item = step.parse::<usize>().ok().and_then(|index| items.get_mut(index));
        let Some(item) = item else { return Err(no_such_item(step, pattern, length)) };
        return set(item, rest, &format!("{pattern}[]"), value);
    }
    let place = value.place;
    let one_of = field(pattern).is_some_and(|field| matches!(field.kind, Kind::OneOf));
    match &mut node.data {
        Data::Map(entries) if one_of => entries.retain(|(key, _)| key.text == *step),
        Data::Map(_) | Data::List(_) => {}
        // `abd` is short for `abd: {}`, `uniform` for `uniform: {}`; a choice is also replaced.
        Data::Scalar(text) if text == step || one_of => {
            let key = Key { place: node.place, text: (*step).into() };
            let empty = Node { place: node.place, data: Data::Null };
            node.data = Data::Map(vec![(key, empty)]);
        }
        Data::Null => node.data = Data::Map(Vec::new()),
        Data::Scalar(text) => {
            return Err(Misstep {
                path: pattern.into(),
                found: found(text),
                rule: format!("there is nothing below it called `{step}`"),
                instead: "set the value itself".into(),
            });
        }
    }
    let Data::Map(entries) = &mut node.data else { return Ok(()) };
    if !entries.iter().any(|(key, _)| key.text == *step) {
        let key = Key { place, text: (*step).into() };
        entries.push((key, Node { place, data: Data::Null }));
    }
    let child_pattern = join(pattern, step);
    for (key, child) in entries.iter_mut().filter(|(key, _)| key.text == *step) {
        set(child, rest, &child_pattern, value.clone())?;
        if rest.is_empty() {
            // A fault of a mapping or list points at its key, and now that is the override.
            key.place = place;
        }
    }
    Ok(())
}

fn no_such_item(step: &str, pattern: &str, length: usize) -> Misstep {
    let instead = match length {
        0 => "give the whole list, for example `[...]`".into(),
        1 => "write `0`".into(),
        _ => format!("write a number from 0 to {}", length - 1),
    };
    Misstep {
        path: pattern.into(),
        found: found(step),
        rule: format!("it is a list of {length}, numbered from 0"),
        instead,
    }
}
