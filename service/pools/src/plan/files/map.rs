//! Commands for maps and lists of patterns.
//!
//! In: the file's name, the entries that HAProxy has, those that it shall have. Out: `None` where they are the same, or a
//! [`FileChange`]: a new version, filled in batches and committed at one stroke; or one command, where one entry differs.

use std::collections::HashMap;

use super::entries::Entry;
use super::{FileChange, FileReply, FileStep, MAX_COMMAND, Proof, VERSION, Why, fits, name};
use crate::plan::Can;

/// Brings a map from `have` to `want`. `ordered`: see [`super::FileKind::Map`].
pub fn map(
    path: &str,
    ordered: bool,
    have: &[Entry],
    want: &[Entry],
    can: Can,
) -> Result<Option<FileChange>, Why> {
    Patterns { path: name(path)?, noun: "map", ordered, have, want }.change(can)
}

/// Brings a list of patterns from `have` to `want`.
pub fn acl(path: &str, have: &[Entry], want: &[Entry], can: Can) -> Result<Option<FileChange>, Why> {
    Patterns { path: name(path)?, noun: "acl", ordered: true, have, want }.change(can)
}

/// A map or a list of patterns.
struct Patterns<'a> {
    path: &'a str,
    /// How commands call it.
    noun: &'static str,
    ordered: bool,
    have: &'a [Entry],
    want: &'a [Entry],
}

impl Patterns<'_> {
    fn change(&self, can: Can) -> Result<Option<FileChange>, Why> {
        if same_entries(self.have, self.want, self.ordered) {
            return Ok(None);
        }
        if let Some((step, why)) = self.one_edit() {
            return Ok(Some(self.of(vec![step], Vec::new(), why)));
        }
        if can.branch() < (2, 4) {
            return Err(Why::Reload(format!(
                "HAProxy {}.{} cannot replace a {} as a whole",
                can.version.0, can.version.1, self.noun
            )));
        }
        let (noun, path) = (self.noun, self.path);
        let mut steps = vec![FileStep::new(format!("prepare {noun} {path}"), FileReply::Version)];
        steps.extend(if self.is_map() { self.batches() } else { self.singly()? });
        steps.push(FileStep::new(format!("commit {noun} @{VERSION} {path}"), FileReply::Nothing));
        let why = format!("all {} entries anew, {} before", self.want.len(), self.have.len());
        Ok(Some(self.of(steps, vec![format!("clear {noun} @{VERSION} {path}")], why)))
    }

    fn is_map(&self) -> bool {
        self.noun == "map"
    }

    fn of(&self, steps: Vec<FileStep>, undo: Vec<String>, why: String) -> FileChange {
        let (is_map, ordered, entries) = (self.is_map(), self.ordered, self.want.to_vec());
        FileChange {
            path: self.path.to_owned(),
            why,
            steps,
            undo,
            proof: Proof::Entries { is_map, ordered, entries },
        }
    }

    /// The one command that does it, where one entry was added at the end, removed, or given another value. A key that stands
    /// there more than once is left to a new version: commands would touch all of them.
    fn one_edit(&self) -> Option<(FileStep, String)> {
        let start = self.have.iter().zip(self.want).take_while(|(old, new)| old == new).count();
        let (old, new) = (&self.have[start..], &self.want[start..]);
        let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
        match (&old[..old.len() - end], &new[..new.len() - end]) {
            ([], [entry]) if end == 0 || self.may_stand_anywhere(entry) => {
                Some((self.add(entry)?, format!("`{}` is new", entry.key)))
            }
            ([entry], []) if self.is_single(entry) => {
                let line = format!("del {} {} {}", self.noun, self.path, word(&entry.key)?);
                Some((FileStep::new(line, FileReply::Nothing), format!("`{}` is gone", entry.key)))
            }
            ([old], [new]) if old.key == new.key && self.is_single(old) => {
                let (key, value) = (word(&new.key)?, word(new.value.as_deref()?)?);
                let line = format!("set {} {} {key} {value}", self.noun, self.path);
                Some((FileStep::new(line, FileReply::Nothing), format!("`{}` has another value", new.key)))
            }
            _ => None,
        }
    }

    /// HAProxy adds at the end.
    fn may_stand_anywhere(&self, entry: &Entry) -> bool {
        !self.ordered && self.have.iter().all(|other| other.key != entry.key)
    }

    fn is_single(&self, entry: &Entry) -> bool {
        self.have.iter().filter(|other| other.key == entry.key).count() == 1
    }

    fn add(&self, entry: &Entry) -> Option<FileStep> {
        let line = format!("add {} {}", self.noun, self.path);
        if self.is_map() {
            return Some(FileStep::with_payload(&line, payload_line(entry), FileReply::Nothing));
        }
        Some(FileStep::new(format!("{line} {}", word(&entry.key)?), FileReply::Nothing))
    }

    /// As many entries in a payload as fit.
    fn batches(&self) -> Vec<FileStep> {
        let line = format!("add map @{VERSION} {}", self.path);
        // The version has up to ten digits; ` <<` and two line feeds.
        let room = MAX_COMMAND.saturating_sub(line.len() + 16);
        let mut payloads: Vec<String> = Vec::new();
        for entry in self.want.iter().map(payload_line) {
            match payloads.last_mut().filter(|payload| payload.len() + 1 + entry.len() <= room) {
                Some(payload) => {
                    payload.push('\n');
                    payload.push_str(&entry);
                }
                None => payloads.push(entry),
            }
        }
        payloads
            .into_iter()
            .map(|payload| FileStep::with_payload(&line, payload, FileReply::Nothing))
            .collect()
    }

    /// `add acl` takes no payload.
    fn singly(&self) -> Result<Vec<FileStep>, Why> {
        let step = |entry: &Entry| {
            let line = format!("add acl @{VERSION} {} {}", self.path, word(&entry.key)?);
            let step = FileStep { may_follow_unseen: true, ..FileStep::new(line, FileReply::Nothing) };
            fits(&step).then_some(step)
        };
        let unfit = |entry: &Entry| Why::Reload(format!("`{}` does not fit a command", entry.key));
        self.want.iter().map(|entry| step(entry).ok_or_else(|| unfit(entry))).collect()
    }
}

/// Whether both hold the same entries, and in the same order where that counts; equal keys always keep theirs.
pub fn same_entries(have: &[Entry], want: &[Entry], ordered: bool) -> bool {
    if have == want {
        return true;
    }
    have.len() == want.len() && !ordered && by_key(have) == by_key(want)
}

fn by_key(entries: &[Entry]) -> HashMap<&str, Vec<Option<&str>>> {
    let mut keys: HashMap<&str, Vec<Option<&str>>> = HashMap::new();
    for entry in entries {
        keys.entry(&entry.key).or_default().push(entry.value.as_deref());
    }
    keys
}

/// A line of a payload. The blank is there also where the value is empty: HAProxy ends the key at it.
fn payload_line(entry: &Entry) -> String {
    format!("{} {}", entry.key, entry.value.as_deref().unwrap_or_default())
}

/// A key or a value as one word of a line: blanks, `;` and `\` are escaped. `None` where HAProxy would take it for something
/// else: an entry's address, or the beginning of a payload.
fn word(text: &str) -> Option<String> {
    if text.is_empty() || text.starts_with("#0x") || text.contains("<<") {
        return None;
    }
    let mut word = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, ' ' | '\t' | ';' | '\\') {
            word.push('\\');
        }
        word.push(character);
    }
    Some(word)
}
