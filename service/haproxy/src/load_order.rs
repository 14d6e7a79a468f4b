//! Which files HAProxy loads, in which order.
//!
//! In: what `-f` is given, a listing of it, and the candidates that stand for files, also for ones that are not there
//! yet. Out: the files in load order. [`load_order`] is pure; [`list`] reads the directories and fails with the path
//! that it could not read.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What one `-f` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// A file, or a path where there is nothing (yet).
    File {
        /// As it was configured.
        path: PathBuf,
        /// The file itself, behind symbolic links.
        real: Option<PathBuf>,
    },
    /// A directory.
    Directory {
        /// As it was configured.
        path: PathBuf,
        /// The directory itself, behind symbolic links.
        real: PathBuf,
        /// The regular files in it, in any order, hidden ones and others included.
        names: Vec<OsString>,
    },
}

/// A candidate and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution {
    /// The file that will be replaced, as the user names it.
    pub target: PathBuf,
    /// The same file behind symbolic links.
    pub destination: PathBuf,
    /// The file that is checked in its place.
    pub candidate: PathBuf,
}

/// One file of the load order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What HAProxy reads in this check.
    pub path: PathBuf,
    /// The name by which the user knows it.
    pub stands_for: PathBuf,
}

/// The files that HAProxy loads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOrder {
    /// In load order.
    pub files: Vec<Loaded>,
    /// Targets that HAProxy does not load: maps and the like, or a mistake in the configuration.
    pub elsewhere: Vec<PathBuf>,
}

/// A configured path that cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot list this directory of HAProxy's configuration: give weir the right to read it")]
pub struct ListingError {
    /// The directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Reads the directories in `config`. Paths where there is nothing are files.
pub fn list(config: &[PathBuf]) -> Result<Vec<Listing>, ListingError> {
    config.iter().map(|path| if path.is_dir() { list_directory(path) } else { Ok(file(path)) }).collect()
}

fn file(path: &Path) -> Listing {
    Listing::File { path: path.to_owned(), real: path.canonicalize().ok() }
}

fn list_directory(path: &Path) -> Result<Listing, ListingError> {
    let regular = |entry: fs::DirEntry| entry.path().is_file().then(|| entry.file_name());
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let failed = |source| ListingError { path: path.to_owned(), source };
    let names = entries.map_err(failed)?.into_iter().filter_map(regular).collect();
    let real = path.canonicalize().map_err(failed)?;
    Ok(Listing::Directory { path: path.to_owned(), real, names })
}

/// The load order with each substitution in place of its target.
pub fn load_order(listing: &[Listing], substitutions: &[Substitution]) -> LoadOrder {
    let files: Vec<Loaded> = listing
        .iter()
        .flat_map(|listed| match listed {
            Listing::File { path, real } => vec![substituted(path, real.as_deref(), substitutions)],
            Listing::Directory { path, real, names } => directory(path, real, names, substitutions),
        })
        .collect();
    let loaded = |one: &&Substitution| !files.iter().any(|file| file.path == one.candidate);
    let elsewhere = substitutions.iter().filter(loaded).map(|one| one.target.clone()).collect();
    LoadOrder { files, elsewhere }
}

fn substituted(path: &Path, real: Option<&Path>, substitutions: &[Substitution]) -> Loaded {
    let meant = |one: &&Substitution| one.target == path || Some(one.destination.as_path()) == real;
    let found = substitutions.iter().find(meant);
    let checked = found.map_or(path, |one| &one.candidate);
    Loaded { path: checked.to_owned(), stands_for: path.to_owned() }
}

/// The directory's files as HAProxy takes them: not hidden, `*.cfg`, ordered by bytes (its C locale); among them targets
/// that are not there yet.
fn directory(path: &Path, real: &Path, names: &[OsString], substitutions: &[Substitution]) -> Vec<Loaded> {
    let here = |one: &&Substitution| one.target.parent() == Some(path) || one.target.parent() == Some(real);
    let new = substitutions.iter().filter(here).filter_map(|one| one.target.file_name());
    let mut names: Vec<&OsStr> = names.iter().map(OsString::as_os_str).chain(new).filter(is_loaded).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| in_directory(path, real, name, substitutions)).collect()
}

fn in_directory(path: &Path, real: &Path, name: &OsStr, substitutions: &[Substitution]) -> Loaded {
    let (asked, behind) = (path.join(name), real.join(name));
    let by_name =
        |one: &&Substitution| one.target == asked || one.target == behind || one.destination == behind;
    let path = substitutions.iter().find(by_name).map_or(&asked, |one| &one.candidate);
    Loaded { path: path.clone(), stands_for: asked }
}

fn is_loaded(name: &&OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.len() > b".cfg".len() && bytes.ends_with(b".cfg") && !bytes.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn substitution(target: &str) -> Substitution {
        let target = PathBuf::from(target);
        let name = format!(".{}.weir-candidate", target.file_name().unwrap().display());
        Substitution { destination: target.clone(), candidate: target.with_file_name(name), target }
    }

    fn directory(path: &str, names: &[&str]) -> Listing {
        let names = names.iter().map(OsString::from).collect();
        Listing::Directory { path: path.into(), real: "/real/d".into(), names }
    }

    fn paths(order: &LoadOrder) -> Vec<String> {
        order.files.iter().map(|file| file.path.display().to_string()).collect()
    }

    #[test]
    fn a_directory_gives_its_cfg_files_in_byte_order() {
        let names = ["b.cfg", "B.cfg", ".hidden.cfg", "a.conf", ".cfg", "10-é.cfg", "2.cfg", "a.cfg~"];
        let listing = [Listing::File { path: "/e/main".into(), real: None }, directory("/e/d", &names)];
        let order = load_order(&listing, &[]);
        assert_eq!(paths(&order), ["/e/main", "/e/d/10-é.cfg", "/e/d/2.cfg", "/e/d/B.cfg", "/e/d/b.cfg"]);
    }

    #[test]
    fn candidates_stand_for_their_targets() {
        let listing =
            [directory("/e/d", &["00.cfg", "90.cfg"]), Listing::File { path: "/e/x".into(), real: None }];
        let all = ["/e/d/90.cfg", "/e/d/50-new.cfg", "/e/x", "/e/maps/hosts.map", "/e/d/notes.txt"]
            .map(substitution);
        let order = load_order(&listing, &all);
        let expected = [
            "/e/d/00.cfg",
            "/e/d/.50-new.cfg.weir-candidate",
            "/e/d/.90.cfg.weir-candidate",
            "/e/.x.weir-candidate",
        ];
        assert_eq!(paths(&order), expected);
        assert_eq!(order.files[1].stands_for, Path::new("/e/d/50-new.cfg"));
        assert_eq!(order.elsewhere, [PathBuf::from("/e/maps/hosts.map"), "/e/d/notes.txt".into()]);
    }

    #[test]
    fn symbolic_links_are_seen_through() {
        let listing = [
            Listing::File { path: "/e/link.cfg".into(), real: Some("/srv/h.cfg".into()) },
            directory("/e/d", &["00.cfg"]),
        ];
        let order = load_order(&listing, &[substitution("/srv/h.cfg"), substitution("/real/d/00.cfg")]);
        assert_eq!(paths(&order), ["/srv/.h.cfg.weir-candidate", "/real/d/.00.cfg.weir-candidate"]);
        assert_eq!(order.files[0].stands_for, Path::new("/e/link.cfg"));
        assert_eq!(order.files[1].stands_for, Path::new("/e/d/00.cfg"));
    }
}
