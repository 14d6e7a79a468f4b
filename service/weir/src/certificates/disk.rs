//! Files as they lie on the disk: when they changed, and what is in them.
//!
//! In: paths. Out: a [`Stamp`], which differs when a file, or a symbolic link on the way to it, was written or replaced; a
//! [`Content`]. Fails with the path and what is wrong with it. These functions block.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use weir_pools::plan::files::{CertificateFiles, FileKind, Settings};

use super::File;

/// Symbolic links that are followed, one after another; more are a circle.
const LINKS: usize = 40;
/// A larger file is a mistake: 64 MiB are a map of two million entries.
const LARGEST: u64 = 64 << 20;
/// What may stand beside a certificate.
const BESIDE: [&str; 4] = ["key", "issuer", "ocsp", "sctl"];
/// What HAProxy tries where a certificate is not there: one file for each kind of key.
const BUNDLE: [&str; 3] = ["rsa", "ecdsa", "dsa"];

/// Looks at all `files` but those that are `rendered`.
pub(super) fn stamps(
    files: &[File],
    rendered: &[PathBuf],
    settings: &Settings,
    base: &Path,
) -> BTreeMap<String, Stamp> {
    let behind_links = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let rendered: BTreeSet<PathBuf> = rendered.iter().map(|path| behind_links(path)).collect();
    let ours = files.iter().filter(|file| !rendered.contains(&behind_links(&file.path)));
    ours.map(|file| (file.name.clone(), Stamp::of(file, settings, base))).collect()
}

/// A file, what belongs to it, and the links on the way, with the times of their last changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    parts: Vec<(PathBuf, Option<Mark>)>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    is_link: bool,
    is_directory: bool,
}

impl Mark {
    fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            is_link: found.is_symlink(),
            is_directory: found.is_dir(),
        }
    }
}

impl Stamp {
    /// Looks at a file now.
    pub(super) fn of(file: &File, settings: &Settings, base: &Path) -> Self {
        let mut parts = Vec::new();
        follow(&file.path, &mut parts);
        if file.kind == FileKind::Certificate {
            for beside in BESIDE.iter().filter_map(|suffix| settings.beside(&file.name, suffix)) {
                follow(&base.join(beside), &mut parts);
            }
        }
        Self { parts }
    }

    /// Whether the file itself is there.
    pub(super) fn is_present(&self) -> bool {
        self.parts
            .iter()
            .find(|(_, mark)| mark.is_none_or(|mark| !mark.is_link))
            .is_some_and(|(_, mark)| mark.is_some())
    }

    /// Whether anything was written, replaced or given other rights in the second `started` (since the epoch) or later. A file
    /// that is not there any more counts as changed.
    pub(super) fn changed_since(&self, started: u64) -> bool {
        let started = i64::try_from(started).unwrap_or(i64::MAX);
        let late = |mark: &Mark| mark.modified.0 >= started || mark.changed.0 >= started;
        self.parts.iter().any(|(_, mark)| mark.as_ref().is_some_and(late))
    }

    /// The directory that the file turned out to be.
    pub(super) fn directory(&self) -> Option<&Path> {
        let is_directory = |mark: &Option<Mark>| mark.is_some_and(|mark| mark.is_directory);
        self.parts.iter().find(|(_, mark)| is_directory(mark)).map(|(path, _)| path.as_path())
    }

    /// Every path that was looked at.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|(path, _)| path.as_path())
    }
}

/// Adds a path, and where it leads to.
fn follow(path: &Path, parts: &mut Vec<(PathBuf, Option<Mark>)>) {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let mark = fs::symlink_metadata(&path).ok().map(|found| Mark::of(&found));
        parts.push((path.clone(), mark));
        let Ok(next) = fs::read_link(&path) else { return };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
}

/// What is in a file.
#[derive(Hash)]
pub(super) enum Content {
    Text(String),
    Certificate(CertificateFiles),
    /// The names of the regular files in a directory.
    Directory(BTreeSet<String>),
}

impl Content {
    /// Reads a file of HAProxy.
    pub(super) fn read(file: &File, settings: &Settings, base: &Path) -> Result<Self, String> {
        match file.kind {
            FileKind::Certificate => certificate(&file.name, settings, base).map(Self::Certificate),
            FileKind::CrtList if file.path.is_dir() => directory(&file.path).map(Self::Directory),
            _ => text(&file.path).map(Self::Text),
        }
    }

