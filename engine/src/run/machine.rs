//! What the kernel says of the machine at both ends of the measured window: whether somebody else
//! had the processors, whether they changed their pace, whether memory was short.

use std::collections::BTreeSet;
use std::path::Path;

use synod_workloads::Phases;

/// The name of the process that makes the load. It also checks histories, so the most memory that it
/// ever had is not what this run took.
pub(super) const LOAD: &str = "the load generator";

/// The machine at one moment. What the kernel does not show is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Machine {
    /// Time of all processors, and what the hypervisor took of it, in ticks.
    pub(super) ticks: Option<(u64, u64)>,
    /// The pace of each processor that the run uses.
    pub(super) pace_mhz: Vec<(usize, Option<f64>)>,
    /// What each process of the run has in swap.
    pub(super) swapped_kib: Vec<(String, Option<u64>)>,
    /// The most memory that each replica has had.
    pub(super) resident_kib: Vec<(String, Option<u64>)>,
    /// Pages that were read from swap since the machine started.
    pub(super) pages_in: Option<u64>,
}

impl Machine {
    /// Reads `proc` and `sys` below `root`, which is `/` but in tests.
    pub(super) fn read(
        root: &Path,
        processors: &BTreeSet<usize>,
        processes: &[(String, u32)],
    ) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let cpus = text("proc/cpuinfo");
        let pace = |processor: usize| {
            let path = format!("sys/devices/system/cpu/cpu{processor}/cpufreq/scaling_cur_freq");
            let khz: Option<f64> = text(&path).trim().parse().ok();
            khz.map(|khz| khz / 1e3).or_else(|| pace_of(&cpus, processor))
        };
        let status =
            |process: u32, name: &str| number(&text(&format!("proc/{process}/status")), name);
        let swapped = |process: u32| {
            status(process, "VmSwap:").or_else(|| {
                // A kernel without swap does not say how little of it there is.
                number(&text("proc/meminfo"), "SwapTotal:").filter(|&total| total == 0)
            })
        };
        Self {
            ticks: ticks(&text("proc/stat")),
            pace_mhz: processors.iter().map(|&number| (number, pace(number))).collect(),
            swapped_kib: processes.iter().map(|(name, id)| (name.clone(), swapped(*id))).collect(),
            resident_kib: processes
                .iter()
                .filter(|(name, _)| name != LOAD)
                .map(|(name, id)| (name.clone(), status(*id, "VmHWM:")))
                .collect(),
            pages_in: number(&text("proc/vmstat"), "pswpin"),
        }
    }
}

/// The time of all processors and what was stolen of it. Guests are counted as users before.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|tick| tick.parse().ok()).collect();
    let (whole, stolen) = (ticks.get(..8)?, ticks[7]);
    Some((whole.iter().sum(), stolen))
}

/// What `proc/cpuinfo` says of the pace of a processor.
fn pace_of(cpus: &str, processor: usize) -> Option<f64> {
    let mut current = None;
    for (key, value) in cpus.lines().filter_map(|line| line.split_once(':')) {
        match key.trim() {
            "processor" => current = value.trim().parse::<usize>().ok(),
            "cpu MHz" if current == Some(processor) => return value.trim().parse().ok(),
            _ => {}
        }
    }
    None
}

/// The number behind a name at the start of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The machine at both ends of the measured window.
#[derive(Clone, Debug, Default)]
pub(super) struct Edges {
    /// At its beginning.
    pub(super) before: Option<Machine>,
    /// At its end.
    pub(super) after: Option<Machine>,
}

impl Edges {
    /// Reads the machine if one of the ends has come.
    pub(super) fn note(&mut self, at_ns: u64, phases: &Phases, read: impl FnOnce() -> Machine) {
        let until_ns = phases.warm_up_ns + phases.measure_ns;
        if self.before.is_none() {
            if (phases.warm_up_ns..until_ns).contains(&at_ns) {
                self.before = Some(read());
            }
        } else if self.after.is_none() && at_ns >= until_ns {
            self.after = Some(read());
        }
    }

    /// The most memory that a replica has had by the end of the window, in bytes.
    pub(super) fn resident_bytes_max(&self) -> Option<u64> {
        let resident = &self.after.as_ref()?.resident_kib;
        resident.iter().filter_map(|(_, kib)| *kib).max().map(|kib| kib * 1024)
    }

    /// Both, once both are there.
    pub(super) fn both(&self) -> Option<(&Machine, &Machine)> {
        Some((self.before.as_ref()?, self.after.as_ref()?))
    }
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
        let read = || Machine::read(root.path(), &BTreeSet::from([0, 1]), &[("n".to_owned(), 7)]);
        let nothing = read();
        assert_eq!((nothing.ticks, nothing.pages_in), (None, None));
        assert_eq!(nothing.pace_mhz, [(0, None), (1, None)]);
        assert_eq!(nothing.swapped_kib, [("n".to_owned(), None)]);
        write("proc/stat", "cpu  10 20 30 40 50 60 70 80 5 5\ncpu0 1 2 3 4 5 6 7 8 9 9\n");
        write(
            "proc/cpuinfo",
            "processor\t: 0\ncpu MHz\t: 1\n\nprocessor\t: 1\ncpu MHz\t: 2000.5\n",
        );
        write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000\n");
        write("proc/vmstat", "pswpin 12\npswpout 13\n");
        write("proc/meminfo", "MemTotal: 9 kB\nSwapTotal:       0 kB\n");
        let seen = read();
        assert_eq!((seen.ticks, seen.pages_in), (Some((360, 80)), Some(12)));
        assert_eq!(seen.pace_mhz, [(0, Some(3000.0)), (1, Some(2000.5))]);
        assert_eq!(seen.swapped_kib[0].1, Some(0), "there is nothing to be swapped to");
        write("proc/7/status", "Name:\tsynod\nVmHWM:\t   9000 kB\nVmSwap:\t     128 kB\n");
        assert_eq!(read().swapped_kib[0].1, Some(128));
        assert_eq!(read().resident_kib, [("n".to_owned(), Some(9000))]);
    }

    #[test]
    fn a_kernel_that_knows_no_theft_is_not_taken_for_one_without() {
        assert_eq!(ticks("cpu  10 20 30 40\n"), None);
    }

    #[test]
    fn each_end_is_read_once() {
        let phases = Phases { warm_up_ns: 10, measure_ns: 20, cool_down_ns: 5 };
        let mut edges = Edges::default();
        let mut reads = 0;
        for at_ns in [0, 9, 10, 11, 29, 30, 34, 35] {
            edges.note(at_ns, &phases, || {
                reads += 1;
                Machine { pages_in: Some(at_ns), ..Machine::default() }
            });
        }
        assert_eq!(reads, 2);
        let (before, after) = edges.both().unwrap();
        assert_eq!((before.pages_in, after.pages_in), (Some(10), Some(30)));
    }
}
