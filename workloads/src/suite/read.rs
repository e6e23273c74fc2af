//! The file of a suite: its keys, and what is wrong with them.

use std::path::Path;

use super::axis::{choices, in_a_line};
use super::{CASE, Choice, Draft, POINTS_MAX, Setting};
use crate::diagnostics::{Origin, Place, Report, did_you_mean, found};
use crate::names::nearest;
use crate::scalars::fit_name;
use crate::tree::{self, Data, Key, Node};
use crate::units::{COUNT_UNITS, parse_integer};

const KEYS: [&str; 9] =
    ["name", "description", "workload", "repeats", "simulated", "set", "vary", "cases", "skip"];

/// Repeats at most, as in a workload.
const REPEATS_MAX: u64 = 1000;

/// Reads what stands in the file; what is missing is reported.
pub(super) fn read(path: &Path, text: &str, report: &mut Report) -> Option<Draft> {
    let root = tree::parse(text, Origin::File, report)?;
    let Data::Map(entries) = &root.data else {
        let rule = "a suite is a mapping with `workload` and what varies";
        report.add(root.place, "", root.found(), rule, "write `workload: quickstart.yaml`");
        return None;
    };
    let mut reader = Reader { entries, report };
    reader.refuse_unknown_keys();
    let workload = reader.workload(path);
    let axes: Vec<_> = reader.cases().into_iter().chain(reader.vary()).collect();
    let points = axes.iter().map(|(_, choices)| choices.len()).fold(1, usize::saturating_mul);
    if points > POINTS_MAX {
        let found = format!("found {points} combinations");
        let rule = format!("a suite has at most {POINTS_MAX} points");
        reader.report.add(Place::WHOLE, "vary", found, rule, "vary less at a time");
        return None;
    }
    let skip = reader.skip(&axes);
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
    Some(Draft {
        name: fit_name(&reader.scalar("name").map_or(stem, |(text, _)| text)),
        description: reader.scalar("description").map_or_else(String::new, |(text, _)| text),
        workload: workload?,
        repeats: reader.repeats(),
        simulated: reader.flag("simulated"),
        fixed: reader.settings("set"),
        axes,
        skip,
    })
}

/// The keys of the file, and where faults go.
struct Reader<'a> {
    entries: &'a [(Key, Node)],
    report: &'a mut Report,
}

impl<'a> Reader<'a> {
    fn refuse_unknown_keys(&mut self) {
        for (key, _) in self.entries {
            if !KEYS.contains(&key.text.as_str()) {
                let hint = did_you_mean(nearest(&key.text, KEYS.iter().copied()));
                let rule = "a suite has no such key";
                self.report.add(
                    key.place,
                    key.text.as_str(),
                    format!("found it{hint}"),
                    rule,
                    format!("use one of {}", KEYS.join(", ")),
                );
            }
        }
    }

    fn node(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    fn scalar(&mut self, name: &str) -> Option<(String, Place)> {
        let node = self.node(name)?;
        if let Data::Scalar(text) = &node.data {
            return Some((text.trim().to_owned(), node.place));
        }
        self.report.add(node.place, name, node.found(), "must be text", "write one value");
        None
    }

    /// The path of the workload, from the folder of the suite.
    fn workload(&mut self, suite: &Path) -> Option<std::path::PathBuf> {
        if self.node("workload").is_none() {
            let rule = "a suite says which workload it varies";
            let instead = "write `workload: ../quickstart.yaml`";
            self.report.add(Place::START, "workload", "found nothing", rule, instead);
        }
        let (file, _) = self.scalar("workload")?;
        Some(suite.parent().unwrap_or_else(|| Path::new(".")).join(file))
    }

    fn repeats(&mut self) -> u32 {
        let Some((text, place)) = self.scalar("repeats") else { return 1 };
        let number = parse_integer(&text, COUNT_UNITS).ok();
        if let Some(number) = number.filter(|number| (1..=REPEATS_MAX).contains(number)) {
            return u32::try_from(number).expect("at most a thousand");
        }
        let rule = format!("must be a whole number from 1 to {REPEATS_MAX}");
        self.report.add(place, "repeats", found(&text), rule, "write for example `5`");
        1
    }

    fn flag(&mut self, name: &str) -> bool {
        let Some((text, place)) = self.scalar(name) else { return false };
        if !matches!(text.as_str(), "true" | "false") {
            let rule = "must be true or false";
            self.report.add(place, name, found(&text), rule, "write one of these");
        }
        text == "true"
    }

    /// The entries of a mapping from paths to values.
    fn mapping(&mut self, name: &str) -> &'a [(Key, Node)] {
        match self.node(name).map(|node| (&node.data, node)) {
            None | Some((Data::Null, _)) => &[],
            Some((Data::Map(entries), _)) => entries,
            Some((_, node)) => {
                let rule = "must be a mapping of keys of workloads";
                let instead = "write for example `{ cluster.window: 4 }`";
                self.report.add(node.place, name, node.found(), rule, instead);
                &[]
            }
        }
    }

