//! Files beside the configuration that HAProxy reads when it starts, and that commands change in the running process:
//! maps, lists of patterns, certificates, lists of certificates, authorities and revocation lists.
//!
//! In: which file, by the name that HAProxy knows, and what is in it before and after. Out: a [`FileChange`]: the commands with their
//! payloads and what HAProxy answers to each, what to send when it refuses one, and what to read back in the end. Or a [`Why`]:
//! only a reload does it, or the file is not complete yet. Nothing here fails or panics on bad input.
//!
//! A change is in force as a whole or not at all, as far as HAProxy allows: maps and lists of patterns get a new version that is
//! committed at the end (one entry that changes is one command, which is a whole of its own and costs 0.1 to 5 ms instead of
//! 43 ms for 10,000 entries and 470 ms for 100,000, measured on 2.6.12); certificates are a transaction of HAProxy's own.
//! Only the lines of a list of certificates come and go one by one: new ones first.

mod certificate;
mod crt_list;
mod entries;
mod map;
mod pem;
mod references;

use std::fmt;

pub use certificate::{CertificateFiles, authorities, certificate, new_certificate, revocations};
pub use crt_list::{CertificateList, Line, Listed, listed};
pub use entries::{Entry, map_entries, patterns};
pub use map::{acl, map, same_entries};
pub use pem::{Block, Pem};
pub use references::{Reference, Settings, references, settings};

use super::{Can, MAX_COMMAND};

/// What kind of file it is, as the configuration uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// `map(FILE)` and its relatives: keys with values.
    Map {
        /// The first entry that matches counts, so that entries stay in their order. Where every use compares whole strings or
        /// their beginnings, which HAProxy keeps in a tree, the order does not matter.
        ordered: bool,
    },
    /// `-f FILE` of an ACL: patterns.
    Acl,
    /// `crt FILE`: a certificate with its chain and key. It may be a directory of them, which HAProxy treats as a
    /// [`FileKind::CrtList`].
    Certificate,
    /// `crt-list FILE`: certificates, with options and names.
    CrtList,
    /// `ca-file FILE`, `ca-verify-file FILE`: authorities whose certificates are trusted.
    Authorities,
    /// `crl-file FILE`: certificates that are revoked.
    Revocations,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map { .. } => "map",
            Self::Acl => "list of patterns",
            Self::Certificate => "certificate",
            Self::CrtList => "list of certificates",
            Self::Authorities => "list of authorities",
            Self::Revocations => "revocation list",
        })
    }
}

/// What brings one file's new content into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The file, as HAProxy names it.
    pub path: String,
    /// What changes, in words.
    pub why: String,
    /// The commands, in order.
    pub steps: Vec<FileStep>,
    /// See [`FileChange::undo`].
    undo: Vec<String>,
    /// What to read back when all steps were taken.
    pub proof: Proof,
}

/// One command for a file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileStep {
    line: String,
    /// What follows the line, without the empty line that ends it.
    pub payload: Option<String>,
    /// What HAProxy answers when it worked.
    pub expects: FileReply,
    /// Whether it may be sent before the step before it was answered: it takes effect only with a later one.
    pub may_follow_unseen: bool,
}

impl FileChange {
    /// The lines that take back a change that was begun, where HAProxy refuses one of the steps. Answers to them do not matter.
    /// `version`: as in [`FileStep::line`].
    pub fn undo(&self, version: Option<u32>) -> impl Iterator<Item = String> {
        let lines = self.undo.iter().filter(move |line| version.is_some() || !line.contains(VERSION));
        lines.map(move |line| versioned(line, version))
    }
}

/// What HAProxy answers to a command for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileReply {
    /// Nothing.
    Nothing,
    /// The number of the version that it made: every later step names it.
    Version,
    /// One of these lines.
    Exactly(Vec<String>),
    /// How it went, `Success!` at the end.
    Success,
}

/// What shows that a change is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A map or an ACL holds these entries.
    Entries {
        /// Whether it is a map.
        is_map: bool,
        /// Whether in this order.
        ordered: bool,
        /// All entries.
        entries: Vec<Entry>,
    },
    /// The certificate is this one (in DER).
    Certificate(Vec<u8>),
    /// The authorities are these (in DER), in any order.
    Authorities(Vec<Vec<u8>>),
    /// The list has these lines, in any order.
    Lines(Vec<Line>),
    /// HAProxy's word is all there is.
    Word,
}

/// Why there are no commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Only a reload does it.
    Reload(String),
    /// The file is not whole (yet).
    Incomplete(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reload(why) => write!(f, "only a reload brings it in force: {why}"),
            Self::Incomplete(what) => f.write_str(what),
        }
    }
}

/// Stands in a line for the version that HAProxy makes; no text that is sent holds it.
const VERSION: char = '\u{1}';

/// Payloads hold keys, which are not for logs.
impl fmt::Debug for FileStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileStep({:?}, {:?})", self.line, self.expects)
    }
}

