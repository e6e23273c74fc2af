//! Wrong workloads and what is said of them: each `tests/wrong/*.yaml` has its message in a `.txt`.
//!
//! A first line `# --set a.b=c` gives an override; there may be several such lines.
//! `UPDATE=1 cargo test -p synod-workloads` writes the messages anew; read them before you keep them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use synod_workloads::{Diagnostics, load, load_file};

use crate::support;

#[test]
fn wrong_files_get_their_messages() {
    let mut different = Vec::new();
    let mut cases = 0;
    for path in cases_in(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong")) {
        cases += 1;
        let said = said_of(&path);
        let expected_path = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &said).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if said != expected {
            different.push(format!("{}\nexpected:\n{expected}said:\n{said}", path.display()));
        }
    }
    assert!(cases >= 24, "only {cases} cases");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn more_than_one_mebibyte_is_refused() {
    let text = format!("name: big\n# {}\n", "x".repeat(1 << 20));
    let said = load(Path::new("big.yaml"), &text, &support::catalog(), &[]).unwrap_err();
    assert_eq!(
        said.to_string(),
        "big.yaml:1:1: found 1048589 bytes; a workload is at most 1 MiB long; split it into several"
    );
}

#[test]
fn a_missing_file_is_said_so() {
    let said = load_file(Path::new("no/such.yaml"), &support::catalog(), &[]).unwrap_err();
    assert!(said.to_string().starts_with("no/such.yaml: No such file"), "{said}");
}

#[test]
fn at_most_twenty_faults_are_listed() {
    let keys: Vec<String> = (0..25).map(|index| format!("unknown{index}: 1")).collect();
    let text = format!("protocols: [abd]\n{}\n", keys.join("\n"));
    let said = load(Path::new("many.yaml"), &text, &support::catalog(), &[]).unwrap_err();
    assert_eq!(said.iter().count(), 20);
    assert!(said.to_string().ends_with("\nmany.yaml: 5 more faults not shown"), "{said}");
}

#[test]
fn a_terminal_sees_the_lines() {
    let text = "protocols: [abd]\ncluster:\n  replcas: 3\n  cores: 0\n";
    let set = ["load.clients=many".to_owned()];
    let said = load(Path::new("w.yaml"), text, &support::catalog(), &set).unwrap_err();
    let rendered = said.render(false);
    assert_eq!(rendered, include_str!("rendered.txt").trim_end(), "{rendered}");
    assert!(said.render(true).contains("\u{1b}["));
}

fn cases_in(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    paths.sort();
    paths
}

/// The message, with the name of the file alone.
fn said_of(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let overrides: Vec<String> = String::from_utf8_lossy(&bytes)
        .lines()
        .map_while(|line| line.strip_prefix("# --set ").map(str::to_owned))
        .collect();
    let said: Diagnostics = match load_file(path, &support::catalog(), &overrides) {
        Err(said) => said,
        Ok(workload) => panic!("{} is not wrong: {workload:#?}", path.display()),
    };
    let name = path.file_name().unwrap().to_string_lossy();
    said.to_string().replace(&*path.display().to_string(), &name) + "\n"
}