    fn settings(&mut self, name: &str) -> Vec<Setting> {
        self.mapping(name).iter().map(setting).collect()
    }

    fn vary(&mut self) -> Vec<(String, Vec<Choice>)> {
        let mut axes = Vec::new();
        for (key, node) in self.mapping("vary") {
            axes.push((key.text.clone(), choices(&key.text, node, self.report)));
        }
        axes
    }

    fn list(&mut self, name: &str, rule: &str, instead: &str) -> Vec<(Place, &'a [(Key, Node)])> {
        let Some(node) = self.node(name) else { return Vec::new() };
        let Data::List(items) = &node.data else {
            self.report.add(node.place, name, node.found(), rule, instead);
            return Vec::new();
        };
        let mut mappings = Vec::new();
        for item in items {
            if let Data::Map(entries) = &item.data {
                mappings.push((item.place, entries.as_slice()));
            } else {
                self.report.add(item.place, name, item.found(), rule, instead);
            }
        }
        mappings
    }

    /// The axis that the cases make, if there are any.
    fn cases(&mut self) -> Option<(String, Vec<Choice>)> {
        let rule = "a case has a name and what it sets";
        let instead = "write for example `- { name: small, set: { load.clients: 1 } }`";
        let mut cases = Vec::new();
        for (place, entries) in self.list("cases", rule, instead) {
            let mut case = Reader { entries, report: self.report };
            let known = entries.iter().all(|(key, _)| matches!(key.text.as_str(), "name" | "set"));
            match case.scalar("name") {
                Some((name, _)) if known => {
                    let settings = case.settings("set");
                    cases.push(Choice { name, settings });
                }
                _ => self.report.add(place, "cases", "found a mapping", rule, instead),
            }
        }
        (!cases.is_empty()).then(|| (CASE.to_owned(), cases))
    }

    fn skip(&mut self, axes: &[(String, Vec<Choice>)]) -> Vec<Vec<(usize, Vec<usize>)>> {
        let rule = "a point is skipped by values of what varies";
        let instead = "write for example `- { cluster.window: 1 }`";
        let mut skip = Vec::new();
        for (_, entries) in self.list("skip", rule, instead) {
            let all = entries.iter().filter_map(|(key, node)| {
                let found = values_on_axis(axes, key, node);
                if found.is_none() {
                    let says = format!("found {}", in_a_line(node));
                    self.report.add(node.place, format!("skip.{}", key.text), says, rule, instead);
                }
                found
            });
            skip.push(all.collect());
        }
        skip
    }
}

fn setting((key, node): &(Key, Node)) -> Setting {
    Setting { path: key.text.clone(), value: in_a_line(node), place: node.place }
}

/// The axis of a key and the indices of the values in `node`, if all of them are there.
fn values_on_axis(
    axes: &[(String, Vec<Choice>)],
    key: &Key,
    node: &Node,
) -> Option<(usize, Vec<usize>)> {
    let axis = axes.iter().position(|(path, _)| *path == key.text)?;
    let index = |value: &Node| {
        let wanted = in_a_line(value);
        axes[axis].1.iter().position(|choice| choice.name == wanted)
    };
    let values = match &node.data {
        Data::List(items) => items.iter().map(index).collect::<Option<_>>()?,
        Data::Null | Data::Scalar(_) | Data::Map(_) => vec![index(node)?],
    };
    Some((axis, values))
}
