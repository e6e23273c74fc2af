//! How long things take in a simulated world.

use synod_workloads::Cpu;

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
        // Most clocks are right, and divisions of this size are slow.
        if self.drift_ppm == 0 {
            return self.offset_ns + now;
        }
        let run = i128::from(now) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.offset_ns + u64::try_from(run).expect("clocks go forward")
    }

    /// The world's time when this clock first shows `local`, or later.
    pub fn world(self, local: u64) -> u64 {
        if self.drift_ppm == 0 {
            return local.saturating_sub(self.offset_ns);
        }
        let run = i128::from(local.saturating_sub(self.offset_ns));
        let rate = MILLION + i128::from(self.drift_ppm);
        u64::try_from((run * MILLION + rate - 1) / rate).unwrap_or(u64::MAX)
    }
}

/// What happened in a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Whether the processor did something else before.
    pub switched: bool,
    /// Things that happened.
    pub arrivals: u64,
    /// Things sent.
    pub sends: u64,
    /// Bytes received or sent.
    pub bytes: u64,
    /// Commands applied.
    pub commands: u64,
    /// Registers read or written.
    pub registers: u64,
    /// Messages from other replicas and to them.
    pub messages: u64,
    /// Operations of clients that ended.
    pub operations: u64,
    /// Writes given to the disk.
    pub writes: u64,
}

impl Work {
    /// What was done since it was `before`, of what replicas and clients count.
    pub const fn since(self, before: Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            registers: self.registers - before.registers,
            messages: self.messages - before.messages,
            operations: self.operations - before.operations,
            ..self
        }
    }

    /// What it costs a processor.
    pub fn cost(self, cpu: Cpu) -> u64 {
        cpu.turn_ns
            + u64::from(self.switched) * cpu.switch_ns
            + self.arrivals * cpu.arrival_ns
            + self.sends * cpu.send_ns
            + self.bytes * cpu.kib_ns / 1024
            + self.commands * cpu.command_ns
            + self.registers * cpu.register_ns
            + self.messages * cpu.message_ns
            + self.operations * cpu.operation_ns
            + self.writes * cpu.write_ns
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
