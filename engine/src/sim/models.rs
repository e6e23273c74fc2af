//! How long things take in a simulated world.

/// A machine's clock: ahead of the world's by an offset that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// How far it is ahead at the start.
    pub offset_ns: u64,
    /// By how many parts in a million it is too fast, or too slow.
    pub drift_ppm: i64,
}

const MILLION: i128 = 1_000_000;

impl Clock {
    /// What this clock shows when the world's time is `now`.
    pub fn local(self, now: u64) -> u64 {
        let run = i128::from(now) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.offset_ns + u64::try_from(run).expect("clocks go forward")
    }

    /// The world's time when this clock first shows `local`, or later.
    pub fn world(self, local: u64) -> u64 {
        let run = i128::from(local.saturating_sub(self.offset_ns));
        let rate = MILLION + i128::from(self.drift_ppm);
        u64::try_from((run * MILLION + rate - 1) / rate).unwrap_or(u64::MAX)
    }
}

/// What a turn costs a processor, in nanoseconds: first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Each turn.
    pub turn_ns: u64,
    /// Each thing that happened.
    pub arrival_ns: u64,
    /// Each KiB received or sent.
    pub kib_ns: u64,
    /// Each command applied.
    pub command_ns: u64,
}

impl Cpu {
    /// The cost of a turn.
    pub fn cost(self, arrivals: u64, bytes: u64, commands: u64) -> u64 {
        self.turn_ns
            + arrivals * self.arrival_ns
            + bytes * self.kib_ns / 1024
            + commands * self.command_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_come_back_to_where_they_were() {
        for (offset_ns, drift_ppm) in [(0, 0), (1 << 40, 300), (12_345, -500)] {
            let clock = Clock { offset_ns, drift_ppm };
            for now in [0, 1, 999_999_999, 3_600_000_000_000] {
                let back = clock.world(clock.local(now));
                assert!(back.abs_diff(now) <= 1, "{now} became {back}");
                assert!(clock.local(clock.world(clock.local(now))) >= clock.local(now));
            }
        }
    }
}
