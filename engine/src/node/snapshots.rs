//! Snapshots of a replica: kept on disk so that the log can be cut, and sent to those who lag.
//!
//! Both are taken a piece at a time, so nothing stops meanwhile. On disk a snapshot is its chunks
//! and then a trailer: where the log goes on, and from which slot.

use synod_protocols::types::{ReplicaId, Slot};

use super::Trouble;
use super::connections::Connections;
use super::state::State;
use crate::frame::{self, Kind};
#[cfg(test)]
use crate::sim::mutation::Mutation;
use crate::snapshot::{
    Capture, Install, Installing, Progress, Restored, chunk_number, next_chunk_bytes,
};
use crate::wal::{Lsn, Storage, Wal};

/// Bytes that are copied in one turn.
const STEP_BYTES: usize = 64 << 10;

/// A replica that is sent a snapshot has at most so much of it waiting.
const OUTBOX_BYTES_MAX: usize = 1 << 20;

const TRAILER_BYTES: usize = 24;

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    saving: Option<Saving>,
    /// Mostly none.
    sending: Vec<Sending>,
    receiving: Option<Receiving>,
    /// The end of the checkpoint that the log begins with. What that takes does not count for the
    /// next snapshot: a checkpoint longer than the log between two would make them follow each other.
    checkpoint_end: Lsn,
    /// Where the log goes on after the snapshot that is on disk.
    kept_from: Lsn,
    /// Snapshots that were kept in this life, each with all that was known when it was begun.
    kept: u64,
    repair: Repair,
    buffer: Vec<u8>,
}

/// How far a replica is that started without what it had promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Repair {
    /// It has not lost anything.
    #[default]
    None,
    /// It learns from the others.
    Learning,
    /// It has learned enough, and will be whole when one more snapshot is kept than these.
    Keeping(u64),
}

#[derive(Debug)]
struct Saving {
    capture: Capture,
    slot: Slot,
    /// Where the checkpoint begins that the log then starts with, and where it ends.
    from: Lsn,
    until: Lsn,
    /// Whether all pieces are written.
    complete: bool,
}

#[derive(Debug)]
struct Sending {
    to: ReplicaId,
    capture: Capture,
    slot: Slot,
}

#[derive(Debug)]
struct Receiving {
    from: ReplicaId,
    slot: Slot,
    install: Install,
}

impl Snapshots {
    /// Whether so much was logged since the last snapshot that a new one is due, or what was got
    /// back from others has yet to be kept. One that is being received is better, unless this
    /// replica, at `next`, has got there in another way, or has a full log: whoever sent it may be
    /// gone, and a replica that has no room can learn nothing that would bring it there.
    pub(super) fn is_due<S: Storage>(&self, wal: &Wal<S>, next: Slot, every_bytes: u64) -> bool {
        let is_better = |receiving: &Receiving| receiving.slot > next && !wal.is_full();
        self.saving.is_none()
            && !self.receiving.as_ref().is_some_and(is_better)
            && (wal.end().0 - self.checkpoint_end.0 >= every_bytes
                || matches!(self.repair, Repair::Keeping(_)))
    }

    /// This replica starts without what it had promised.
    pub(super) fn lost(&mut self) {
        self.repair = Repair::Learning;
    }

    /// Notes when a replica that had lost what it promised is whole again. Until that is on disk it
    /// counts as lost when it starts again.
    pub(super) fn note_repair(&mut self, is_whole: bool) {
        if self.repair == Repair::Learning && is_whole {
            // One that was begun before does not have everything.
            self.saving = None;
            self.repair = Repair::Keeping(self.kept);
        }
    }

    /// Begins a snapshot for the disk. The caller lets the protocol append its checkpoint next, and
    /// then calls [`Self::checkpointed`].
    pub(super) fn begin_saving<S: Storage>(
        &mut self,
        state: &State,
        wal: &mut Wal<S>,
    ) -> std::io::Result<()> {
        let from = wal.end();
        self.receiving = None;
        wal.storage_mut().snapshot_begin()?;
        let (capture, slot) = (state.capture(), state.next());
        self.saving = Some(Saving { capture, slot, from, until: Lsn(u64::MAX), complete: false });
        Ok(())
    }

    /// The protocol's checkpoint ends here in the log.
    pub(super) fn checkpointed(&mut self, until: Lsn) {
        if let Some(saving) = &mut self.saving {
            #[cfg(test)]
            let until = if Mutation::CutsLogEarly.is_on() { saving.from } else { until };
            saving.until = until;
        }
    }

    /// Recovery has read the snapshot after which the log goes on at `from`.
    pub(super) fn recovered(&mut self, from: Lsn, end: Lsn) {
        self.kept_from = from;
        self.checkpoint_end = end;
    }

