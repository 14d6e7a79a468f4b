//! Files that HAProxy has loaded and that others write: certificates (certbot, Puppet), lists of them, maps, lists of patterns.
//!
//! When one of them changes on the disk, the change is brought in force in the running worker, one file at a time, and read back. What
//! only a reload does is validated, and the pool loop is asked to reload. Those that a template of
//! weir renders are among them; the configuration itself is not. Out: records, and requests to reload. A file that is being written is waited for; one that HAProxy refuses changes
//! nothing, and is reported.
//!
//! The directories are watched; in case the system loses an event, all files are looked at now and then anyway. What a worker has
//! is asked, not remembered: after a reload by anybody only those files count that changed since the new worker started.

mod bring;
mod disk;
mod eyes;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use haproxy_cfg::Document;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weir_haproxy::{Haproxy, LoadedFiles, StatsSocket, Verdict, list, load_order, validate};
use weir_pools::plan::files::{FileKind, Reference, Settings, references, settings};

use crate::chain::chain;
use crate::journal::{Journal, Record};
use crate::pool_loop::Event;
use crate::sources::quiet;
use bring::Hands;
use disk::Stamp;
use eyes::Eyes;
use ledger::{Effect, Ledger};

/// How often the files are looked at without any event.
const ANYWAY: Duration = Duration::from_secs(5);
/// How long a disk may take to answer.
const READING: Duration = Duration::from_secs(2);
/// How long a reload that was asked for may take to be answered: as long as one that a person asks for.
const RELOADING: Duration = Duration::from_mins(1);

/// One HAProxy, and what there is to know about its files.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The label; empty for the one without.
    pub(crate) name: String,
    pub(crate) haproxy: Haproxy,
    /// The configurations that weir's own templates render. (Maps and certificates from templates are written by their loop and
    /// brought in force here.)
    pub(crate) rendered: Vec<PathBuf>,
    /// The loop that reloads this HAProxy.
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) journal: Journal,
}

/// A file of HAProxy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    /// As HAProxy calls it.
    name: String,
    kind: FileKind,
    /// Where it is.
    path: PathBuf,
    /// Requests change what HAProxy has of it.
    is_changed_by_requests: bool,
}

