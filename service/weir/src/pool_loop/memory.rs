//! What a pool loop keeps over restarts, in its state directory.
//!
//! `memory.json` holds the last good sources and what the guard keeps; `begun.jsonl` what was begun at HAProxy without a reload; `catalogue.jsonl` the answers that what is in
//! force was rendered from ([`super::answers`]); `reload-pending` stands there from before files are swapped until HAProxy runs them. All
//! are small, written whole and renamed into place. A file that cannot be read is reported and taken as absent:
//! weir then starts as on its first day, and the files of HAProxy stay as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_pools::guard::Guard;

use super::answers::Answers;
use super::live::Begun;

use crate::state_file;
use crate::state_log::StateLog;

/// What a pool loop remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The last good source of each template, by destination.
    pub(crate) sources: BTreeMap<PathBuf, Arc<str>>,
    pub(crate) guard: Guard,
    /// When files were swapped that HAProxy was not seen to run, in seconds since the epoch.
    #[serde(skip)]
    pub(crate) reload_pending: Option<u64>,
}

/// The state directory of one pool loop.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    path: PathBuf,
    begun: Arc<Mutex<StateLog>>,
}

impl StateDir {
    /// `name` is the HAProxy's label; empty for the one without.
    pub(crate) fn open(state_dir: &Path, name: &str) -> std::io::Result<Self> {
        let path = state_dir.join(if name.is_empty() { "default" } else { name });
        std::fs::create_dir_all(&path)?;
        let begun = Arc::new(Mutex::new(StateLog::new(path.join("begun.jsonl"))));
        Ok(Self { path, begun })
    }

    pub(crate) fn memory(&self) -> Memory {
        let mut memory: Memory = self.read("memory.json").unwrap_or_default();
        memory.reload_pending = self.read("reload-pending");
        memory
    }

    /// The file of the answers in force.
    pub(crate) fn answers(&self) -> Answers {
        Answers::open(self.path.join("catalogue.jsonl"))
    }

    pub(crate) fn remember(&self, memory: &Memory) -> std::io::Result<()> {
        self.write("memory.json", memory)
    }

    /// What was begun at HAProxy when weir ended.
    pub(crate) fn begun(&self) -> Begun {
        self.begun_log().last().unwrap_or_default()
    }

    /// Notes what is about to be begun at HAProxy.
    pub(crate) fn begin(&self, begun: &Begun) -> std::io::Result<()> {
        self.begun_log().keep(begun)
    }

    fn begun_log(&self) -> MutexGuard<'_, StateLog> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that files are about to be swapped at this time (seconds since the epoch).
    pub(crate) fn reload_pending(&self, at: u64) -> std::io::Result<()> {
        self.write("reload-pending", &at)
    }

    /// HAProxy runs the files as they are.
    pub(crate) fn reload_done(&self) -> std::io::Result<()> {
        match std::fs::remove_file(self.path.join("reload-pending")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        state_file::read(&self.path.join(name))
    }

    fn write<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> std::io::Result<()> {
        state_file::write(&self.path.join(name), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_back_and_damage_is_survived() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), "edge").unwrap();
        assert!(state.memory().sources.is_empty());
        let sources = BTreeMap::from([(PathBuf::from("/a"), Arc::from("text"))]);
        state.remember(&Memory { sources: sources.clone(), ..Memory::default() }).unwrap();
        state.reload_pending(7).unwrap();

        let again = StateDir::open(dir.path(), "edge").unwrap();
        assert_eq!((again.memory().sources, again.memory().reload_pending), (sources, Some(7)));
        again.reload_done().unwrap();
        again.reload_done().unwrap();
        assert_eq!(again.memory().reload_pending, None);
        std::fs::write(dir.path().join("edge/memory.json"), "{").unwrap();
        assert!(again.memory().sources.is_empty());
    }

    #[test]
    fn a_directory_that_was_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state"), "edge").unwrap();
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        state.reload_pending(7).unwrap();
        assert_eq!(state.memory().reload_pending, Some(7));
    }
}