    /// Copies one more piece to the disk; at the end cuts the log.
    pub(super) fn continue_saving<S: Storage>(
        &mut self,
        state: &State,
        wal: &mut Wal<S>,
    ) -> std::io::Result<()> {
        let Some(saving) = &mut self.saving else { return Ok(()) };
        if saving.complete {
            // Without its checkpoint the log would begin with promises and votes missing, so the
            // old snapshot counts until the checkpoint is durable.
            if wal.durable() >= saving.until {
                let (from, slot) = (saving.from, saving.slot);
                self.checkpoint_end = saving.until;
                self.saving = None;
                self.kept_from = from;
                commit(wal, from, slot)?;
                self.kept += 1;
                if matches!(self.repair, Repair::Keeping(kept) if kept < self.kept) {
                    self.repair = Repair::None;
                    wal.storage_mut().regain()?;
                }
                wal.trim(from)?;
            }
            return Ok(());
        }
        self.buffer.clear();
        let progress = state.continue_capture(&mut saving.capture, STEP_BYTES, &mut self.buffer);
        wal.storage_mut().snapshot_append(&self.buffer)?;
        saving.complete = progress == Progress::Done;
        Ok(())
    }

    /// Whether a further turn would bring one of them further, though nothing arrives: where nobody asks
    /// for anything because the log is full, nothing else would.
    pub(super) fn go_on<S: Storage>(
        &self,
        wal: Option<&Wal<S>>,
        connections: &Connections,
    ) -> bool {
        let may_save = |saving: &Saving| {
            !saving.complete || wal.is_some_and(|wal| wal.durable() >= saving.until)
        };
        let may_send =
            |to| connections.peer_outbox_bytes(to).is_none_or(|bytes| bytes <= OUTBOX_BYTES_MAX);
        self.saving.as_ref().is_some_and(may_save)
            || self.sending.iter().any(|sending| may_send(sending.to))
    }

    /// Begins to send a snapshot, unless one is on its way.
    pub(super) fn begin_sending(&mut self, state: &State, to: ReplicaId) {
        if state.is_whole() && self.sending.iter().all(|sending| sending.to != to) {
            self.sending.push(Sending { to, capture: state.capture(), slot: state.next() });
        }
    }

    /// Sends one more piece to each replica that is sent a snapshot.
    pub(super) fn continue_sending(&mut self, state: &State, connections: &mut Connections) {
        let buffer = &mut self.buffer;
        self.sending.retain_mut(|sending| {
            // A replica that is gone will ask again.
            let Some(outbox) = connections.peer_outbox(sending.to) else { return false };
            if outbox.len() > OUTBOX_BYTES_MAX {
                return true;
            }
            buffer.clear();
            let progress = state.continue_capture(&mut sending.capture, STEP_BYTES, buffer);
            let slot = sending.slot.0.to_le_bytes();
            frame::push(outbox, Kind::Snapshot, &slot, buffer, 0);
            progress == Progress::More
        });
    }

    /// Sends no more of the snapshots under way; who needs one asks again.
    pub(super) fn stop_sending(&mut self) {
        self.sending.clear();
    }

    /// Takes in a piece of a snapshot of everything below `slot`. The last one gives the whole,
    /// which by then is on disk if there is a log: the votes that follow build on it.
    pub(super) fn receive<S: Storage>(
        &mut self,
        state: &State,
        wal: Option<&mut Wal<S>>,
        from: ReplicaId,
        slot: Slot,
        chunk: &[u8],
        merges: bool,
    ) -> std::io::Result<Option<Restored>> {
        // Of a state machine only one that is ahead of this replica is worth having, and then it
        // takes the place of all that there is. Registers are merged, so that what is on disk would
        // have less than what is in memory; they are kept by a snapshot of one's own.
        if !merges && slot <= state.next() {
            self.receiving = None;
            return Ok(None);
        }
        // Only a snapshot of its own lets a full log be cut. Each of the two would begin anew, for ever,
        // what ends the other.
        if !merges && self.saving.is_some() && wal.as_ref().is_some_and(|wal| wal.is_full()) {
            return Ok(None);
        }
        let first = chunk_number(chunk) == Some(0);
        let install = match self.receiving.take() {
            _ if first => state.install(),
            Some(receiving) if receiving.from == from => receiving.install,
            other => {
                self.receiving = other;
                return Ok(None);
            }
        };
        // A piece that does not fit was lost before: the snapshot is asked for again.
        let Ok(installing) = install.chunk(chunk) else { return Ok(None) };
        if let Some(wal) = wal.filter(|_| !merges) {
            self.keep_received(wal, first, slot, chunk, &installing)?;
        }
        match installing {
            Installing::More(install) => {
                self.receiving = Some(Receiving { from, slot, install });
                Ok(None)
            }
            Installing::Done(restored) => Ok(Some(restored)),
        }
    }

    fn keep_received<S: Storage>(
        &mut self,
        wal: &mut Wal<S>,
        first: bool,
        slot: Slot,
        chunk: &[u8],
        installing: &Installing,
    ) -> std::io::Result<()> {
        if first {
            // One snapshot is written at a time, and this one is ahead of an own one.
            self.saving = None;
            wal.storage_mut().snapshot_begin()?;
        }
        wal.storage_mut().snapshot_append(chunk)?;
        if matches!(installing, Installing::Done(_)) {
            // The log stays as it is, with all promises and votes: when it is replayed, what it
            // says of slots that the snapshot covers changes nothing.
            commit(wal, self.kept_from, slot)?;
        }
        Ok(())
    }
}

