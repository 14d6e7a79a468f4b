//! A value that changes often, in the state directory: each is a line of JSON at the end of a file, and the last one counts.
//!
//! An append to an open file costs a tenth of writing a file and renaming it. A line that was cut off (the machine went
//! down) is passed over with a warning; without the file weir goes on as on its first day.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::state_file;

/// Beyond this many bytes the file is written anew with the last value only.
const LARGEST: u64 = 256 << 10;

/// The file.
#[derive(Debug)]
pub(crate) struct StateLog {
    path: PathBuf,
    /// Open for appending, once something was written.
    file: Option<File>,
    line: Vec<u8>,
}

impl StateLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, line: Vec::new() }
    }

    /// The last value; nothing where there is none that can be used.
    pub(crate) fn last<T: DeserializeOwned>(&self) -> Option<T> {
        let text = state_file::read_bytes(&self.path)?;
        let lines = text.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice).find_map(|value| self.usable(value))
    }

    fn usable<T>(&self, value: serde_json::Result<T>) -> Option<T> {
        value.inspect_err(|error| warn!("{}: a line cannot be used: {error}", self.path.display())).ok()
    }

    /// Keeps this value. Not synced to the disk: after a crash of the machine HAProxy starts from its files anyway.
    pub(crate) fn keep<T: Serialize>(&mut self, value: &T) -> std::io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        if let Some(file) = self.file.as_mut().filter(|file| is_in_place(file)) {
            return file.write_all(&self.line);
        }
        state_file::write_bytes(&self.path, &self.line)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        Ok(())
    }
}

/// Whether more can be appended: nobody tidied the file away, and it is not too large.
fn is_in_place(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0 && metadata.len() < LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_whatever_happens_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/log");
        let mut log = StateLog::new(path.clone());
        assert_eq!(log.last::<String>(), None);
        for length in 0..1000 {
            let value = "x".repeat(length);
            log.keep(&value).unwrap();
            assert_eq!(StateLog::new(path.clone()).last(), Some(value));
        }
        assert!(std::fs::metadata(&path).unwrap().len() < LARGEST + 1100);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\"cut off").unwrap();
        assert_eq!(StateLog::new(path.clone()).last(), Some("x".repeat(999)));
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        log.keep(&"again").unwrap();
        assert_eq!(StateLog::new(path).last(), Some("again".to_owned()));
    }
}
