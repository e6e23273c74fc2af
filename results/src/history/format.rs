//! The history file.
//!
//! ```text
//! header            magic "SYNODHIS", version u32, reserved u32
//! block, repeated   operations u32, payload bytes u32, crc32c u32, payload
//! finishing record  u32::MAX, 8, crc32c, the count of all operations u64
//! ```
//!
//! Numbers are little-endian. A checksum covers everything else of its block. A file without the
//! finishing record was cut short, and reading it ends in an error rather than a shorter history.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::Operation;
use super::block::BlockCodec;

/// The most operations in one block.
pub const BLOCK_OPERATIONS_MAX: usize = 4096;

const MAGIC: &[u8; 8] = b"SYNODHIS";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const BLOCK_HEADER_BYTES: usize = 12;
/// Stands where a block has its count of operations.
const FINISH_MARK: u32 = u32::MAX;
const FINISH_BYTES: u32 = 8;
/// Eleven columns of whole words, each with its nine bytes of header, and the padding.
const PAYLOAD_BYTES_MAX: usize = 11 * (8 * BLOCK_OPERATIONS_MAX + 9) + 8;

/// Writes a history. One writer thread owns it; the load threads hand it their blocks.
#[derive(Debug)]
pub struct HistoryWriter<W: Write = File> {
    target: W,
    codec: BlockCodec,
    buffer: Vec<u8>,
    operations: u64,
}

impl HistoryWriter {
    /// Creates the file at `path` and writes its header.
    ///
    /// # Errors
    /// If the file exists or cannot be created or written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::new(File::create_new(path)?)
    }
}

impl<W: Write> HistoryWriter<W> {
    /// Begins a history on any target, which gets one write for each block.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn new(mut target: W) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        target.write_all(&header)?;
        Ok(Self { target, codec: BlockCodec::default(), buffer: Vec::new(), operations: 0 })
    }

    /// Writes operations in the order given, in blocks of at most [`BLOCK_OPERATIONS_MAX`].
    /// Operations that are near in time and of few sessions pack best.
    ///
    /// # Errors
    /// If a write fails; the file is then cut short, and reading it will say so.
    pub fn write_block(&mut self, operations: &[Operation]) -> io::Result<()> {
        for block in operations.chunks(BLOCK_OPERATIONS_MAX) {
            self.buffer.clear();
            self.buffer.resize(BLOCK_HEADER_BYTES, 0);
            self.codec.encode(block, &mut self.buffer);
            let payload_bytes = self.buffer.len() - BLOCK_HEADER_BYTES;
            debug_assert!(payload_bytes <= PAYLOAD_BYTES_MAX);
            let count = u32::try_from(block.len()).expect("a block is small");
            let bytes = u32::try_from(payload_bytes).expect("a block is small");
            seal(&mut self.buffer, count, bytes);
            self.target.write_all(&self.buffer)?;
            self.operations += u64::from(count);
        }
        Ok(())
    }

    /// Writes the finishing record and returns how many operations the history holds, with the
    /// target, so that its owner may sync it.
    ///
    /// # Errors
    /// If the record cannot be written or flushed.
    pub fn finish(mut self) -> io::Result<(u64, W)> {
        self.buffer.clear();
        self.buffer.resize(BLOCK_HEADER_BYTES, 0);
        self.buffer.extend_from_slice(&self.operations.to_le_bytes());
        seal(&mut self.buffer, FINISH_MARK, FINISH_BYTES);
        self.target.write_all(&self.buffer)?;
        self.target.flush()?;
        Ok((self.operations, self.target))
    }
}

/// Fills in the header of the block that `buffer` holds.
fn seal(buffer: &mut [u8], count: u32, payload_bytes: u32) {
    buffer[0..4].copy_from_slice(&count.to_le_bytes());
    buffer[4..8].copy_from_slice(&payload_bytes.to_le_bytes());
    let checksum = checksum(&buffer[..8], &buffer[BLOCK_HEADER_BYTES..]);
    buffer[8..12].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(lengths: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(lengths), payload)
}

/// Reads a history back, a block at a time.
#[derive(Debug)]
pub struct HistoryReader<R: Read = File> {
    source: R,
    name: PathBuf,
    codec: BlockCodec,
    payload: Vec<u8>,
    /// Where the next byte of `source` is in the file.
    position: u64,
    operations: u64,
    finished: bool,
}

impl HistoryReader {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no history, or is of a version that this build does not know.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let source = File::open(path).map_err(|error| HistoryError::Io {
            file: path.to_path_buf(),
            byte: 0,
            error,
        })?;
        Self::new(source, path)
    }
}

