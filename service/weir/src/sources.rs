//! Template sources on disk: read, and watched for edits.
//!
//! The directories are watched, since editors and Puppet replace files. An edit is read when the directory has been
//! quiet for a moment, so that a file is not read half written. In case the system loses an event, every
//! source is read now and then anyway.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::{Source, Template};
use crate::pool_loop::Event;

/// How long a directory must be quiet before its sources are read.
const QUIET: Duration = Duration::from_millis(100);
/// How long one that never gets quiet is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often sources are read without any event.
const ANYWAY: Duration = Duration::from_secs(5);
/// A template larger than this is a mistake.
const LARGEST: u64 = 16 << 20;

/// One template, and the loop that renders it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) template: Template,
    pub(crate) index: usize,
    pub(crate) events: mpsc::Sender<Event>,
}

/// Reads a template's source. The error says which file, and what is wrong with it.
pub(crate) fn read(source: &Source) -> Result<Arc<str>, String> {
    let path = match source {
        Source::Inline(text) => return Ok(text.as_str().into()),
        Source::File(path) => path,
    };
    let problem = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    if std::fs::metadata(path).map_err(problem)?.len() > LARGEST {
        return Err(format!("{}: larger than {} MiB, not read", path.display(), LARGEST >> 20));
    }
    Ok(std::fs::read_to_string(path).map_err(problem)?.into())
}

/// Reads every source now, and again whenever it may have changed, until cancelled.
pub(crate) async fn watch(watched: Vec<Watched>, cancel: CancellationToken) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let watcher = watcher(&watched, changed);
    let mut last: Vec<Option<Result<Arc<str>, String>>> = vec![None; watched.len()];
    loop {
        for (watched, last) in watched.iter().zip(&mut last) {
            read_one(watched, last).await;
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(()) = changes.recv() => quiet(&mut changes).await,
            () = tokio::time::sleep(ANYWAY) => {}
        }
    }
    drop(watcher);
}

async fn read_one(watched: &Watched, last: &mut Option<Result<Arc<str>, String>>) {
    let source = watched.template.source.clone();
    let Ok(text) = tokio::task::spawn_blocking(move || read(&source)).await else { return };
    if last.as_ref() != Some(&text) {
        *last = Some(text.clone());
        // The loop is gone only when the daemon ends.
        let _ = watched.events.send(Event::Source { index: watched.index, text }).await;
    }
}

/// Waits until no more changes come for a moment.
async fn quiet(changes: &mut mpsc::Receiver<()>) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        if tokio::time::timeout(QUIET, changes.recv()).await.is_err() {
            return;
        }
    }
}

/// Watches the sources' directories. Where that is not possible, sources are still read every few seconds.
fn watcher(watched: &[Watched], changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // One waiting message is enough: it makes every source be read.
            let _ = changed.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(told)
        .inspect_err(|error| warn!("template sources are read every {ANYWAY:?} only: {error}"))
        .ok()?;
    for directory in directories(watched) {
        if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
            warn!("{}: edits are seen every {ANYWAY:?} only: {error}", directory.display());
        }
    }
    Some(watcher)
}

/// The directories of the sources, and of the files behind symbolic links.
fn directories(watched: &[Watched]) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    for one in watched {
        let Source::File(path) = &one.template.source else { continue };
        for path in [Some(path.clone()), path.canonicalize().ok()].into_iter().flatten() {
            let parent = path.parent().map(PathBuf::from).filter(|parent| !parent.as_os_str().is_empty());
            directories.insert(parent.unwrap_or_else(|| ".".into()));
        }
    }
    directories
}
