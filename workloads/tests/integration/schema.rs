//! The schema and the reference of keys, for a catalog like that of an engine.

use serde_json::Value;
use synod_workloads::{reference, schema};

use crate::support;

#[test]
fn every_object_is_closed_and_every_key_is_described() {
    let schema = schema(&support::catalog());
    let mut keys = 0;
    for_each_object(&schema, &mut |object| {
        let Some(properties) = object.get("properties").and_then(Value::as_object) else { return };
        assert_eq!(object["additionalProperties"], Value::Bool(false), "{object}");
        for (key, value) in properties {
            keys += 1;
            // The names of choices and protocols are described beside their objects.
            let described = value.get("description").or_else(|| object.get("description"));
            assert!(described.is_some_and(Value::is_string), "{key}: {value}");
        }
    });
    assert!(keys > 70, "only {keys} keys");
}

#[test]
fn the_schema_knows_defaults_choices_and_protocols() {
    let schema = schema(&support::catalog());
    let cluster = &schema["properties"]["cluster"]["properties"];
    assert_eq!(cluster["replicas"]["default"], 3);
    assert_eq!(cluster["transport"]["oneOf"][0]["const"], "tcp");
    assert_eq!(cluster["batch"]["properties"]["max_bytes"]["default"], "128KiB");
    assert_eq!(schema["required"], serde_json::json!(["protocols"]));
    let items = schema["properties"]["protocols"]["items"]["oneOf"].as_array().unwrap();
    let names: Vec<_> = items.iter().filter_map(|item| item["const"].as_str()).collect();
    let of_catalog = support::catalog().protocols.into_iter().map(|protocol| protocol.name);
    assert_eq!(names, of_catalog.collect::<Vec<_>>());
    let text = schema.to_string();
    assert!(text.contains("How often an idle leader shows that it is there. Default: 20ms."));
}

#[test]
fn the_reference_shows_rules_and_defaults() {
    let text = reference(&support::catalog());
    for expected in [
        "cluster.replicas\n    Replicas in each group.\n    must be a whole number from 1 to 9; default 3\n",
        "load.arrival.open.rate\n    Operations per second over all load threads.\n",
        "faults[].target\n",
        "protocols[].multi_paxos.phase2_quorum\n    Acceptances that choose a value.\n    must be a \
         whole number from 1 to 9; default a majority of the replicas\n",
    ] {
        assert!(text.contains(expected), "{expected}\nis not in\n{text}");
    }
}

fn for_each_object(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(entries) => {
            visit(value);
            entries.values().for_each(|value| for_each_object(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| for_each_object(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
