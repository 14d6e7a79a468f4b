//! Bringing one file in force: read it, plan what to send, send it, read it back.
//!
//! In: a file of HAProxy, and what tells the content that HAProxy has, where that is known. Out: what changed, or why nothing did.
//! What HAProxy has now is asked before each change, so that an entry that somebody changed on the socket is replaced by the file's,
//! as a reload would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::time::timeout;
use weir_haproxy::{FileError, LoadedFiles, StatsSocket};
use weir_pools::plan::Can;
use weir_pools::plan::files::{
    self, CertificateFiles, CertificateList, FileChange, FileKind, Pem, Settings, Why,
};

use super::disk::{self, Content};
use super::ledger::{Brought, Trouble};
use super::{File, READING};
use crate::chain::chain;

/// What is needed to change HAProxy.
pub(super) struct Hands<'a> {
    pub(super) stats: &'a StatsSocket,
    /// What it has loaded.
    pub(super) loaded: &'a LoadedFiles,
    pub(super) settings: &'a Settings,
    /// Where names that are not absolute begin.
    pub(super) base: PathBuf,
}

/// What changed; nothing where HAProxy had it already.
type Outcome = Result<Option<String>, Trouble>;

impl Hands<'_> {
    /// Brings a file in force. `known` is the digest of the content that HAProxy has; `at_rest`: nobody writes the file any more.
    pub(super) async fn bring(&self, file: &File, known: Option<u64>, at_rest: bool) -> Brought {
        let content = match self.read(file).await {
            Ok(content) => content,
            Err(why) => return Brought { outcome: Err(Trouble::Unready(why)), digest: None },
        };
        let digest = Some(content.digest());
        // What requests changed is not undone because somebody touched the file before weir began to watch.
        let is_same = known == digest || (known.is_none() && file.is_changed_by_requests);
        let outcome = if is_same {
            Ok(None)
        } else if !at_rest && may_be_cut_off(file.kind, &content) {
            Err(Trouble::Unready("it is empty or ends in the middle of a line".to_owned()))
        } else {
            self.apply(file, content, known.is_some()).await
        };
        Brought { outcome, digest }
    }

    /// `differs`: the content is known to be another one than HAProxy has.
    async fn apply(&self, file: &File, content: Content, differs: bool) -> Outcome {
        let name = &file.name;
        match (file.kind, content) {
            (FileKind::Certificate, Content::Certificate(files)) => {
                if !differs && self.has_certificate(name, &files).await? {
                    return Ok(None);
                }
                self.carry_out(files::certificate(name, &files, self.can())?).await
            }
            (FileKind::CrtList, Content::Text(text)) => {
                let list = CertificateList::read(&text, self.settings.crt_base.as_deref())?;
                self.crt_list(name, &list).await
            }
            (FileKind::CrtList, Content::Directory(names)) => {
                self.crt_list(name, &CertificateList::directory(name, &names)).await
            }
            (FileKind::Map { ordered }, Content::Text(text)) => {
                let (have, want) = (self.entries(true, name).await?, files::map_entries(&text)?);
                self.carry_out_some(files::map(name, ordered, &have, &want, self.can())?).await
            }
            (FileKind::Acl, Content::Text(text)) => {
                let (have, want) = (self.entries(false, name).await?, files::patterns(&text)?);
                self.carry_out_some(files::acl(name, &have, &want, self.can())?).await
            }
            (FileKind::Authorities, Content::Text(text)) => {
                self.carry_out(files::authorities(name, &text, self.can())?).await
            }
            (FileKind::Revocations, Content::Text(text)) => {
                self.carry_out(files::revocations(name, &text, self.can())?).await
            }
            _ => Err(Trouble::Unready(
                "it changed from a file to a directory, or back, while it was read".to_owned(),
            )),
        }
    }

    async fn read(&self, file: &File) -> Result<Content, String> {
        let (file, settings, base) = (file.clone(), self.settings.clone(), self.base.clone());
        let reading = tokio::task::spawn_blocking(move || Content::read(&file, &settings, &base));
        match timeout(READING, reading).await {
            Ok(read) => read.map_err(|error| format!("reading was cut off: {error}"))?,
            Err(_) => Err(format!("its disk does not answer within {READING:?}")),
        }
    }

    fn can(&self) -> Can {
        let version = &self.loaded.info.version;
        Can { version: (version.major, version.minor, version.patch) }
    }

    async fn entries(&self, is_map: bool, name: &str) -> Result<Vec<files::Entry>, Trouble> {
        let entries = self.stats.entries(is_map, name).await.map_err(FileError::from)?;
        entries.ok_or_else(|| Trouble::Unready("HAProxy does not have it any more".to_owned()))
    }

    /// Whether HAProxy has this very certificate. Its chain cannot be compared.
    async fn has_certificate(&self, name: &str, files: &CertificateFiles) -> Result<bool, Trouble> {
        let shown = self.stats.certificate(name).await.map_err(FileError::from)?;
        let der =
            Pem::read(&files.pem).ok().and_then(|pem| pem.certificates().next().and_then(files::Block::der));
        Ok(shown.zip(der).is_some_and(|(shown, der)| shown.is(&der)))
    }

    /// Certificates that are new to HAProxy first, then the lines.
    async fn crt_list(&self, name: &str, list: &CertificateList) -> Outcome {
        let listed = self.stats.crt_list(name).await.map_err(FileError::from)?;
        let listed =
            listed.ok_or_else(|| Trouble::Unready("HAProxy does not have it any more".to_owned()))?;
        for certificate in list.missing(&self.loaded.certificates) {
            self.load(certificate).await?;
        }
        let unnamed = list.lines.iter().filter(|line| line.filters.is_empty());
        let unnamed: Vec<String> = unnamed.map(|line| line.certificate.clone()).collect();
        let shown = self.stats.certificates(&unnamed).await.map_err(FileError::from)?;
        let names: BTreeMap<_, _> = shown.into_iter().map(|(path, shown)| (path, shown.names)).collect();
        self.carry_out_some(list.change(name, &listed, &names)?).await
    }

    /// Loads a certificate that is not in use yet.
    async fn load(&self, name: String) -> Result<(), Trouble> {
        let (settings, base, can) = (self.settings.clone(), self.base.clone(), self.can());
        let reading = tokio::task::spawn_blocking(move || load(&name, &settings, &base, can));
        let change =
            reading.await.map_err(|error| Trouble::Unready(format!("reading was cut off: {error}")))??;
        self.stats.carry_out(&change).await?;
        Ok(())
    }

    async fn carry_out(&self, change: FileChange) -> Outcome {
        self.stats.carry_out(&change).await?;
        Ok(Some(change.why))
    }

    async fn carry_out_some(&self, change: Option<FileChange>) -> Outcome {
        match change {
            Some(change) => self.carry_out(change).await,
            None => Ok(None),
        }
    }
}