impl<R: Read> HistoryReader<R> {
    /// Reads a history from any source; `name` stands in error messages.
    ///
    /// # Errors
    /// As [`HistoryReader::open`].
    pub fn new(source: R, name: &Path) -> Result<Self, HistoryError> {
        let mut reader = Self {
            source,
            name: name.to_path_buf(),
            codec: BlockCodec::default(),
            payload: Vec::new(),
            position: 0,
            operations: 0,
            finished: false,
        };
        let mut header = [0; HEADER_BYTES];
        let found = reader.fill(&mut header)?;
        if found < HEADER_BYTES || &header[..8] != MAGIC {
            return Err(HistoryError::NotAHistory { file: reader.name });
        }
        let version = u32_at(&header, 8);
        if version != VERSION {
            return Err(HistoryError::Version { file: reader.name, found: version });
        }
        Ok(reader)
    }

    /// Replaces `operations` by those of the next block. False at the end of a whole history.
    ///
    /// # Errors
    /// If the file ends before its finishing record, is damaged, or cannot be read.
    pub fn next_block(&mut self, operations: &mut Vec<Operation>) -> Result<bool, HistoryError> {
        operations.clear();
        if self.finished {
            return Ok(false);
        }
        let block_at = self.position;
        let mut header = [0; BLOCK_HEADER_BYTES];
        let found = self.fill(&mut header)?;
        if found < BLOCK_HEADER_BYTES {
            return Err(self.truncated(BLOCK_HEADER_BYTES - found));
        }
        let (count, payload_bytes) = (u32_at(&header, 0), u32_at(&header, 4) as usize);
        let is_finish = count == FINISH_MARK && payload_bytes == FINISH_BYTES as usize;
        if !is_finish
            && (count as usize > BLOCK_OPERATIONS_MAX || payload_bytes > PAYLOAD_BYTES_MAX)
        {
            return Err(self.damaged(block_at, "its lengths are larger than a block may be"));
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(payload_bytes, 0);
        let found = self.fill(&mut payload)?;
        self.payload = payload;
        if found < payload_bytes {
            return Err(self.truncated(payload_bytes - found));
        }
        if checksum(&header[..8], &self.payload) != u32_at(&header, 8) {
            return Err(self.damaged(block_at, "its checksum does not match"));
        }
        if is_finish {
            return self.check_finish(block_at).map(|()| false);
        }
        if !self.codec.decode(&self.payload, count as usize, operations) {
            return Err(self.damaged(block_at, "its columns are malformed"));
        }
        self.operations += u64::from(count);
        Ok(true)
    }

    fn check_finish(&mut self, block_at: u64) -> Result<(), HistoryError> {
        let mut total = [0; FINISH_BYTES as usize];
        total.copy_from_slice(&self.payload);
        if u64::from_le_bytes(total) != self.operations {
            return Err(self.damaged(block_at, "its count is not what the blocks hold"));
        }
        if self.fill(&mut [0])? != 0 {
            return Err(self.damaged(block_at, "more bytes follow the finishing record"));
        }
        self.finished = true;
        Ok(())
    }

    /// Reads until `target` is full or the source ends; returns how many bytes it got.
    fn fill(&mut self, target: &mut [u8]) -> Result<usize, HistoryError> {
        let mut filled = 0;
        while filled < target.len() {
            match self.source.read(&mut target[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let byte = self.position + filled as u64;
                    return Err(HistoryError::Io { file: self.name.clone(), byte, error });
                }
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    fn truncated(&self, missing: usize) -> HistoryError {
        HistoryError::Truncated {
            file: self.name.clone(),
            byte: self.position,
            missing: missing as u64,
            operations: self.operations,
        }
    }

    fn damaged(&self, byte: u64, what: &'static str) -> HistoryError {
        HistoryError::Damaged { file: self.name.clone(), byte, operations: self.operations, what }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Why a history could not be read. Each says which file, and where in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file could not be opened or read at `byte`.
    Io {
        /// The file.
        file: PathBuf,
        /// The byte at which reading stopped.
        byte: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The file does not begin as a history does.
    NotAHistory {
        /// The file.
        file: PathBuf,
    },
    /// The file is of a version that this build does not read.
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file ends inside a block, or after one but without its finishing record.
    Truncated {
        /// The file.
        file: PathBuf,
        /// Where it ends.
        byte: u64,
        /// At least so many bytes should follow.
        missing: u64,
        /// The operations in the whole blocks before.
        operations: u64,
    },
    /// A block is not what was written.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where the block begins.
        byte: u64,
        /// The operations in the whole blocks before.
        operations: u64,
        /// What is wrong with the block.
        what: &'static str,
    },
}

impl std::fmt::Display for HistoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { file, byte, error } => {
                write!(f, "{}: cannot be read at byte {byte}: {error}", file.display())
            }
            Self::NotAHistory { file } => {
                write!(f, "{}: is not a history: its first bytes differ", file.display())
            }
            Self::Version { file, found } => write!(
                f,
                "{}: is a history of version {found}, and this build reads version {VERSION}",
                file.display()
            ),
            Self::Truncated { file, byte, missing, operations } => write!(
                f,
                "{}: cut short: ends at byte {byte}, where at least {missing} more should follow; \
                 {operations} operations lie before in whole blocks",
                file.display()
            ),
            Self::Damaged { file, byte, operations, what } => write!(
                f,
                "{}: the block at byte {byte}, after {operations} operations, is damaged: {what}",
                file.display()
            ),
        }
    }
}

impl std::error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io { error, .. } = self { Some(error) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Outcome};
    use super::*;
    use crate::random::Random;

    fn name() -> &'static Path {
        Path::new("history.bin")
    }

