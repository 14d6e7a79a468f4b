//! Carrying out a change of a file that HAProxy has loaded, and seeing that it is in force.
//!
//! In: a [`FileChange`] that was planned. Out: nothing; it is in force then, and was read back. Every answer must be the expected one:
//! at the first other one what was begun is taken back, and HAProxy has what it had before (of a list of certificates, the lines that came
//! before stay). Fails with HAProxy's own words.

use std::collections::BTreeSet;

use weir_pools::plan::files::{FileChange, FileReply, FileStep, Line, Proof, same_entries};

use crate::exchange::SocketError;
use crate::loaded_files::fingerprint;
use crate::session::Session;
use crate::stats_socket::StatsSocket;

/// How much is sent before the answers are read, in bytes: well below what a socket takes without a reader.
const AHEAD: usize = 8_000;

/// Why a change is not in force.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Somebody else changes certificates just now.
    #[error(
        "{path}: cannot be changed while another change of a certificate is open: {what}; it is tried again. If nobody is at it, \
         end it on HAProxy's socket: `abort ssl cert NAME`"
    )]
    Busy {
        /// The file.
        path: String,
        /// Whose change is open, or HAProxy's words.
        what: String,
    },
    /// HAProxy does not take it. What it had stays in force.
    #[error("{path}: HAProxy refuses it, what was in force stays: {reply} (answer to `{command}`)")]
    Refused {
        /// The file.
        path: String,
        /// The command that it refused.
        command: String,
        /// Its words.
        reply: String,
    },
    /// HAProxy took every command and has something else than what was sent.
    #[error("{path}: HAProxy accepted it, but does not have it: {what}")]
    NotInForce {
        /// The file.
        path: String,
        /// What it has.
        what: String,
    },
    /// HAProxy gives no usable answer.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl StatsSocket {
    /// Carries out a change and reads it back.
    pub async fn carry_out(&self, change: &FileChange) -> Result<(), FileError> {
        let mut session = self.session().await?;
        if matches!(change.proof, Proof::Certificate(_)) {
            session.end_own_transaction(change).await?;
        }
        session.take(change).await?;
        session.prove(change).await
    }
}

impl Session {
    /// HAProxy has one transaction for all certificates. Up to 2.6 it would put ours into another one that is open.
    async fn end_own_transaction(&mut self, change: &FileChange) -> Result<(), FileError> {
        match self.open_transaction().await? {
            None => Ok(()),
            Some(open) if open == change.path => {
                // Left behind by a crash, or by a person. Whatever HAProxy says, the next answer tells.
                self.say(&format!("abort ssl cert {open}"), None).await?;
                Ok(())
            }
            Some(open) => {
                Err(FileError::Busy { path: change.path.clone(), what: format!("{open} is being changed") })
            }
        }
    }

    async fn take(&mut self, change: &FileChange) -> Result<(), FileError> {
        let (mut version, mut steps) = (None, change.steps.as_slice());
        while !steps.is_empty() {
            let (now, later) = steps.split_at(together(steps));
            let lines: Vec<String> = now.iter().map(|step| step.line(version)).collect();
            let replies = match &now[0].payload {
                Some(payload) => vec![self.say(&lines[0], Some(payload)).await?],
                None => self.say_all(&lines).await?,
            };
            if let Some(at) = (0..now.len()).find(|at| !now[*at].expects.accepts(&replies[*at])) {
                self.take_back(change, version).await?;
                return Err(refused(&change.path, &lines[at], &replies[at]));
            }
            version = replies.last().and_then(|reply| FileReply::version(reply)).or(version);
            steps = later;
        }
        Ok(())
    }

    async fn take_back(&mut self, change: &FileChange, version: Option<u32>) -> Result<(), SocketError> {
        for line in change.undo(version) {
            self.say(&line, None).await?;
        }
        Ok(())
    }

    async fn prove(&mut self, change: &FileChange) -> Result<(), FileError> {
        let path = &change.path;
        let what = match &change.proof {
            Proof::Word => None,
            Proof::Entries { is_map, ordered, entries } => match self.entries(*is_map, path).await? {
                Some(has) if same_entries(&has, entries, *ordered) => None,
                has => Some(format!("{} entries, not those that were sent", has.map_or(0, |has| has.len()))),
            },
            Proof::Certificate(der) => {
                let shown = self.certificate(path).await?.unwrap_or_default();
                (!shown.is(der)).then(|| format!("a certificate with the fingerprint {}", shown.fingerprint))
            }
            Proof::Authorities(ders) => {
                let has = self.authorities(path).await?.unwrap_or_default();
                let wanted: BTreeSet<String> = ders.iter().map(|der| fingerprint(der)).collect();
                (has != wanted).then(|| format!("{} other authorities", has.len()))
            }
            Proof::Lines(lines) => {
                let listed = self.crt_list(path).await?.unwrap_or_default();
                let has: Vec<&Line> = listed.iter().map(|listed| &listed.line).collect();
                (!same_lines(has, lines)).then(|| format!("{} lines, not those of the file", listed.len()))
            }
        };
        what.map_or(Ok(()), |what| Err(FileError::NotInForce { path: path.clone(), what }))
    }
}

/// How many of the first steps may be sent at once.
fn together(steps: &[FileStep]) -> usize {
    let mut room = AHEAD;
    let fits = |step: &&FileStep| {
        let length = step.line(None).len();
        room = room.saturating_sub(length);
        step.may_follow_unseen && step.payload.is_none() && room > 0
    };
    steps.iter().take_while(fits).count().max(1)
}

fn refused(path: &str, line: &str, reply: &str) -> FileError {
    let path = path.to_owned();
    let reply = reply.split_whitespace().collect::<Vec<_>>().join(" ");
    if reply.contains("currently locked") || reply.contains("ongoing transaction is about") {
        return FileError::Busy { path, what: reply };
    }
    let command = line.trim_end_matches(" <<").to_owned();
    FileError::Refused { path, command, reply: if reply.is_empty() { "nothing".to_owned() } else { reply } }
}

fn same_lines(mut has: Vec<&Line>, wanted: &[Line]) -> bool {
    let mut wanted: Vec<&Line> = wanted.iter().collect();
    has.sort();
    wanted.sort();
    has == wanted
}
