//! A directory that keeps only what was synced: unsynced bytes may be there after a crash, in part
//! or as garbage, and so may unsynced names.
//!
//! Its operations take the steps of [`FileStorage`], in the same order.

use super::super::super::{SegmentId, Storage};
use crate::store::mix;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use synod_protocols::bytes::index;

const SECTOR_BYTES: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Segment(SegmentId),
    SegmentNew,
    Snapshot,
    SnapshotNew,
    Lost,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// As the process sees it.
    bytes: Vec<u8>,
    /// As it was when it was last synced.
    synced: Vec<u8>,
}

/// A change of the directory: a file gets a name, and loses the one it had.
#[derive(Clone, Copy, Debug)]
struct Change {
    file: usize,
    from: Option<Name>,
    to: Name,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    files: Vec<File>,
    names: BTreeMap<Name, usize>,
    names_synced: BTreeMap<Name, usize>,
    /// Changes of names since the directory was synced.
    changes: Vec<Change>,
    steps: u64,
    steps_left: Option<u64>,
    bytes_max: Option<usize>,
}

/// Clones are handles to the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Rc<RefCell<Contents>>);

impl Disk {
    /// Steps taken so far.
    pub(super) fn steps(&self) -> u64 {
        self.0.borrow().steps
    }

    /// So many more steps are taken, and none after them.
    pub(super) fn fail_after(&self, steps: u64) {
        self.0.borrow_mut().steps_left = Some(steps);
    }

    /// Most bytes of all files together.
    pub(super) fn limit_bytes(&self, bytes: usize) {
        self.0.borrow_mut().bytes_max = Some(bytes);
    }

    /// What is found after a power cut.
    pub(super) fn crash(&self, seed: u64) -> Self {
        let contents = self.0.borrow();
        let mut draws = (seed..).map(mix);
        let mut draw = |below: u64| index(draws.next().expect("there are always more") % below);
        let mut names = contents.names_synced.clone();
        for change in &contents.changes {
            let source = change.from.is_none_or(|from| names.get(&from) == Some(&change.file));
            if draw(2) == 0 && source {
                change.apply(&mut names);
            }
        }
        let files = contents.files.iter().map(|file| file.crash(&mut draw)).collect();
        let names_synced = names.clone();
        Self(Rc::new(RefCell::new(Contents { files, names, names_synced, ..Contents::default() })))
    }

    /// One step, if the disk still takes any.
    fn step<T>(&self, step: impl FnOnce(&mut Contents) -> io::Result<T>) -> io::Result<T> {
        let contents = &mut *self.0.borrow_mut();
        match &mut contents.steps_left {
            Some(0) => return Err(io::Error::other("the disk has stopped")),
            Some(left) => *left -= 1,
            None => {}
        }
        contents.steps += 1;
        step(contents)
    }

    fn make(&self, name: Name) -> io::Result<()> {
        self.step(|contents| {
            contents.files.push(File::default());
            contents.change(Change { file: contents.files.len() - 1, from: None, to: name });
            Ok(())
        })
    }

