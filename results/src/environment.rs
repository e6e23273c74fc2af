//! The machine that a run ran on, as far as it can be read without asking anybody.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A machine. What could not be found out is an empty string or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The processor's own name for itself.
    pub cpu_model: String,
    /// Processors as the kernel schedules them.
    pub logical_processors: u32,
    /// Main memory.
    pub memory_bytes: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// The compiler that built the program, as its builder names it.
    pub rustc_version: String,
    /// The frequency governor of the first processor.
    pub governor: String,
    /// Signs of a virtual machine or a container, such as `hypervisor` or `docker`; empty on
    /// plain hardware, as far as it shows.
    pub virtualization: String,
}

impl Environment {
    /// Reads `proc` and `sys` below `root`, which is `/` but in tests. The compiler's version is
    /// known to the builder only, and passed in.
    #[must_use]
    pub fn read(root: &Path, rustc_version: &str) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let cpus = text("proc/cpuinfo");
        let processors = cpus.lines().filter(|line| line.starts_with("processor")).count();
        let memory = field(&text("proc/meminfo"), "MemTotal");
        let memory_kib: u64 =
            memory.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Self {
            cpu_model: field(&cpus, "model name"),
            logical_processors: u32::try_from(processors).unwrap_or(u32::MAX),
            memory_bytes: memory_kib.saturating_mul(1024),
            kernel: text("proc/sys/kernel/osrelease").trim().to_owned(),
            rustc_version: rustc_version.to_owned(),
            governor: text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .trim()
                .to_owned(),
            virtualization: virtualization(root, &cpus),
        }
    }
}

fn virtualization(root: &Path, cpus: &str) -> String {
    let mut signs = Vec::new();
    if field(cpus, "flags").split_whitespace().any(|flag| flag == "hypervisor") {
        signs.push("hypervisor");
    }
    if root.join(".dockerenv").exists() {
        signs.push("docker");
    }
    if root.join("run/.containerenv").exists() {
        signs.push("podman");
    }
    signs.join(", ")
}

/// The text behind the first `name:` at the start of a line.
fn field(text: &str, name: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let processor = "model name\t: Abacus 9\nflags\t\t: fpu hypervisor\n";
        write("proc/cpuinfo", &format!("processor\t: 0\n{processor}\nprocessor\t: 1\n{processor}"));
        write("proc/meminfo", "MemTotal:        1024 kB\nMemFree: 1 kB\n");
        write("proc/sys/kernel/osrelease", "6.1.0\n");
        let machine = Environment::read(root.path(), "1.95.0");
        assert_eq!(machine.cpu_model, "Abacus 9");
        assert_eq!((machine.logical_processors, machine.memory_bytes), (2, 1 << 20));
        assert_eq!((machine.kernel.as_str(), machine.governor.as_str()), ("6.1.0", ""));
        assert_eq!(machine.virtualization, "hypervisor");
    }

    #[test]
    fn nothing_to_read_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Environment::read(root.path(), ""), Environment::default());
    }
}
