//! The system's word that a file may have changed.
//!
//! In: the paths that matter. Out: a message on a channel of one place, which makes all of them be looked at. Directories are watched,
//! since files are replaced; what else happens in them is passed over. Where watching is not possible, the files are looked at every
//! few seconds only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::warn;

use super::ANYWAY;
use super::disk::Stamp;

/// Watches directories.
pub(super) struct Eyes {
    watcher: Option<notify::RecommendedWatcher>,
    sights: Arc<Mutex<Sights>>,
    directories: BTreeSet<PathBuf>,
}

/// What matters.
#[derive(Default)]
struct Sights {
    /// Files, links, and the directories that they are in, which is all that some systems name.
    paths: BTreeSet<PathBuf>,
    /// Directories of certificates: what stands in them is not known by name.
    whole: BTreeSet<PathBuf>,
}

impl Sights {
    fn hold(&self, path: &Path) -> bool {
        self.paths.contains(path) || path.parent().is_some_and(|parent| self.whole.contains(parent))
    }
}

impl Eyes {
    /// Sees nothing yet.
    pub(super) fn open() -> (Self, mpsc::Receiver<()>) {
        let (changed, changes) = mpsc::channel(1);
        let sights = Arc::<Mutex<Sights>>::default();
        let known = sights.clone();
        let told = move |event: notify::Result<notify::Event>| {
            let matters = |event: &notify::Event| {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                !event.kind.is_access() && event.paths.iter().any(|path| known.hold(path))
            };
            // An error means that events were lost. One waiting message is enough.
            if event.as_ref().map_or(true, matters) {
                let _ = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(told)
            .inspect_err(|error| warn!("certificates and maps are looked at every {ANYWAY:?} only: {error}"))
            .ok();
        (Self { watcher, sights, directories: BTreeSet::new() }, changes)
    }

    /// Watches for these from now on.
    pub(super) fn look_at<'s>(&mut self, stamps: impl Iterator<Item = &'s Stamp> + Clone) {
        let mut paths: BTreeSet<PathBuf> =
            stamps.clone().flat_map(Stamp::paths).map(Path::to_owned).collect();
        let whole: BTreeSet<PathBuf> = stamps.filter_map(Stamp::directory).map(Path::to_owned).collect();
        let around = paths.iter().filter_map(|path| parent(path)).collect::<BTreeSet<_>>();
        let directories: BTreeSet<PathBuf> = around.union(&whole).cloned().collect();
        paths.extend(directories.iter().cloned());
        *self.sights.lock().unwrap_or_else(PoisonError::into_inner) = Sights { paths, whole };
        self.watch(directories);
    }

    fn watch(&mut self, directories: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.directories.difference(&directories) {
            // It may be gone from the disk too, and its watch with it.
            let _ = watcher.unwatch(gone);
        }
        for new in directories.difference(&self.directories) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                warn!("{}: changes are seen every {ANYWAY:?} only: {error}", new.display());
            }
        }
        self.directories = directories;
    }
}

fn parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { ".".into() } else { parent.to_owned() })
}
