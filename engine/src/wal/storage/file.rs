//! Storage in a directory.

use super::{SegmentId, Storage};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

#[derive(Debug)]
struct Segment {
    /// Through the page cache: what recovery reads, and writes that are not the ring's.
    buffered: File,
    /// What the ring writes: past the page cache where the file system allows, durable at once.
    direct: File,
}

/// The note of [`Storage::lose`].
const LOST: &str = "lost";

/// Segments `000000.log`, `000001.log`, ... and `snapshot` in a directory that is locked until this
/// is dropped.
#[derive(Debug)]
pub struct FileStorage {
    directory: PathBuf,
    directory_handle: File,
    /// Holds the lock.
    _lock: File,
    segments: BTreeMap<SegmentId, Segment>,
    snapshot_new: Option<File>,
}

impl FileStorage {
    /// Opens the directory, which is made if it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// It cannot be made or opened, or another process has it.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory).map_err(|error| named(directory, "create", &error))?;
        let lock_path = directory.join("lock");
        let lock = File::create(&lock_path).map_err(|error| named(&lock_path, "create", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("{} is in use by another process", directory.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            Err(TryLockError::Error(error)) => return Err(named(&lock_path, "lock", &error)),
        }
        let directory_handle =
            File::open(directory).map_err(|error| named(directory, "open", &error))?;
        let directory = directory.to_owned();
        let segments = BTreeMap::new();
        Ok(Self { directory, directory_handle, _lock: lock, segments, snapshot_new: None })
    }

    /// The descriptor through which the ring writes an open segment: `O_DIRECT | O_DSYNC`, so its
    /// buffers, offsets and lengths are multiples of 4096, and a completed write is durable. It
    /// stays open, and stays the same, until the segment is recycled.
    pub fn raw_fd(&self, segment: SegmentId) -> Option<RawFd> {
        self.segments.get(&segment).map(|segment| segment.direct.as_raw_fd())
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.directory.join(segment.to_string())
    }

    fn segment(&self, segment: SegmentId) -> io::Result<&Segment> {
        self.segments.get(&segment).ok_or_else(|| {
            let message = format!("{} is not open", self.path(segment).display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory_handle.sync_all().map_err(|error| named(&self.directory, "sync", &error))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(|error| named(from, "rename", &error))?;
        self.sync_directory()
    }
}

/// The same kind of error, in a sentence.
fn named(path: &Path, attempted: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {attempted} {}: {error}", path.display()))
}

fn open_direct(path: &Path) -> io::Result<File> {
    let open = |flags| OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    match open(libc::O_DIRECT | libc::O_DSYNC) {
        // Some file systems have no direct I/O; writes to them are durable all the same.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => open(libc::O_DSYNC),
        result => result,
    }
}

impl Storage for FileStorage {
    fn name(&self, segment: SegmentId) -> String {
        self.path(segment).display().to_string()
    }

    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        let failed = |error: &io::Error| named(&self.directory, "list", error);
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|error| failed(&error))? {
            let name = entry.map_err(|error| failed(&error))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
            segments.extend(number.and_then(|number| number.parse().ok()).map(SegmentId));
        }
        segments.sort_unstable();
        Ok(segments)
    }

    fn create(&mut self, segment: SegmentId, bytes: usize) -> io::Result<()> {
        let path = self.path(segment);
        // Only a whole segment gets a segment's name.
        let unfinished = self.directory.join("segment.new");
        let failed = |error: io::Error| named(&unfinished, "write", &error);
        let mut file = File::create(&unfinished).map_err(failed)?;
        let mut left = bytes;
        while left > 0 {
            let count = left.min(ZEROS.len());
            file.write_all(&ZEROS[..count]).map_err(failed)?;
            left -= count;
        }
        file.sync_all().map_err(failed)?;
        assert!(!path.exists(), "a segment is created once");
        self.rename(&unfinished, &path)?;
        let opened_bytes = self.open(segment)?;
        assert_eq!(opened_bytes, bytes);
        Ok(())
    }

    fn open(&mut self, segment: SegmentId) -> io::Result<usize> {
        let path = self.path(segment);
        let failed = |error: io::Error| named(&path, "open", &error);
        let buffered = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let bytes = buffered.metadata().map_err(failed)?.len();
        let direct = open_direct(&path).map_err(failed)?;
        self.segments.insert(segment, Segment { buffered, direct });
        Ok(synod_protocols::bytes::index(bytes))
    }

    fn read_at(&mut self, segment: SegmentId, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        let result = self.segment(segment)?.buffered.read_exact_at(bytes, offset as u64);
        result.map_err(|error| named(&self.path(segment), "read", &error))
    }

    fn write_at(&mut self, segment: SegmentId, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let result = self.segment(segment)?.buffered.write_all_at(bytes, offset as u64);
        result.map_err(|error| named(&self.path(segment), "write", &error))
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        let result = self.segment(segment)?.buffered.sync_data();
        result.map_err(|error| named(&self.path(segment), "sync", &error))
    }

    fn recycle(&mut self, from: SegmentId, to: SegmentId) -> io::Result<()> {
        assert!(!self.path(to).exists(), "a recycled segment takes a free number");
        self.rename(&self.path(from), &self.path(to))?;
        if let Some(segment) = self.segments.remove(&from) {
            self.segments.insert(to, segment);
        }
        Ok(())
    }

    fn snapshot_begin(&mut self) -> io::Result<()> {
        let path = self.directory.join("snapshot.new");
        let file = File::create(&path).map_err(|error| named(&path, "create", &error))?;
        self.snapshot_new = Some(file);
        Ok(())
    }

    fn snapshot_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.snapshot_new.as_mut().expect("a snapshot was begun");
        file.write_all(bytes)
            .map_err(|error| named(&self.directory.join("snapshot.new"), "write", &error))
    }

    fn snapshot_commit(&mut self) -> io::Result<()> {
        let path = self.directory.join("snapshot.new");
        let file = self.snapshot_new.take().expect("a snapshot was begun");
        file.sync_all().map_err(|error| named(&path, "sync", &error))?;
        self.rename(&path, &self.directory.join("snapshot"))
    }

    fn snapshot_read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let path = self.directory.join("snapshot");
        match File::open(&path) {
            Ok(file) => file.read_at(bytes, offset).map_err(|error| named(&path, "read", &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(named(&path, "open", &error)),
        }
    }

    fn lose(&mut self) -> io::Result<()> {
        let note = self.directory.join(LOST);
        File::create(&note)
            .and_then(|file| file.sync_all())
            .map_err(|error| named(&note, "create", &error))?;
        self.sync_directory()?;
        self.segments.clear();
        self.snapshot_new = None;
        let segments = self.list()?.into_iter().map(|segment| self.path(segment));
        for path in segments.chain([self.directory.join("snapshot")]) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(named(&path, "remove", &error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.sync_directory()
    }

    fn is_lost(&mut self) -> io::Result<bool> {
        let note = self.directory.join(LOST);
        note.try_exists().map_err(|error| named(&note, "look for", &error))
    }

    fn regain(&mut self) -> io::Result<()> {
        let note = self.directory.join(LOST);
        fs::remove_file(&note).map_err(|error| named(&note, "remove", &error))?;
        self.sync_directory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let directory = tempfile::tempdir().unwrap();
        let first = FileStorage::open(directory.path()).unwrap();
        let message = FileStorage::open(directory.path()).unwrap_err().to_string();
        assert!(message.ends_with("is in use by another process"), "{message}");
        drop(first);
        FileStorage::open(directory.path()).unwrap();
    }

    #[test]
    fn segments_and_snapshots_outlive_their_owner() {
        let directory = tempfile::tempdir().unwrap();
        let mut storage = FileStorage::open(directory.path()).unwrap();
        storage.create(SegmentId(3), 8192).unwrap();
        storage.write_at(SegmentId(3), 4096, b"bytes").unwrap();
        storage.sync(SegmentId(3)).unwrap();
        storage.recycle(SegmentId(3), SegmentId(4)).unwrap();
        assert!(storage.raw_fd(SegmentId(4)).is_some());
        assert!(storage.raw_fd(SegmentId(3)).is_none());
        storage.snapshot_begin().unwrap();
        storage.snapshot_append(b"snap").unwrap();
        assert_eq!(storage.snapshot_read(0, &mut [0; 8]).unwrap(), 0, "not current yet");
        storage.snapshot_commit().unwrap();
        drop(storage);

        let mut storage = FileStorage::open(directory.path()).unwrap();
        assert_eq!(storage.list().unwrap(), [SegmentId(4)]);
        assert_eq!(storage.open(SegmentId(4)).unwrap(), 8192);
        let mut bytes = [0; 5];
        storage.read_at(SegmentId(4), 4096, &mut bytes).unwrap();
        assert_eq!(&bytes, b"bytes");
        assert_eq!(storage.snapshot_read(1, &mut bytes).unwrap(), 3);
        assert_eq!(&bytes[..3], b"nap");
        let message = storage.open(SegmentId(9)).unwrap_err().to_string();
        assert!(message.starts_with("cannot open ") && message.contains("000009.log"), "{message}");
    }
}
