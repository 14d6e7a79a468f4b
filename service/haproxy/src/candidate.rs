//! A new text of a file, written beside it and swapped in when it has been found good.
//!
//! In: the target, the text, mode and owner. Out: a [`Candidate`], a file `.NAME.weir-candidate` in the target's own
//! directory, a name that HAProxy does not load; [`Candidate::swap`] makes it the target at one stroke. The target's
//! mode and owner are kept, and a symbolic link stays: the file behind it is replaced. Fails with the path, and what to
//! do about it. These functions block for some milliseconds (`fsync`): call them from `spawn_blocking`.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::load_order::Substitution;
use crate::owner::{Attributes, Ownership};

/// Symbolic links that are followed, one after another; more are a circle.
const LINKS: usize = 40;
/// The ends of the names of files that wait.
const CANDIDATE: &str = ".weir-candidate";
const TRIAL: &str = ".weir-trial";

/// A file that waits beside its target. It goes when the value is dropped without [`Candidate::swap`].
#[derive(Debug)]
pub struct Candidate {
    target: PathBuf,
    destination: PathBuf,
    path: PathBuf,
}

/// Why a file was not written. The target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system's rights.
    #[error("{path}: permission denied: weir's user must be allowed to write in this directory")]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// The file system takes no writes.
    #[error("{path}: the file system is read-only: mount it for writing or choose another destination")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// No space, or a quota is used up.
    #[error("{path}: no space left: make room on this file system (or raise weir's quota)")]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory is not there.
    #[error("{path}: there is no such directory: create it")]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The target is a directory, a device or the like, or a circle of symbolic links.
    #[error("{path}: not a regular file, so it cannot be replaced: choose another destination")]
    NotAFile {
        /// The target.
        path: PathBuf,
    },
    /// A user or group without an account.
    #[error("{path}: there is no user or group `{name}` on this machine")]
    NoSuchAccount {
        /// The target.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The owner that the configuration asks for cannot be set.
    #[error(
        "{path}: cannot set the owner: only root may give files away; run weir as root or leave out `user` and `group`"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("{path}: cannot be written")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Candidate {
    /// Writes `text` beside `target`. `None` when the target has this very text already.
    pub fn write(target: &Path, text: &[u8], attributes: &Attributes) -> Result<Option<Self>, WriteError> {
        Self::beside(target, CANDIDATE, text, attributes)
    }

    /// The same under another name, for a text that is only tried out: it is in nobody's way.
    pub fn trial(target: &Path, text: &[u8], attributes: &Attributes) -> Result<Option<Self>, WriteError> {
        Self::beside(target, TRIAL, text, attributes)
    }

    fn beside(
        target: &Path,
        ending: &str,
        text: &[u8],
        attributes: &Attributes,
    ) -> Result<Option<Self>, WriteError> {
        let destination = behind_links(target)?;
        let present = present(&destination)?;
        if present.is_some() && has_text(&destination, text)? {
            return Ok(None);
        }
        let ownership = attributes
            .ownership(present.as_ref())
            .map_err(|name| WriteError::NoSuchAccount { path: target.to_owned(), name })?;
        let path = path_beside(&destination, ending);
        let candidate = Self { target: target.to_owned(), destination, path };
        candidate.fill(text, ownership)?;
        Ok(Some(candidate))
    }

    /// The file that will be replaced, as the user names it.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where the text lies until then.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands for what, for the load order.
    pub fn substitution(&self) -> Substitution {
        Substitution {
            target: self.target.clone(),
            destination: self.destination.canonicalize().unwrap_or_else(|_| self.destination.clone()),
            candidate: self.path.clone(),
        }
    }

    /// Makes it the target: atomic, and lasting once this returns.
    pub fn swap(self) -> Result<(), WriteError> {
        fs::rename(&self.path, &self.destination).map_err(|error| failed(&self.destination, error))?;
        // The swap has happened: a directory that cannot be synced only risks that a power cut takes it back.
        if let Err(error) = sync_directory(&self.destination) {
            tracing::warn!(path = %self.destination.display(), %error, "directory not synced after a file was replaced");
        }
        Ok(())
    }

    fn fill(&self, text: &[u8], ownership: Ownership) -> Result<(), WriteError> {
        remove(&self.path)?;
        // Closed to others until owner and mode are right: the text may hold secrets.
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let wrong = |error| failed(&self.path, error);
        let mut file = options.open(&self.path).map_err(wrong)?;
        give_to(&file, &self.path, ownership)?;
        file.set_permissions(Permissions::from_mode(ownership.mode)).map_err(wrong)?;
        file.write_all(text).and_then(|()| file.sync_all()).map_err(wrong)
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // After a swap it is gone; where it cannot be removed the next one takes its place.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what a crash left beside `target`; true when there was something.
pub fn clean_up(target: &Path) -> Result<bool, WriteError> {
    let destination = behind_links(target)?;
    let [candidate, trial] = [CANDIDATE, TRIAL].map(|ending| remove(&path_beside(&destination, ending)));
    Ok(candidate? | trial?)
}

fn path_beside(destination: &Path, ending: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(destination.file_name().unwrap_or_default());
    name.push(ending);
    destination.with_file_name(name)
}

/// The file behind symbolic links, whether it is there or not.
fn behind_links(target: &Path) -> Result<PathBuf, WriteError> {
    let mut path = target.to_owned();
    for _ in 0..LINKS {
        let Ok(next) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    Err(WriteError::NotAFile { path: target.to_owned() })
}

fn present(destination: &Path) -> Result<Option<Metadata>, WriteError> {
    match fs::symlink_metadata(destination) {
        Ok(found) if found.is_file() => Ok(Some(found)),
        Ok(_) => Err(WriteError::NotAFile { path: destination.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(destination, error)),
    }
}

/// A file that may be replaced but not read counts as different.
fn has_text(destination: &Path, text: &[u8]) -> Result<bool, WriteError> {
    match fs::read(destination) {
        Ok(present) => Ok(present == text),
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => Ok(false),
        Err(error) => Err(failed(destination, error)),
    }
}

fn remove(path: &Path) -> Result<bool, WriteError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path, error)),
    }
}

/// An owner that was merely found there is kept where the system allows it.
fn give_to(file: &File, path: &Path, ownership: Ownership) -> Result<(), WriteError> {
    let result = nix::unistd::fchown(file, ownership.user, ownership.group).map_err(io::Error::from);
    match result {
        Err(source) if ownership.asked_for => Err(WriteError::Owner { path: path.to_owned(), source }),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "owner not kept: only root may give files away");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn failed(path: &Path, source: io::Error) -> WriteError {
    let directory = || path.parent().unwrap_or(path).to_owned();
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::PermissionDenied => WriteError::Denied { path },
        ErrorKind::ReadOnlyFilesystem => WriteError::ReadOnly { path },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => WriteError::Full { path, source },
        ErrorKind::NotFound | ErrorKind::NotADirectory => WriteError::NoDirectory { path: directory() },
        ErrorKind::IsADirectory => WriteError::NotAFile { path },
        _ => WriteError::Failed { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn write(target: &Path, text: &str) -> Option<Candidate> {
        Candidate::write(target, text.as_bytes(), &Attributes::default()).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn swapping_keeps_mode_and_owner() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("h.cfg");
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o604)).unwrap();
        let root = nix::unistd::geteuid().is_root();
        if root {
            std::os::unix::fs::chown(&target, Some(1234), Some(4321)).unwrap();
        }
        let candidate = write(&target, "new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(names(dir.path()), [".h.cfg.weir-candidate", "h.cfg"]);
        candidate.swap().unwrap();
        let found = fs::metadata(&target).unwrap();
        assert_eq!((fs::read_to_string(&target).unwrap().as_str(), found.mode() & 0o7777), ("new", 0o604));
        assert!(!root || (found.uid(), found.gid()) == (1234, 4321));
        assert_eq!(names(dir.path()), ["h.cfg"]);
        assert!(write(&target, "new").is_none(), "the same text is not written again");
    }

    #[test]
    fn a_dropped_candidate_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("h.cfg");
        drop(write(&target, "new").unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn symbolic_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        let (link, second) = (dir.path().join("h.cfg"), dir.path().join("second"));
        symlink("second", &link).unwrap();
        symlink("real/x.cfg", &second).unwrap();
        for text in ["first, the file is not there yet", "then it is"] {
            let candidate = write(&link, text).unwrap();
            assert_eq!(candidate.path(), real.join(".x.cfg.weir-candidate"));
            candidate.swap().unwrap();
            assert!(link.is_symlink() && second.is_symlink());
            assert_eq!(fs::read_to_string(real.join("x.cfg")).unwrap(), text);
        }
        assert_eq!(names(&real), ["x.cfg"]);
    }

    #[test]
    fn leftovers_of_a_crash_are_replaced_or_cleaned_up() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("h.cfg");
        let leftover = dir.path().join(".h.cfg.weir-candidate");
        let elsewhere = dir.path().join("elsewhere");
        symlink(&elsewhere, &leftover).unwrap();
        write(&target, "new").unwrap().swap().unwrap();
        assert!(!elsewhere.exists() && !target.is_symlink(), "a planted link is not written through");
        fs::write(&leftover, "half").unwrap();
        assert!(clean_up(&target).unwrap());
        assert!(!clean_up(&target).unwrap());
    }

    #[test]
    fn errors_name_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let none = Attributes::default();
        let missing = Candidate::write(&dir.path().join("no/h.cfg"), b"", &none).unwrap_err();
        assert!(
            matches!(&missing, WriteError::NoDirectory { path } if *path == dir.path().join("no")),
            "{missing}"
        );
        let directory = Candidate::write(dir.path(), b"", &none).unwrap_err();
        assert!(matches!(directory, WriteError::NotAFile { .. }));
        symlink("circle", dir.path().join("circle")).unwrap();
        let circle = Candidate::write(&dir.path().join("circle"), b"", &none).unwrap_err();
        assert!(matches!(circle, WriteError::NotAFile { .. }));
        let stranger = Attributes { user: Some("no-such-user".into()), ..none };
        let stranger = Candidate::write(&dir.path().join("h.cfg"), b"", &stranger).unwrap_err();
        assert!(matches!(stranger, WriteError::NoSuchAccount { name, .. } if name == "no-such-user"));
    }

    #[test]
    fn what_the_system_says_becomes_what_to_do() {
        let path = Path::new("/d/f");
        let of = |kind: ErrorKind| failed(path, kind.into());
        assert!(matches!(of(ErrorKind::ReadOnlyFilesystem), WriteError::ReadOnly { .. }));
        assert!(matches!(of(ErrorKind::StorageFull), WriteError::Full { .. }));
        assert!(of(ErrorKind::PermissionDenied).to_string().contains("/d/f: permission denied"));
    }
}