    /// Tells one content from another.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Reads a certificate, and what HAProxy looks for beside it.
pub(super) fn certificate(name: &str, settings: &Settings, base: &Path) -> Result<CertificateFiles, String> {
    let beside = |suffix: &str| {
        let path = settings.beside(name, suffix).map(|name| base.join(name));
        path.filter(|path| path.exists()).map(|path| bytes(&path)).transpose()
    };
    let as_text = |found: Option<Vec<u8>>| found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(CertificateFiles {
        pem: String::from_utf8_lossy(&bytes(&base.join(name))?).into_owned(),
        key: as_text(beside("key")?),
        issuer: as_text(beside("issuer")?),
        ocsp: beside("ocsp")?,
        has_sctl: beside("sctl")?.is_some(),
    })
}

/// Whether `name` stands for several files, one for each kind of key.
pub(super) fn is_bundle(name: &str, base: &Path) -> bool {
    !base.join(name).exists() && BUNDLE.iter().any(|suffix| base.join(format!("{name}.{suffix}")).exists())
}

fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(bytes(path)?).map_err(|_| format!("{}: not text in UTF-8", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let problem = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            format!("{}: is not there (any more); HAProxy would not start without it", path.display())
        }
        ErrorKind::PermissionDenied => {
            format!("{}: cannot be read: give weir's user the right to", path.display())
        }
        _ => format!("{}: cannot be read: {error}", path.display()),
    };
    // Reading a FIFO would wait for a writer.
    let metadata = fs::metadata(path).map_err(problem)?;
    if !metadata.is_file() {
        return Err(format!("{}: not a regular file", path.display()));
    }
    if metadata.len() > LARGEST {
        return Err(format!("{}: larger than {} MiB, not read", path.display(), LARGEST >> 20));
    }
    fs::read(path).map_err(problem)
}

fn directory(path: &Path) -> Result<BTreeSet<String>, String> {
    let problem = |error| format!("{}: cannot be listed: {error}", path.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(problem)? {
        let entry = entry.map_err(problem)?;
        if entry.path().is_file() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn file(path: &Path, kind: FileKind) -> File {
        File { name: path.display().to_string(), kind, path: path.to_owned(), is_changed_by_requests: false }
    }

    #[test]
    fn a_stamp_sees_links_that_are_turned_and_files_beside() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("1.pem"), "one").unwrap();
        fs::write(at("2.pem"), "two").unwrap();
        symlink("1.pem", at("live")).unwrap();
        symlink("live", at("a.pem")).unwrap();
        let a = file(&at("a.pem"), FileKind::Certificate);
        let stamp = || Stamp::of(&a, &Settings::default(), Path::new("/"));
        let first = stamp();
        assert_eq!(first, stamp());
        fs::remove_file(at("live")).unwrap();
        assert!(!stamp().is_present());
        symlink("2.pem", at("live")).unwrap();
        let second = stamp();
        assert!(first != second && second.is_present());
        fs::write(at("a.pem.key"), "key").unwrap();
        let third = stamp();
        assert_ne!(second, third);
        let paths: Vec<_> = third.paths().take(3).map(Path::to_owned).collect();
        assert_eq!(paths, [at("a.pem"), at("live"), at("2.pem")]);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(third.changed_since(now - 60) && !third.changed_since(now + 60));
    }

    #[test]
    fn contents_are_read_and_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        let read = |kind| Content::read(&file(&path, kind), &Settings::default(), Path::new("/"));
        let error = read(FileKind::Certificate).err().unwrap();
        assert!(error.contains("a.pem: is not there"), "{error}");
        fs::write(&path, "pem").unwrap();
        let without = read(FileKind::Certificate).unwrap();
        fs::write(dir.path().join("a.pem.key"), "key").unwrap();
        fs::write(dir.path().join("a.pem.sctl"), [0]).unwrap();
        let with = read(FileKind::Certificate).unwrap();
        assert_ne!(without.digest(), with.digest());
        assert_eq!(with.digest(), read(FileKind::Certificate).unwrap().digest());
        let Content::Certificate(files) = with else { panic!() };
        assert_eq!((files.key.as_deref(), files.has_sctl, files.ocsp), (Some("key"), true, None));
        let Ok(Content::Directory(names)) =
            Content::read(&file(dir.path(), FileKind::CrtList), &Settings::default(), Path::new("/"))
        else {
            panic!()
        };
        assert_eq!(names.len(), 3);
        fs::write(&path, [0xff]).unwrap();
        assert!(read(FileKind::Acl).err().unwrap().contains("UTF-8"));
    }
}