/// What brings the text of a file in force of which HAProxy has the text `have`, as far as the texts say all: a map, a list of
/// patterns, a certificate with its key in it, authorities, revocations. `None` where they say the same. For a list of certificates
/// HAProxy's own list is needed too: see [`CertificateList::change`].
pub fn change(
    kind: FileKind,
    path: &str,
    have: &str,
    want: &str,
    can: Can,
) -> Result<Option<FileChange>, Why> {
    if have == want {
        return Ok(None);
    }
    match kind {
        FileKind::Map { ordered } => map(path, ordered, &map_entries(have)?, &map_entries(want)?, can),
        FileKind::Acl => acl(path, &patterns(have)?, &patterns(want)?, can),
        FileKind::Certificate => {
            let files = CertificateFiles { pem: want.to_owned(), ..CertificateFiles::default() };
            certificate(path, &files, can).map(Some)
        }
        FileKind::Authorities => authorities(path, want, can).map(Some),
        FileKind::Revocations => revocations(path, want, can).map(Some),
        FileKind::CrtList => {
            Err(Why::Reload("its lines are known to HAProxy by numbers of its own".to_owned()))
        }
    }
}

impl FileStep {
    fn new(line: String, expects: FileReply) -> Self {
        Self { line, payload: None, expects, may_follow_unseen: false }
    }

    fn with_payload(line: &str, payload: String, expects: FileReply) -> Self {
        Self { payload: Some(payload), ..Self::new(format!("{line} <<"), expects) }
    }

    /// The line to send. `version` is what [`FileReply::version`] read, where a step before gave one.
    pub fn line(&self, version: Option<u32>) -> String {
        versioned(&self.line, version)
    }
}

fn versioned(line: &str, version: Option<u32>) -> String {
    match version {
        Some(version) if line.contains(VERSION) => line.replace(VERSION, &version.to_string()),
        _ => line.to_owned(),
    }
}

impl FileReply {
    fn line(text: impl Into<String>) -> Self {
        Self::Exactly(vec![text.into()])
    }

    /// Whether `reply` says that the command worked.
    pub fn accepts(&self, reply: &str) -> bool {
        let reply = reply.trim();
        match self {
            Self::Nothing => reply.is_empty(),
            Self::Version => Self::version(reply).is_some(),
            Self::Exactly(lines) => lines.iter().any(|line| line == reply),
            Self::Success => reply.lines().next_back() == Some("Success!"),
        }
    }

    /// The version in an answer to `prepare`.
    pub fn version(reply: &str) -> Option<u32> {
        reply.trim().strip_prefix("New version created: ")?.parse().ok()
    }
}

/// A name in a command, such as a path. HAProxy's socket would split or read it in another way otherwise.
fn name(path: &str) -> Result<&str, Why> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.:-/=+,~*@%()[]".contains(character);
    let begins_well = !path.starts_with(['@', '#', '*', '-']);
    if !path.is_empty() && begins_well && path.chars().all(fits) {
        Ok(path)
    } else {
        Err(Why::Reload(format!("the name `{path}` has characters that do not fit a command")))
    }
}

/// Whether line and payload fit one command.
fn fits(step: &FileStep) -> bool {
    step.line.len() + step.payload.as_ref().map_or(0, String::len) + 2 <= MAX_COMMAND
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_matched_exactly() {
        assert!(FileReply::Nothing.accepts("\n") && !FileReply::Nothing.accepts("entry not found.\n"));
        assert!(FileReply::Version.accepts("New version created: 7\n\n"));
        assert_eq!(FileReply::version("New version created: 4294967295\n"), Some(u32::MAX));
        assert!(!FileReply::Version.accepts("Unknown map identifier. Please use #<id> or <file>.\n"));
        assert!(FileReply::Success.accepts("Committing /a.pem..\na warning\nSuccess!\n\n"));
        assert!(!FileReply::Success.accepts("Committing /a.pem.\nSuccess!\nFailed!\n"));
        let deleted = FileReply::line("Certificate '/a.pem' deleted!");
        assert!(
            deleted.accepts("Certificate '/a.pem' deleted!\n\n") && !deleted.accepts("Certificate '/a.pem'")
        );
    }

    #[test]
    fn a_text_is_changed_by_what_its_file_is_used_as() {
        let can = Can { version: (2, 6, 12) };
        let line = |kind, want: &str| {
            let change = change(kind, "/f", "a 1\n", want, can).unwrap();
            change.map(|change| change.steps[0].line(None))
        };
        let pem = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAQ==\n-----END PRIVATE KEY-----\n";
        let map = FileKind::Map { ordered: true };
        assert_eq!(line(map, "a 2\n").as_deref(), Some("set map /f a 2"));
        assert_eq!(line(map, "# c\na  1\n"), None);
        assert_eq!(line(FileKind::Acl, "").as_deref(), Some("del acl /f a\\ 1"));
        assert_eq!(line(FileKind::Certificate, pem).as_deref(), Some("set ssl cert /f <<"));
        assert_eq!(line(FileKind::Authorities, pem).as_deref(), Some("set ssl ca-file /f <<"));
        assert_eq!(line(FileKind::Revocations, pem).as_deref(), Some("set ssl crl-file /f <<"));
        assert!(matches!(change(FileKind::CrtList, "/f", "", "/a.pem\n", can), Err(Why::Reload(_))));
    }

    #[test]
    fn names_that_a_command_would_read_in_another_way_are_not_sent() {
        for path in ["", "/a b", "/a;b", "/a\\b", "@1", "#3", "*/a.pem", "/é", "/a\n", "-n", "/a<b"] {
            assert!(matches!(name(path), Err(Why::Reload(_))), "{path:?}");
        }
        assert!(name("/usr/local/etc/haproxy/hosts-1.map").is_ok());
    }
}
