//! The process or the machine stops at each step of the disk: of appending, of a new segment, of
//! giving an old one a new number, and of writing a snapshot and making it the one that counts.

mod disk;

use self::disk::Disk;
use super::*;

const LIMITS: WalLimits =
    WalLimits { segment_bytes: 1 << 14, write_bytes_max: 8192, writes_in_flight: 3 };

/// A snapshot is a count of records and where the log goes on, repeated to fill several sectors.
const SNAPSHOT_WORDS: usize = 200;

/// What a replica could rely on, whatever happens then.
#[derive(Clone, Default)]
struct Known {
    /// All that was ever appended, in order.
    entries: Vec<Entry>,
    /// How many of them were reported durable.
    acknowledged: usize,
    /// Snapshots that count, or that may: the last one was about to become the current one.
    snapshots: Vec<Lsn>,
    /// Whether the last one was reported to count.
    committed: bool,
}

fn snapshot(from: Lsn) -> Vec<u8> {
    (0..SNAPSHOT_WORDS as u64).flat_map(|word| (from.0 + word).to_le_bytes()).collect()
}

/// Writes as the ring does: it is durable before it is reported.
fn complete(wal: &mut Wal<Disk>, known: &mut Known, writes: Vec<LogWrite>) -> io::Result<()> {
    for next in &writes {
        let bytes = next.bytes().to_vec();
        wal.storage_mut().write_at(next.segment, next.offset, &bytes)?;
    }
    for next in writes {
        wal.storage_mut().sync(next.segment)?;
        wal.written(next.token, next.buffer);
    }
    known.acknowledged = known.entries.partition_point(|entry| entry.0 <= wal.durable());
    Ok(())
}

fn save_snapshot(wal: &mut Wal<Disk>, known: &mut Known) -> io::Result<()> {
    let from = wal.durable();
    wal.storage_mut().snapshot_begin()?;
    for piece in snapshot(from).chunks(700) {
        wal.storage_mut().snapshot_append(piece)?;
    }
    known.snapshots.push(from);
    known.committed = false;
    wal.storage_mut().snapshot_commit()?;
    known.committed = true;
    wal.trim(from)
}

/// A life of a replica's log: opens it, checks all that it finds, and goes on until the disk fails.
fn live(disk: &Disk, known: &mut Known, appends: u64) -> io::Result<()> {
    let from = check_snapshot(disk, known);
    let mut seen = Vec::new();
    let visit = |lsn, record: &[u8], payload: &[u8]| {
        seen.push((lsn, record.to_vec(), payload.to_vec()));
    };
    let (mut wal, recovered) = match Wal::open(disk.clone(), IDENTITY, LIMITS, from, visit) {
        Err(LogError::Io(error)) => return Err(error),
        opened => opened.unwrap(),
    };
    check_records(known, from, &seen);
    // What did not come back was never acknowledged, and is no more.
    known.entries.retain(|entry| entry.0 <= recovered.next);
    known.acknowledged = known.entries.len();
    wal.prepare(1)?;
    for number in 0..appends {
        if wal.room() < RECORD_BYTES_MAX {
            wal.extend()?;
        }
        let record = vec![3; index(mix(number) % 65)];
        let payload = vec![4; index(mix(number + 1) % 700)];
        let end = wal.append(&record, &payload)?;
        known.entries.push((end, record, payload));
        // Now and then several writes are under way together.
        if number % 4 == 3 {
            let mut writes = vec![wal.next_write().unwrap()];
            let end = wal.append(b"second", &[5; 300])?;
            known.entries.push((end, b"second".to_vec(), vec![5; 300]));
            writes.extend(wal.next_write());
            complete(&mut wal, known, writes)?;
        }
        if number % 16 == 15 {
            save_snapshot(&mut wal, known)?;
        }
    }
    Ok(())
}

/// The snapshot is one that counted, or the one that was about to: whole, and none before.
fn check_snapshot(disk: &Disk, known: &mut Known) -> Lsn {
    let mut bytes = vec![0; 1 << 14];
    let count = disk.clone().snapshot_read(0, &mut bytes).unwrap();
    bytes.truncate(count);
    let from = bytes.first_chunk::<8>().map_or(Lsn(0), |from| Lsn(u64::from_le_bytes(*from)));
    assert!(bytes.is_empty() || bytes == snapshot(from), "half a snapshot");
    let mut possible = known.snapshots.iter().rev().copied().chain([Lsn(0)]);
    let newest = possible.next().unwrap();
    let before = possible.next().filter(|_| !known.committed);
    assert!(from == newest || before == Some(from), "{from} of {:?}", known.snapshots);
    known.snapshots = vec![from];
    known.committed = true;
    from
}

/// The records are those after `from` as they were appended, all that were acknowledged among them.
fn check_records(known: &Known, from: Lsn, seen: &[Entry]) {
    let first = known.entries.partition_point(|entry| entry.0 <= from);
    assert!(first + seen.len() >= known.acknowledged, "{} acknowledged", known.acknowledged);
    assert_eq!(seen, &known.entries[first..first + seen.len()]);
}

#[test]
fn whatever_step_the_disk_stops_at_all_that_was_acknowledged_comes_back() {
    let steps = {
        let disk = Disk::default();
        live(&disk, &mut Known::default(), 96).unwrap();
        disk.steps()
    };
    assert!(steps > 150, "{steps} steps");
    let (mut lives, mut lost_in_flight) = (0, 0);
    for step in 0..=steps {
        for seed in 0..12 {
            let mut known = Known::default();
            let mut disk = Disk::default();
            disk.fail_after(step);
            assert_eq!(live(&disk, &mut known, 96).is_err(), step < steps);
            // Power fails again in the next life, soon or later, and then no more.
            for left in [mix(step * 31 + seed) % 60, u64::MAX] {
                disk = disk.crash(mix(step * 97 + seed));
                disk.fail_after(left);
                let before = known.entries.len();
                let failed = live(&disk, &mut known, 20).is_err();
                assert!(!failed || left < u64::MAX);
                lost_in_flight += usize::from(known.entries.len() < before);
                lives += 1;
            }
        }
    }
    assert_eq!(lives, 24 * (steps + 1));
    assert!(lost_in_flight > 0, "some writes were under way and are no more");
}

#[test]
fn a_full_disk_is_told_and_nothing_half_is_acknowledged() {
    // Room for two segments, but not for the third, nor for a snapshot on top.
    let disk = Disk::default();
    disk.limit_bytes(2 * LIMITS.segment_bytes + 100);
    let mut known = Known::default();
    let error = live(&disk, &mut known, 96).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(known.acknowledged > 0);
    let names = disk.clone().list().unwrap();
    assert_eq!(names, [SegmentId(0), SegmentId(1)], "no segment is half made");
    // With room again it goes on where it was.
    disk.limit_bytes(usize::MAX);
    let acknowledged = known.acknowledged;
    live(&disk.crash(1), &mut known, 96).unwrap();
    assert!(known.acknowledged > acknowledged);
}