    fn write(operations: &[Operation]) -> Vec<u8> {
        let mut writer = HistoryWriter::new(Vec::new()).unwrap();
        writer.write_block(operations).unwrap();
        let (count, bytes) = writer.finish().unwrap();
        assert_eq!(count, operations.len() as u64);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Operation>, HistoryError> {
        let mut reader = HistoryReader::new(bytes, name())?;
        let (mut all, mut block) = (Vec::new(), Vec::new());
        while reader.next_block(&mut block)? {
            all.extend_from_slice(&block);
        }
        assert!(!reader.next_block(&mut block)?);
        Ok(all)
    }

    fn any_operations(count: usize, seed: u64) -> Vec<Operation> {
        let mut random = Random::new(seed);
        let mut wide = move || random.next() >> (random.next() % 64);
        (0..count)
            .map(|_| Operation {
                start_ns: wide(),
                end_ns: if wide() % 5 == 0 { u64::MAX } else { wide() },
                key: wide(),
                written: wide(),
                expected: wide(),
                observed: wide(),
                version: wide(),
                session: u32::try_from(wide() >> 32).unwrap(),
                kind: Kind::from_number(wide() % 5).unwrap(),
                outcome: Outcome::from_number(wide() % 5).unwrap(),
            })
            .collect()
    }

    #[test]
    fn any_operations_come_back() {
        for count in [0, 1, 2, 100, BLOCK_OPERATIONS_MAX, 2 * BLOCK_OPERATIONS_MAX + 1] {
            let operations = any_operations(count, count as u64);
            assert_eq!(read(&write(&operations)).unwrap(), operations);
        }
    }

    #[test]
    fn every_prefix_is_an_error_that_says_where() {
        let bytes = write(&any_operations(20, 7));
        for cut in 0..bytes.len() {
            let error = read(&bytes[..cut]).unwrap_err();
            let text = error.to_string();
            if cut < HEADER_BYTES {
                assert!(matches!(error, HistoryError::NotAHistory { .. }), "{text}");
            } else {
                assert!(text.contains(&format!("ends at byte {cut},")), "{cut}: {text}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error() {
        let bytes = write(&any_operations(20, 8));
        // The reserved word of the header carries nothing.
        for bit in (0..12 * 8).chain(HEADER_BYTES * 8..bytes.len() * 8) {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&broken).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_follows_the_end_is_an_error() {
        let mut bytes = write(&any_operations(3, 9));
        bytes.push(0);
        assert!(read(&bytes).unwrap_err().to_string().contains("more bytes follow"));
    }

    #[test]
    fn right_checksums_over_nonsense_do_not_panic() {
        let mut random = Random::new(5);
        for _ in 0..2000 {
            let mut bytes = write(&[])[..HEADER_BYTES].to_vec();
            let mut block = vec![0; BLOCK_HEADER_BYTES];
            let length = random.next() % 200;
            block.extend((0..length).map(|_| random.next().to_le_bytes()[0] & 0x3f));
            seal(&mut block, (random.next() % 5) as u32, length as u32);
            bytes.extend_from_slice(&block);
            assert!(read(&bytes).is_err());
        }
    }

    #[test]
    fn create_does_not_overwrite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.bin");
        HistoryWriter::create(&path).unwrap().finish().unwrap();
        assert_eq!(HistoryWriter::create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let mut reader = HistoryReader::open(&path).unwrap();
        assert!(!reader.next_block(&mut Vec::new()).unwrap());
    }
}
