//! Power is lost while the last writes are under way: each of their sectors may be on the disk, be
//! what it was, or be anything else.

use super::*;

const SECTOR_BYTES: usize = 512;

/// Sectors of which all subsets are tried.
const SECTORS_MAX: usize = 12;

/// What has become of a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Old,
    Zero,
    Garbage,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Kept, Self::Old, Self::Zero, Self::Garbage];
}

/// A log on recycled segments, and its last writes, which are on their way to the disk.
struct Scene {
    segments: Segments<MemoryStorage>,
    /// All records after `from`; the first of them are acknowledged.
    entries: Vec<Entry>,
    acknowledged: usize,
    from: Lsn,
    /// For each sector that is being written where it goes, and its bytes for each fate.
    sectors: Vec<(SegmentId, usize, [Vec<u8>; 4])>,
}

impl Scene {
    /// The last writes have so many records each, of `payload_bytes`.
    fn new(writes: &[usize], payload_bytes: usize) -> Self {
        let (mut wal, _, _) = open(MemoryStorage::default()).unwrap();
        wal.prepare(2).unwrap();
        let mut entries = Vec::new();
        // The segments come round again, so that the old bytes are those of whole records.
        for number in 0.. {
            if wal.end().0 > 12 << 15 {
                break;
            }
            if wal.room() < RECORD_BYTES_MAX {
                flush(&mut wal);
                wal.trim(wal.durable()).unwrap();
            }
            entries.push(append(&mut wal, number));
            if number % 8 == 0 {
                flush(&mut wal);
            }
        }
        flush(&mut wal);
        let mut entries = entries.split_off(entries.len() - 4);
        let from = entries.remove(0).0;
        let acknowledged = entries.len();
        let before = wal.storage_mut().clone();
        let mut sectors = Vec::new();
        for &records in writes {
            for _ in 0..records {
                let (record, payload) = (vec![7; 5], vec![9; payload_bytes]);
                entries.push((wal.append(&record, &payload).unwrap(), record, payload));
            }
            let write = wal.next_write().unwrap();
            let mut old = before.clone();
            let old = old.segment_mut(write.segment).unwrap();
            for (number, kept) in write.bytes().chunks(SECTOR_BYTES).enumerate() {
                let offset = write.offset + number * SECTOR_BYTES;
                let garbage = (0..64).flat_map(|word| mix(offset as u64 + word).to_le_bytes());
                let fates = [
                    kept.to_vec(),
                    old[offset..offset + SECTOR_BYTES].to_vec(),
                    vec![0; SECTOR_BYTES],
                    garbage.collect(),
                ];
                // What is behind the records is padding, and always kept.
                if write.offset + write.length - offset <= write.length - used(&write) {
                    continue;
                }
                sectors.push((write.segment, offset, fates));
            }
        }
        let old = |fates: &[Vec<u8>; 4]| fates[1].iter().any(|&byte| byte != 0);
        assert!(sectors.iter().filter(|(_, _, fates)| old(fates)).count() > sectors.len() / 2);
        let segments = Segments::open(before, LIMITS).unwrap();
        Self { segments, entries, acknowledged, from, sectors }
    }

    /// Gives each sector its fate, and expects all that was acknowledged and nothing that was not
    /// written. Returns how many records came back.
    fn crash(&mut self, fate: impl Fn(usize) -> Fate) -> usize {
        for (number, (segment, offset, fates)) in self.sectors.iter().enumerate() {
            let bytes = self.segments.storage_mut().segment_mut(*segment).unwrap();
            bytes[*offset..offset + SECTOR_BYTES].copy_from_slice(&fates[fate(number) as usize]);
        }
        let (mut seen, entries) = (0, &self.entries);
        let visit = |lsn: Lsn, record: &[u8], payload: &[u8]| {
            let expected: &Entry = &entries[seen];
            assert_eq!((lsn, record, payload), (expected.0, &*expected.1, &*expected.2));
            seen += 1;
        };
        recovery::recover(&mut self.segments, IDENTITY, self.from, visit).unwrap();
        assert!(seen >= self.acknowledged);
        seen
    }

    /// After such a crash the log goes on, and what the crash left never comes back.
    fn goes_on(&mut self, seen: usize) {
        let storage = self.segments.storage_mut().clone();
        let (mut wal, _, mut expected) = open_from(storage, self.from).unwrap();
        assert_eq!(expected, self.entries[..seen]);
        for number in 100..103 {
            expected.push(append(&mut wal, number));
            flush(&mut wal);
        }
        assert_eq!(open_from(wal.storage_mut().clone(), self.from).unwrap().2, expected);
    }
}

/// Bytes of a write that say something, in whole sectors.
fn used(write: &LogWrite) -> usize {
    let padding = write.bytes().iter().rev().take_while(|&&byte| byte == 0).count();
    (write.length - padding).next_multiple_of(SECTOR_BYTES)
}

#[test]
fn every_fate_of_every_sector_of_one_write() {
    let mut scene = Scene::new(&[5], 700);
    assert_eq!(scene.sectors.len(), 8);
    let (mut tried, mut cut, mut all) = (0, 0, 0);
    for fates in 0..4_usize.pow(8) {
        let seen = scene.crash(|sector| Fate::ALL[fates >> (2 * sector) & 3]);
        cut += usize::from(seen < scene.entries.len());
        all += usize::from(seen == scene.entries.len());
        tried += 1;
        if fates % 499 == 0 {
            scene.goes_on(seen);
        }
    }
    assert_eq!(tried, 65_536);
    assert!(cut > 60_000 && all > 0, "{cut} cut, {all} whole");
}

#[test]
fn every_subset_of_the_sectors_of_two_writes() {
    let mut scene = Scene::new(&[5, 3], 560);
    let count = scene.sectors.len();
    assert!((10..=SECTORS_MAX).contains(&count), "{count} sectors");
    let mut seen_counts = [0; 16];
    for lost in [Fate::Old, Fate::Zero, Fate::Garbage] {
        for kept in 0..1_usize << count {
            let kept = |sector: usize| kept >> sector & 1 == 1;
            let seen = scene.crash(|sector| if kept(sector) { Fate::Kept } else { lost });
            seen_counts[seen] += 1;
            if seen_counts[seen] % 97 == 1 {
                scene.goes_on(seen);
            }
        }
    }
    assert_eq!(seen_counts.iter().sum::<usize>(), 3 << count);
    // Each record of the tail was once the last one that came back.
    let possible = &seen_counts[scene.acknowledged..=scene.entries.len()];
    assert!(possible.iter().all(|&times| times > 0), "{seen_counts:?}");
}

#[test]
fn sampled_fates_of_the_sectors_of_three_writes() {
    let mut scene = Scene::new(&[7, 7, 7], 800);
    let count = scene.sectors.len();
    assert!(count > 30, "{count} sectors");
    let mut cut = 0;
    for sample in 0..30_000_u64 {
        // Some samples lose few sectors, some most.
        let lost_percent = mix(sample) % 100;
        let seen = scene.crash(|sector| {
            let draw = mix(sample * 64 + sector as u64);
            if draw % 100 >= lost_percent {
                Fate::Kept
            } else {
                Fate::ALL[index(1 + (draw >> 32) % 3)]
            }
        });
        cut += usize::from(seen < scene.entries.len());
        if sample % 499 == 0 {
            scene.goes_on(seen);
        }
    }
    assert!(cut > 20_000, "{cut} samples are torn");
}
