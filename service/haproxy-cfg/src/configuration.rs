//! Several files that HAProxy reads one after the other as one configuration. In: documents in load order. Out:
//! look-ups across them.

use std::path::{Path, PathBuf};

use crate::document::Document;
use crate::pool::Pool;

/// All files of one HAProxy, in the order in which it loads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    files: Vec<File>,
}

/// One file of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The file's path.
    pub path: PathBuf,
    /// What is in it.
    pub document: Document,
}

impl Configuration {
    /// Adds a file after those that are there.
    pub fn push(&mut self, path: impl Into<PathBuf>, document: Document) {
        self.files.push(File { path: path.into(), document });
    }

    /// The files, in load order.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The document at `path`.
    pub fn document(&self, path: &Path) -> Option<&Document> {
        self.files.iter().find(|file| file.path == path).map(|file| &file.document)
    }

    /// Every pool with the file that it stands in, in load order.
    pub fn pools(&self) -> impl Iterator<Item = (&Path, Pool<'_>)> {
        self.files.iter().flat_map(|file| file.document.pools().map(|pool| (file.path.as_path(), pool)))
    }

    /// The first pool of that name (HAProxy refuses a second), and its file.
    pub fn pool(&self, name: &str) -> Option<(&Path, Pool<'_>)> {
        self.pools().find(|(_, pool)| pool.name == name)
    }
}

impl FromIterator<(PathBuf, Document)> for Configuration {
    fn from_iter<I: IntoIterator<Item = (PathBuf, Document)>>(files: I) -> Self {
        Self { files: files.into_iter().map(|(path, document)| File { path, document }).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_found_across_files_in_load_order() {
        let mut all = Configuration::default();
        all.push("/etc/10.cfg", Document::parse("backend a\n server s 10.0.0.1:80\n"));
        all.push("/etc/20.cfg", Document::parse("backend b\nlisten c\n"));
        let names: Vec<_> = all.pools().map(|(_, pool)| pool.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(all.pool("c").map(|(path, _)| path), Some(Path::new("/etc/20.cfg")));
        assert_eq!(all.pool("d"), None);
        assert!(all.document(Path::new("/etc/10.cfg")).is_some());
    }
}
