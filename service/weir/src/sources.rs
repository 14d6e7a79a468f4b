//! Template sources on disk: read, and watched for edits.
//!
//! The directories are watched, since editors and Puppet replace files. An edit is read when the directory has been
//! quiet for a moment, so that a file is not read half written. In case the system loses an event, every
//! source is read now and then anyway, and at SIGHUP. A source on a disk that hangs does not hold up the others.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Source, Template};
use crate::pool_loop::Event;

/// How long a directory must be quiet before its sources are read.
const QUIET: Duration = Duration::from_millis(100);
/// How long one that never gets quiet is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often sources are read without any event.
const ANYWAY: Duration = Duration::from_secs(5);
/// How long the reading of a source may take before it is reported and the others go on without it.
const READING: Duration = Duration::from_secs(2);
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
    let problem = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("{}: there is no such file", path.display()),
        _ => format!("{}: cannot be read: {error}", path.display()),
    };
    let metadata = std::fs::metadata(path).map_err(problem)?;
    if !metadata.is_file() {
        return Err(format!("{}: not a regular file; a template's source must be one", path.display()));
    }
    if metadata.len() > LARGEST {
        return Err(format!("{}: larger than {} MiB, not read", path.display(), LARGEST >> 20));
    }
    let text = std::fs::read_to_string(path).map_err(problem)?;
    Ok(without_mark(&text).into())
}

/// The text without the byte order mark that some editors put first.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads every source now, and again whenever it may have changed or `hangups` says so, until cancelled.
pub(crate) async fn watch(watched: Vec<Watched>, mut hangups: mpsc::Receiver<()>, cancel: CancellationToken) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let watcher = watcher(&watched, changed);
    let mut readers: Vec<Reader> = watched.into_iter().map(Reader::new).collect();
    while cancel.run_until_cancelled(read_all(&mut readers, READING)).await.is_some() {
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(()) = changes.recv() => quiet(&mut changes).await,
            Some(()) = hangups.recv() => info!("SIGHUP: all template sources are read again"),
            () = tokio::time::sleep(ANYWAY) => {}
        }
    }
    drop(watcher);
}

type Text = Result<Arc<str>, String>;

/// One source: what it last was, and a reading of it that is under way.
struct Reader {
    watched: Watched,
    last: Option<Text>,
    reading: Option<JoinHandle<Text>>,
}

/// All are begun before any is waited for.
async fn read_all(readers: &mut [Reader], patience: Duration) {
    readers.iter_mut().for_each(Reader::begin);
    let deadline = Instant::now() + patience;
    for reader in readers {
        if let Some(text) = reader.end(deadline).await {
            reader.tell(text).await;
        }
    }
}

impl Reader {
    fn new(watched: Watched) -> Self {
        Self { watched, last: None, reading: None }
    }

    /// Begins to read; a reading that hangs is not begun a second time.
    fn begin(&mut self) {
        let source = &self.watched.template.source;
        self.reading.get_or_insert_with(|| {
            let source = source.clone();
            tokio::task::spawn_blocking(move || read(&source))
        });
    }

    /// What was read; that it takes too long where it does; nothing where the reading was cut off.
    async fn end(&mut self, deadline: Instant) -> Option<Text> {
        let Ok(read) = timeout_at(deadline, self.reading.as_mut()?).await else {
            let name = self.watched.template.name();
            return Some(Err(format!("{name}: cannot be read: its disk does not answer within {READING:?}")));
        };
        self.reading = None;
        read.ok()
    }

    async fn tell(&mut self, text: Text) {
        if self.last.as_ref() != Some(&text) {
            self.last = Some(text.clone());
            // The loop is gone only when the daemon ends.
            let _ = self.watched.events.send(Event::Source { index: self.watched.index, text }).await;
        }
    }
}

/// Waits until no more changes come for a moment.
pub(crate) async fn quiet(changes: &mut mpsc::Receiver<()>) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if tokio::time::timeout(QUIET, changes.recv()).await.is_err() {
            return;
        }
    }
}

/// Watches the sources' directories. Where that is not possible, sources are still read every few seconds.
fn watcher(watched: &[Watched], changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let names = sources(watched).iter().filter_map(|path| Some(path.file_name()?.to_owned())).collect();
    let told = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| may_matter(&event, &names)) {
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

/// Whether a source may read otherwise after this. Others' files in the same directories may be logs, which are written
/// to all the time; one that comes, goes or is renamed may be a directory that a symbolic link leads through.
fn may_matter(event: &notify::Event, names: &BTreeSet<OsString>) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.iter().filter_map(|path| path.file_name()).any(|name| names.contains(name))
        }
        _ => true,
    }
}

/// The sources, and the files behind symbolic links.
fn sources(watched: &[Watched]) -> BTreeSet<PathBuf> {
    let files = watched.iter().filter_map(|one| match &one.template.source {
        Source::File(path) => Some(path),
        Source::Inline(_) => None,
    });
    files.flat_map(|path| [Some(path.clone()), path.canonicalize().ok()]).flatten().collect()
}

/// The directories of the sources, and of the files behind symbolic links.
fn directories(watched: &[Watched]) -> BTreeSet<PathBuf> {
    let parent = |path: PathBuf| {
        let parent = path.parent().map(PathBuf::from).filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or_else(|| ".".into())
    };
    sources(watched).into_iter().map(parent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_and_a_byte_order_mark_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for path in [fifo, link, "/dev/null".into(), dir.path().to_owned()] {
            let error = read(&Source::File(path.clone())).unwrap_err();
            assert!(
                error.contains("not a regular file") && error.contains(path.to_str().unwrap()),
                "{error}"
            );
        }
        let file = dir.path().join("a.hbs");
        std::fs::write(&file, "\u{feff}text").unwrap();
        assert_eq!(&*read(&Source::File(file)).unwrap(), "text");
        let gone = dir.path().join("b.hbs");
        let error = read(&Source::File(gone.clone())).unwrap_err();
        assert_eq!(error, format!("{}: there is no such file", gone.display()));
    }

    #[tokio::test]
    async fn a_reading_that_hangs_is_reported_and_holds_up_no_other() {
        let (events, mut queue) = mpsc::channel(8);
        let place = crate::config::Place { file: "weir.hcl".into(), line: 1 };
        let reader = |text: &str, index| {
            let (source, destination) = (Source::Inline(text.into()), "/a".into());
            let (perms, user, group) = (None, None, None);
            let template = Template { source, destination, perms, user, group, place: place.clone() };
            Reader::new(Watched { template, index, events: events.clone() })
        };
        let mut readers = vec![reader("one", 0), reader("two", 1)];
        readers[0].reading = Some(tokio::spawn(std::future::pending()));
        read_all(&mut readers, Duration::from_secs(1)).await;
        let Some(Event::Source { index: 0, text: Err(error) }) = queue.recv().await else { panic!() };
        assert!(error.contains("does not answer"), "{error}");
        let Some(Event::Source { index: 1, text: Ok(text) }) = queue.recv().await else { panic!() };
        assert_eq!((&*text, queue.try_recv().is_err()), ("two", true));
    }
}