/// Makes the snapshot that was written the one that counts.
fn commit<S: Storage>(wal: &mut Wal<S>, from: Lsn, slot: Slot) -> std::io::Result<()> {
    #[cfg(test)]
    let from = if Mutation::SkipsToDurable.is_on() { wal.durable() } else { from };
    wal.storage_mut().snapshot_append(&trailer(from, slot))?;
    wal.storage_mut().snapshot_commit()
}

pub(super) fn trailer(from: Lsn, slot: Slot) -> [u8; TRAILER_BYTES] {
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..8].copy_from_slice(&from.0.to_le_bytes());
    trailer[8..16].copy_from_slice(&slot.0.to_le_bytes());
    let crc = crc32c::crc32c(&trailer[..16]);
    trailer[16..20].copy_from_slice(&crc.to_le_bytes());
    trailer
}

/// A snapshot as it was found on disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) restored: Restored,
    pub(super) from: Lsn,
    pub(super) slot: Slot,
}

/// Reads the snapshot on disk, if there is one.
///
/// # Errors
/// What is wrong with it: damage is a loss.
pub(super) fn read(storage: &mut impl Storage, state: &State) -> Result<Option<Found>, Trouble> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = storage.snapshot_read(bytes.len() as u64, &mut piece)?;
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let cut = || Trouble::loss("the snapshot is cut off");
    let mut rest = &bytes[..];
    let mut install = state.install();
    let restored = loop {
        let length =
            next_chunk_bytes(rest).filter(|&length| length <= rest.len()).ok_or_else(cut)?;
        let (chunk, behind) = rest.split_at(length);
        rest = behind;
        match install
            .chunk(chunk)
            .map_err(|error| Trouble::loss(&format!("the snapshot cannot be used: {error}")))?
        {
            Installing::More(more) => install = more,
            Installing::Done(restored) => break restored,
        }
    };
    let from = rest.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(cut)?;
    let slot = rest.get(8..16).and_then(|bytes| bytes.first_chunk::<8>()).ok_or_else(cut)?;
    let (from, slot) = (Lsn(from), Slot(u64::from_le_bytes(*slot)));
    if rest != trailer(from, slot) {
        return Err(cut());
    }
    Ok(Some(Found { restored, from, slot }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::SnapshotIdentity;
    use crate::store::StoreLimits;
    use crate::wal::{Identity, MemoryStorage, WalLimits};

    const WRITE_BYTES_MAX: usize = 8192;
    const SNAPSHOT_BYTES: u64 = WRITE_BYTES_MAX as u64;

    fn state() -> State {
        let identity = SnapshotIdentity { cluster: 1, group: 0 };
        let limits = StoreLimits { keys_expected: 10, keys_max: 100, large_bytes_max: 1 << 20 };
        State::new(identity, limits, 10)
    }

    /// The log with the shortest segments that there are.
    fn wal() -> Wal<MemoryStorage> {
        let identity = Identity { cluster: 1, replica: 0, group: 0 };
        let limits = WalLimits {
            segment_bytes: WRITE_BYTES_MAX,
            write_bytes_max: WRITE_BYTES_MAX,
            writes_in_flight: 2,
        };
        let opened = Wal::open(MemoryStorage::default(), identity, limits, Lsn(0), |_, _, _| {});
        let (mut wal, _) = opened.unwrap();
        wal.prepare(3).unwrap();
        wal
    }

    fn log(wal: &mut Wal<MemoryStorage>) {
        wal.append(b"record", b"").unwrap();
        let write = wal.next_write().unwrap();
        wal.written(write.token, write.buffer);
    }

    #[test]
    fn a_full_log_does_not_wait_for_the_rest_of_a_snapshot() {
        let (state, mut wal, mut snapshots) = (state(), wal(), Snapshots::default());
        let mut piece = Vec::new();
        let progress = state.continue_capture(&mut state.capture(), STEP_BYTES, &mut piece);
        assert_eq!(progress, Progress::More);
        let ahead = Slot(5);
        let received =
            snapshots.receive(&state, Some(&mut wal), ReplicaId(1), ahead, &piece, false);
        assert!(received.unwrap().is_none(), "the sender is gone before the last piece");

        while !wal.is_full() {
            assert!(!snapshots.is_due(&wal, state.next(), SNAPSHOT_BYTES), "the rest may come");
            log(&mut wal);
        }
        assert!(snapshots.is_due(&wal, state.next(), SNAPSHOT_BYTES));
        snapshots.begin_saving(&state, &mut wal).unwrap();
        wal.append(b"checkpoint", b"").unwrap();
        snapshots.checkpointed(wal.end());
        let write = wal.next_write().unwrap();
        wal.written(write.token, write.buffer);
        for _ in 0..10 {
            // Whoever sends the other one begins again and again.
            let again =
                snapshots.receive(&state, Some(&mut wal), ReplicaId(1), ahead, &piece, false);
            assert!(again.unwrap().is_none());
            snapshots.continue_saving(&state, &mut wal).unwrap();
        }
        assert!(!wal.is_full(), "it was cut");
    }
}