/// Keeps one HAProxy's files as they are on the disk, until cancelled.
pub(crate) async fn run(watched: Watched, cancel: CancellationToken) {
    let Some(stats) = watched.haproxy.stats() else { return cancel.cancelled().await };
    let (mut eyes, mut changes) = Eyes::open();
    let mut turns = Turns { watched, stats, facts: Facts::default(), ledger: Ledger::default(), hangs: None };
    loop {
        let pause = turns.turn(&mut eyes, &cancel).await;
        tokio::select! {
            () = cancel.cancelled() => return,
            Some(()) = changes.recv() => quiet(&mut changes).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What the configuration says about names.
#[derive(Debug, Default)]
struct Facts {
    settings: Settings,
    references: BTreeMap<String, Reference>,
}

struct Turns {
    watched: Watched,
    stats: StatsSocket,
    facts: Facts,
    ledger: Ledger,
    /// A look at the disk that did not end in time.
    hangs: Option<JoinHandle<Stamps>>,
}

/// The states of files, by name.
type Stamps = BTreeMap<String, Stamp>;

impl Turns {
    /// Looks at HAProxy and its files, and brings in force what changed. Out: when to look again.
    async fn turn(&mut self, eyes: &mut Eyes, cancel: &CancellationToken) -> Duration {
        let loaded = match self.stats.loaded_files().await {
            Ok(loaded) => loaded,
            Err(error) => {
                debug!("HAProxy's files are not looked at: {error}");
                return ANYWAY;
            }
        };
        if self.ledger.meet(loaded.info.process()) {
            self.facts = facts(&self.watched.haproxy).await;
        }
        let files = self.files(&loaded);
        let Some(stamps) = self.stamps(&files).await else { return ANYWAY };
        eyes.look_at(stamps.values());
        let hands =
            Hands { stats: &self.stats, loaded: &loaded, settings: &self.facts.settings, base: self.base() };
        for file in self.ledger.due(Instant::now(), files, stamps) {
            if cancel.is_cancelled() {
                break;
            }
            let begun = Instant::now();
            let at_rest = self.ledger.is_at_rest(begun, &file.name);
            let brought = hands.bring(&file, self.ledger.digest(&file.name), at_rest).await;
            match self.ledger.settle(Instant::now(), &file.name, brought) {
                Some(Effect::InForce(what)) => self.watched.changed(&file, what, begun.elapsed()),
                Some(Effect::Failed(error)) => self.watched.failed(&file, error),
                Some(Effect::Reload(why)) => {
                    self.watched.reload(&file, why, cancel).await;
                    // It made everything as it is on the disk, or it will be tried when the file changes.
                    return Duration::ZERO;
                }
                None => {}
            }
        }
        self.ledger.pause()
    }

    fn base(&self) -> PathBuf {
        self.watched.haproxy.working_directory.clone().unwrap_or_default()
    }

    /// The files that HAProxy has.
    fn files(&self, loaded: &LoadedFiles) -> Vec<File> {
        let of = |names: &BTreeSet<String>, kind: FileKind| {
            names.iter().map(|name| self.file(name, kind)).collect::<Vec<_>>()
        };
        let map = FileKind::Map { ordered: true };
        let mut files = of(&loaded.maps, map);
        files.extend(of(&loaded.acls, FileKind::Acl));
        files.extend(of(&loaded.certificates, FileKind::Certificate));
        files.extend(of(&loaded.crt_lists, FileKind::CrtList));
        files.extend(of(&loaded.authorities, FileKind::Authorities));
        files.extend(of(&loaded.revocations, FileKind::Revocations));
        files
    }

    fn file(&self, name: &str, kind: FileKind) -> File {
        let reference = self.facts.references.get(name);
        let kind = match reference.map(|reference| reference.kind) {
            Some(known @ FileKind::Map { .. }) if matches!(kind, FileKind::Map { .. }) => known,
            _ => kind,
        };
        File {
            name: name.to_owned(),
            kind,
            path: self.base().join(name),
            is_changed_by_requests: reference.is_some_and(|reference| reference.is_changed_by_requests),
        }
    }

    /// Looks at the files that weir does not render. Nothing where the disk does not answer.
    async fn stamps(&mut self, files: &[File]) -> Option<Stamps> {
        if self.hangs.as_ref().is_some_and(|hangs| !hangs.is_finished()) {
            return None;
        }
        let (files, settings, base) = (files.to_vec(), self.facts.settings.clone(), self.base());
        let rendered = self.watched.rendered.clone();
        let mut look = tokio::task::spawn_blocking(move || disk::stamps(&files, &rendered, &settings, &base));
        let stamps = timeout(READING, &mut look).await;
        self.hangs = stamps.is_err().then_some(look);
        stamps.ok()?.ok()
    }
}

impl Watched {
    fn changed(&self, file: &File, what: String, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (haproxy, kind) = (self.name.clone(), file.kind.to_string());
        self.journal.record(Record::FileChanged {
            haproxy,
            file: file.name.clone(),
            file_kind: kind,
            why: what,
            took_ms,
        });
    }

    fn failed(&self, file: &File, error: String) {
        let (haproxy, kind) = (self.name.clone(), file.kind.to_string());
        self.journal.record(Record::FileFailed { haproxy, file: file.name.clone(), file_kind: kind, error });
    }

    /// Has HAProxy reloaded, where it would start with the files as they are.
    async fn reload(&self, file: &File, why: String, cancel: &CancellationToken) {
        let asked = async {
            match validate(&self.haproxy, &[]).await {
                Ok(Verdict::Accepted { .. }) => {}
                Ok(refused @ Verdict::Refused { .. }) => {
                    let said = refused.headline().map_or(String::new(), |message| message.text.clone());
                    return Err(format!("{why}; but HAProxy would not start with it: {said}"));
                }
                Err(error) => return Err(format!("{why}; and it cannot be checked: {}", chain(&error))),
            }
            let (haproxy, kind) = (self.name.clone(), file.kind.to_string());
            let record = Record::FileNeedsReload {
                haproxy,
                file: file.name.clone(),
                file_kind: kind,
                why: why.clone(),
            };
            self.journal.record(record);
            let (reply, answer) = oneshot::channel();
            // The loop is gone only when the daemon ends.
            let _ = self.events.send(Event::Reload(reply)).await;
            match timeout(RELOADING, answer).await {
                Ok(Ok(Err(error))) => Err(format!("{why}; and the reload failed: {error}")),
                _ => Ok(()),
            }
        };
        if let Some(Err(error)) = cancel.run_until_cancelled(asked).await {
            self.failed(file, error);
        }
    }
}

/// Reads HAProxy's configuration. Where that is not possible, the more careful defaults hold.
async fn facts(haproxy: &Haproxy) -> Facts {
    let base = haproxy.working_directory.clone().unwrap_or_default();
    let config: Vec<PathBuf> = haproxy.config.iter().map(|path| base.join(path)).collect();
    let reading = tokio::task::spawn_blocking(move || {
        let files = load_order(&list(&config).ok()?, &[]).files;
        let text = files.into_iter().map(|file| std::fs::read_to_string(file.path).ok());
        Some(text.map(|text| Document::parse(text.unwrap_or_default())).collect::<Vec<_>>())
    });
    let documents = reading.await.ok().flatten().unwrap_or_default();
    let references = references(&documents).into_iter().map(|found| (found.path.clone(), found)).collect();
    Facts { settings: settings(&documents), references }
}
