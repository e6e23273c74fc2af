//! The file of a model: read back as it was written, and what is said of one that is wrong.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;

use synod_workloads::{MachineModel, load_model};

fn read(text: &str) -> Result<MachineModel, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.yaml");
    fs::write(&path, text).unwrap();
    let said = load_model(&path).map_err(|diagnostics| diagnostics.to_string());
    said.map_err(|said| said.replace(&folder.path().display().to_string(), ""))
}

#[test]
fn a_model_is_read_back() {
    let mut model = read("model: { processors: 2 }").unwrap();
    assert_eq!((model.processors, model.network_ns), (2, 15_000));
    for (number, (_, cost)) in (1..).zip(MachineModel::COSTS) {
        *cost(&mut model) = number * 777;
    }
    (model.away_ns, model.between_ns) = (4_000, 1_001);
    assert_eq!(read(&model.to_yaml()), Ok(model));
}

#[test]
fn wrong_models_are_refused() {
    for (text, said) in [
        (
            "model: { turn: 5 }",
            "/model.yaml:1:16: model.turn: found `5`; must be a duration from 0s to 1s in ns, us, \
             ms, s, m or h; add a unit, for example `5ms` or `5s`",
        ),
        (
            "model: { turns: 5us }",
            "/model.yaml:1:10: model.turns: found an unknown key; model has the keys processors, \
             away, between, turn, switch, arrival, send, kib, command, register, message, operation, \
             write, network, disk, disk_tail, disk_gap and disk_kib; remove it or write one of these (did \
             you mean `turn`?)",
        ),
        (
            "model: { turn: 5us }\nload: {}",
            "/model.yaml:2:1: load: found another key; nothing stands here but `model`; remove it",
        ),
        ("- 1", "/model.yaml:1:1: found a list; must be a mapping with the key `model`; "),
        ("{}", "/model.yaml:1:1: model: found nothing; the key `model` is missing; "),
        ("", "/model.yaml:1:1: found nothing; the file of a model has the key `model`; "),
    ] {
        let refused = read(text).unwrap_err();
        assert!(refused.starts_with(said), "{text}:\n{refused}\nis not\n{said}");
    }
}
