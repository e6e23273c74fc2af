//! Histories that lie in files, whoever wrote them, and what is to be said of each.

use std::fs;
use std::path::{Path, PathBuf};

use crate::check::{Consistency, HistoryFile, Source};
use crate::exchange;
use crate::history::{HistoryError, Operation};
use crate::run_folder::RunFolder;
use crate::summary::Summary;

/// The most operations that are held at once to be written in another format.
pub const OPERATIONS_MAX: usize = 10_000_000;

/// A history and how it is called.
#[derive(Clone, Debug)]
pub struct Part {
    /// The part of the run, or the file.
    pub name: String,
    /// The folder that the history lies in.
    pub folder: PathBuf,
    /// What the system had promised, as far as the run folder tells.
    pub promise: Consistency,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    File(PathBuf),
    Operations(Vec<Operation>),
}

impl Source for Part {
    fn for_each_block(&self, visit: &mut dyn FnMut(&[Operation])) -> Result<(), HistoryError> {
        match &self.content {
            Content::File(path) => HistoryFile::new(path).for_each_block(visit),
            Content::Operations(operations) => operations.as_slice().for_each_block(visit),
        }
    }
}

impl Part {
    /// All operations.
    ///
    /// # Errors
    /// If the history cannot be read, or has more than [`OPERATIONS_MAX`].
    pub fn operations(&self) -> Result<Vec<Operation>, String> {
        let (mut all, mut count) = (Vec::new(), 0);
        self.for_each_block(&mut |block| {
            count += block.len();
            if count <= OPERATIONS_MAX {
                all.extend_from_slice(block);
            }
        })
        .map_err(|error| error.to_string())?;
        if count > OPERATIONS_MAX {
            return Err(format!(
                "{}: has {count} operations, and at most {OPERATIONS_MAX} are held at once",
                self.name
            ));
        }
        Ok(all)
    }
}

/// The histories at `path`: those of all parts of a run folder, that of one part, that of a file.
/// A file that ends in `.edn` is one of Jepsen.
///
/// # Errors
/// If there are none, or an EDN file is malformed.
pub fn open(path: &Path) -> Result<Vec<Part>, String> {
    let unreadable = |error| format!("{}: {error}", path.display());
    let name = path.display().to_string();
    if !path.is_dir() {
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let content = if path.extension().is_some_and(|extension| extension == "edn") {
            let bytes = fs::read(path).map_err(unreadable)?;
            let text = std::str::from_utf8(&bytes).map_err(|error| {
                let lines = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
                format!("{name}:{lines}: is not UTF-8")
            })?;
            let operations = exchange::read_edn(&name, text).map_err(|error| error.to_string())?;
            Content::Operations(operations)
        } else {
            fs::metadata(path).map_err(unreadable)?;
            Content::File(path.to_path_buf())
        };
        return Ok(vec![Part { promise: promise_in(&folder), name, folder, content }]);
    }
    let mut folders = vec![path.to_path_buf()];
    for entry in fs::read_dir(path).map_err(unreadable)? {
        folders.push(entry.map_err(unreadable)?.path());
    }
    folders.sort();
    let parts: Vec<Part> = folders
        .into_iter()
        .filter(|folder| folder.join("history.bin").exists())
        .map(|folder| Part {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            content: Content::File(folder.join("history.bin")),
            promise: promise_in(&folder),
            folder,
        })
        .collect();
    if parts.is_empty() {
        return Err(format!("{name}: holds no history.bin, and no folder in it does"));
    }
    Ok(parts)
}

/// What was promised to the clients whose history lies in this folder: the summary of the run
/// beside it says so, if there is one.
fn promise_in(part: &Path) -> Consistency {
    let run = part.parent().map(RunFolder::open);
    let Some(Ok((_, Summary { results, .. }))) = run else { return Consistency::Linearizable };
    let name = part.file_name().unwrap_or_default().to_string_lossy();
    let of_part =
        results.iter().find(|result| format!("{}-{}", result.label, result.repeat) == name);
    of_part.map_or(Consistency::Linearizable, |result| result.promise)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Consistency, check};
    use crate::history::{HistoryWriter, Kind};

    #[test]
    fn folders_and_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let error = open(path).unwrap_err();
        assert!(error.contains("holds no history.bin"), "{error}");
        for part in ["b-0", "a-0", "empty"] {
            fs::create_dir(path.join(part)).unwrap();
        }
        for part in ["b-0", "a-0"] {
            let file = path.join(part).join("history.bin");
            let mut writer = HistoryWriter::create(&file).unwrap();
            writer.write_block(&[Operation { key: 5, ..Operation::default() }]).unwrap();
            writer.finish().unwrap();
        }
        let names: Vec<String> = open(path).unwrap().into_iter().map(|part| part.name).collect();
        assert_eq!(names, ["a-0", "b-0"]);
        let one = open(&path.join("a-0/history.bin")).unwrap();
        assert_eq!(one[0].operations().unwrap()[0].key, 5);
        assert!(open(&path.join("missing")).unwrap_err().contains("missing: "));
        fs::write(path.join("wrong.edn"), b"\n\xff").unwrap();
        let error = open(&path.join("wrong.edn")).unwrap_err();
        assert!(error.ends_with("wrong.edn:2: is not UTF-8"), "{error}");
    }

    #[test]
    fn damaged_histories_are_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.bin");
        let mut writer = HistoryWriter::create(&path).unwrap();
        let put = |key| Operation { key, kind: Kind::Put, written: 1, ..Operation::default() };
        writer.write_block(&[put(1), put(2), put(3)]).unwrap();
        writer.finish().unwrap();
        let whole = fs::read(&path).unwrap();
        let judge = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            check(&open(&path).unwrap()[0], Consistency::Linearizable, u64::MAX, &|| 0)
        };
        assert!(judge(&whole).unwrap().is_pass());
        for cut in 0..whole.len() {
            let error = judge(&whole[..cut]).unwrap_err().to_string();
            assert!(error.contains("history.bin: "), "{error}");
        }
        let mut random = crate::random::Random::new(6);
        for _ in 0..500 {
            let mut bytes = whole.clone();
            // The reserved word of the header, from byte 12 to 16, carries nothing.
            let at = usize::try_from(random.below(whole.len() as u64 - 16)).unwrap() + 16;
            bytes[at] ^= 1 << random.below(8);
            let error = judge(&bytes).unwrap_err().to_string();
            assert!(error.contains("history.bin: "), "{error}");
        }
    }
}
