//! Tells the program which commit and which compiler it was built from: every result says so.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/index");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(&compiler, &["--version"]);
    let commit = output("git", &["rev-parse", "HEAD"]);
    // Without locks it does not write the index, which would make the next build begin anew.
    let dirty = !output("git", &["--no-optional-locks", "status", "--porcelain"]).is_empty();
    println!("cargo::rustc-env=SYNOD_RUSTC={version}");
    println!("cargo::rustc-env=SYNOD_COMMIT={commit}");
    println!("cargo::rustc-env=SYNOD_DIRTY={dirty}");
}

/// What the command prints, empty when it cannot be run: a source archive has no repository.
fn output(command: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(command).args(arguments).output() else { return String::new() };
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