    fn append(&self, name: Name, bytes: &[u8]) -> io::Result<()> {
        self.step(|contents| {
            let held: usize =
                contents.names.values().map(|&file| contents.files[file].bytes.len()).sum();
            if contents.bytes_max.is_some_and(|most| held + bytes.len() > most) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            contents.file(name)?.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn sync_file(&self, name: Name) -> io::Result<()> {
        self.step(|contents| {
            let file = contents.file(name)?;
            file.synced.clone_from(&file.bytes);
            Ok(())
        })
    }

    /// Two steps: the change of the name, and the sync of the directory.
    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        self.step(|contents| {
            let file = contents.names[&from];
            contents.change(Change { file, from: Some(from), to });
            Ok(())
        })?;
        self.step(|contents| {
            contents.changes.clear();
            contents.names_synced.clone_from(&contents.names);
            Ok(())
        })
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<Name, usize>) {
        if let Some(from) = self.from {
            names.remove(&from);
        }
        names.insert(self.to, self.file);
    }
}

impl Contents {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn file(&mut self, name: Name) -> io::Result<&mut File> {
        let file = *self.names.get(&name).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.files[file])
    }
}

impl File {
    /// Each sector that was not synced is what it was, what it should be, or neither.
    fn crash(&self, draw: &mut impl FnMut(u64) -> usize) -> Self {
        let mut bytes = self.synced.clone();
        if self.bytes.len() > bytes.len() {
            let more = draw((self.bytes.len() - bytes.len()) as u64 + 1);
            bytes.resize(bytes.len() + more, 0);
        }
        let starts = (0..bytes.len()).step_by(SECTOR_BYTES);
        for start in starts {
            let end = (start + SECTOR_BYTES).min(bytes.len());
            let wanted = &self.bytes[start..end];
            if bytes[start..end] == *wanted {
                continue;
            }
            match draw(4) {
                0 => bytes[start..end].fill(0xa5),
                1 => {}
                _ => bytes[start..end].copy_from_slice(wanted),
            }
        }
        Self { synced: bytes.clone(), bytes }
    }
}

impl Storage for Disk {
    fn name(&self, segment: SegmentId) -> String {
        segment.to_string()
    }

    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        let contents = self.0.borrow();
        let segments = contents.names.keys().filter_map(|name| match name {
            Name::Segment(segment) => Some(*segment),
            Name::SegmentNew | Name::Snapshot | Name::SnapshotNew | Name::Lost => None,
        });
        Ok(segments.collect())
    }

    fn create(&mut self, segment: SegmentId, bytes: usize) -> io::Result<()> {
        self.make(Name::SegmentNew)?;
        self.append(Name::SegmentNew, &vec![0; bytes / 2])?;
        self.append(Name::SegmentNew, &vec![0; bytes - bytes / 2])?;
        self.sync_file(Name::SegmentNew)?;
        self.rename(Name::SegmentNew, Name::Segment(segment))
    }

    fn open(&mut self, segment: SegmentId) -> io::Result<usize> {
        Ok(self.0.borrow_mut().file(Name::Segment(segment))?.bytes.len())
    }

    fn read_at(&mut self, segment: SegmentId, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        let mut contents = self.0.borrow_mut();
        let file = contents.file(Name::Segment(segment))?;
        bytes.copy_from_slice(&file.bytes[offset..offset + bytes.len()]);
        Ok(())
    }

    fn write_at(&mut self, segment: SegmentId, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.step(|contents| {
            let file = contents.file(Name::Segment(segment))?;
            file.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.sync_file(Name::Segment(segment))
    }

    fn recycle(&mut self, from: SegmentId, to: SegmentId) -> io::Result<()> {
        self.rename(Name::Segment(from), Name::Segment(to))
    }

    fn snapshot_begin(&mut self) -> io::Result<()> {
        self.make(Name::SnapshotNew)
    }

    fn snapshot_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(Name::SnapshotNew, bytes)
    }

    fn snapshot_commit(&mut self) -> io::Result<()> {
        self.sync_file(Name::SnapshotNew)?;
        self.rename(Name::SnapshotNew, Name::Snapshot)
    }

    fn snapshot_read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut contents = self.0.borrow_mut();
        let Ok(file) = contents.file(Name::Snapshot) else { return Ok(0) };
        let rest = file.bytes.get(index(offset)..).unwrap_or(&[]);
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn lose(&mut self) -> io::Result<()> {
        self.make(Name::SegmentNew)?;
        self.sync_file(Name::SegmentNew)?;
        self.rename(Name::SegmentNew, Name::Lost)?;
        self.step(|contents| {
            contents.names.retain(|&name, _| name == Name::Lost);
            contents.names_synced = contents.names.clone();
            contents.changes.clear();
            Ok(())
        })
    }

    fn is_lost(&mut self) -> io::Result<bool> {
        Ok(self.0.borrow().names.contains_key(&Name::Lost))
    }

    fn regain(&mut self) -> io::Result<()> {
        self.step(|contents| {
            contents.names.remove(&Name::Lost);
            contents.names_synced.remove(&Name::Lost);
            Ok(())
        })
    }
}