/// Whether a map or a list looks as if somebody were about to write it: that would be taken for what is meant, and empty it.
fn may_be_cut_off(kind: FileKind, content: &Content) -> bool {
    match (kind, content) {
        (FileKind::Map { .. } | FileKind::Acl, Content::Text(text)) => !text.ends_with('\n'),
        _ => false,
    }
}

fn load(name: &str, settings: &Settings, base: &Path, can: Can) -> Result<FileChange, Trouble> {
    if disk::is_bundle(name, base) {
        return Err(Trouble::Reload(format!("{name} is a bundle of certificates")));
    }
    let files = disk::certificate(name, settings, base).map_err(Trouble::Unready)?;
    files::new_certificate(name, &files, can).map_err(|why| match why {
        Why::Incomplete(what) => Trouble::Unready(format!("{name}: {what}")),
        Why::Reload(why) => Trouble::Reload(format!("{name}: {why}")),
    })
}

impl From<Why> for Trouble {
    fn from(why: Why) -> Self {
        match why {
            Why::Incomplete(what) => Self::Unready(what),
            Why::Reload(why) => Self::Reload(why),
        }
    }
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Busy { .. } | FileError::Socket(_) => Self::Unready(chain(&error)),
            FileError::Refused { .. } => Self::Refused(chain(&error)),
            FileError::NotInForce { .. } => Self::Reload(chain(&error)),
        }
    }
}
