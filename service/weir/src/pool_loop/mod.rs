//! The pool loop: keeps one HAProxy (or a group of files) equal to what the templates say.
//!
//! [`PoolLoop::handle`] is synchronous: events in, effects out. It may be woken at any time and does the right thing
//! from what it knows. The [`runner`] waits and carries effects out, at most one change in flight, and brings each
//! outcome back as an event. Bad input changes nothing that works: it is recorded, shown, and tried again.

mod apply;
mod backoff;
mod culprits;
mod inbox;
mod memory;
mod note;
mod outcome;
mod output;
mod report;
mod runner;
mod servers;
mod turn;
mod wanted;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haproxy_cfg::Sections;
use tokio::sync::oneshot;
use weir_pools::guard::{Guard, Pools};
use weir_pools::{Catalogue, Query};

pub(crate) use apply::{File, Hands};
pub(crate) use memory::{Memory, StateDir};
pub(crate) use output::Output;
pub(crate) use report::Report;
pub(crate) use runner::{Handle, Inbox, spawn};
pub(crate) use servers::pools_in;
use wanted::Renderer;

use crate::config::{Environment, Haproxy};
use crate::journal::Record;
use crate::status::{HaproxyState, LastChange, LastReload, LeftOut};
use backoff::Backoff;
use culprits::Banned;

/// Stick tables are taught to a new worker by the old one; before 3.0 a reload within the first seconds of a process
/// loses them (measured on 2.6.12: lost at 1 s, kept at 12 s; fixed in 3.0-dev9).
const TEACHING: Duration = Duration::from_secs(10);
/// A text that HAProxy refused is offered again after this long even if nothing changed: a certificate or a map may
/// be there by now.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);
/// How long one that HAProxy refuses is left out before it is tried again just as it is.
const BANNED: Duration = Duration::from_mins(5);

/// The answer to a person's command.
pub(crate) type Reply = oneshot::Sender<Result<String, String>>;

/// What can happen to a pool loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// Consul said something.
    Catalogue(Arc<Catalogue>),
    /// A template's source was read.
    Source { index: usize, text: Result<Arc<str>, String> },
    /// HAProxy was looked at.
    Seen(Seen),
    /// The effect in flight ended.
    Done(Done),
    /// Nomad wants none of the instances that these pools keep.
    Zero(BTreeSet<String>),
    /// A person asks for a reload.
    Reload(Reply),
    /// A person confirms that a pool may be empty.
    ConfirmEmpty(String, Reply),
    /// A time came that [`PoolLoop::next_look`] named.
    Timer,
    /// The daemon ends: nothing new is begun.
    Stop,
}

/// What the outside shall do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Write, validate, swap, and reload where HAProxy runs.
    Apply(Change),
    /// Reload HAProxy with the files as they are.
    Reload {
        reason: String,
    },
    /// Keep over restarts.
    Remember(Memory),
    /// Keep the catalogue in force over restarts.
    RememberCatalogue(Arc<Catalogue>),
    /// HAProxy runs the files as they are: no reload is pending.
    ReloadDone,
    Record(Record),
}

/// New texts for some outputs.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Maps and lists first, configuration last: index of the output and its text.
    pub(crate) files: Vec<(usize, Arc<str>)>,
    pub(crate) reason: String,
}

/// How the effect in flight ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) result: DoneResult,
    pub(crate) took: Duration,
}

/// The outcomes of [`Effect::Apply`] and [`Effect::Reload`].
#[derive(Debug)]
pub(crate) enum DoneResult {
    /// HAProxy refuses the new texts; nothing was touched. Its own words, and the lines that they name.
    Refused { problem: String, lines: Vec<(PathBuf, usize)> },
    /// The texts could not be written or checked; nothing was touched.
    Failed(String),
    /// The files are swapped; and then.
    Swapped(ReloadResult),
    /// No file was to be swapped.
    Reloaded(ReloadResult),
}

/// How a reload went.
#[derive(Debug)]
pub(crate) enum ReloadResult {
    Ok {
        pid: Option<u32>,
        took: Duration,
    },
    Failed(String),
    /// HAProxy does not run: it reads the files when it starts.
    NotRunning,
    /// No HAProxy loads these files.
    NotNeeded,
}

/// HAProxy at one look.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) state: Option<HaproxyState>,
    pub(crate) pid: Option<u32>,
    /// When the process started, seconds since the epoch.
    pub(crate) started: Option<u64>,
    pub(crate) uptime: Duration,
    pub(crate) version: Option<String>,
    /// Whether it is older than 3.0 and loses stick tables when reloaded young.
    pub(crate) forgets_young: bool,
    pub(crate) old_workers: Option<usize>,
    pub(crate) servers: report::SeenServers,
}

/// One HAProxy with its templates.
#[derive(Debug)]
pub(crate) struct PoolLoop {
    /// The HAProxy's label; empty for the one without.
    name: String,
    haproxy: Option<Haproxy>,
    environment: Arc<Environment>,
    outputs: Vec<Output>,
    renderer: Renderer,
    guard: Guard,
    catalogue: Arc<Catalogue>,
    last_good: Arc<Catalogue>,
    /// The catalogue that the change in flight was rendered from.
    offered: Arc<Catalogue>,
    reads: Arc<BTreeSet<Query>>,
    left_out: BTreeSet<LeftOut>,
    /// Those that HAProxy refuses, and until when.
    banned: Vec<(Banned, Instant)>,
    /// Pools that something not put in force would empty.
    would_empty: BTreeSet<String>,
    /// Pools that a person said may be empty.
    confirmed: BTreeSet<String>,
    /// Pools of which Nomad wants no instance.
    zero: BTreeSet<String>,
    seen: Seen,
    in_flight: Option<InFlight>,
    reload: PendingReload,
    refused: Option<RefusedTexts>,
    write: Backoff,
    /// Nothing is written before this.
    write_after: Option<Instant>,
    /// Since when a change waits because of old workers or stick tables.
    held_since: Option<Instant>,
    held_back: Option<String>,
    /// When the oldest input came that is not in force.
    changed_at: Option<Instant>,
    /// When the last turn was.
    looked: Instant,
    stopping: bool,
    replies: Vec<Reply>,
    last_change: Option<LastChange>,
    last_reload: Option<LastReload>,
    reloads: u64,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct InFlight {
    change: Option<Change>,
    pools: Vec<(usize, (Arc<Pools>, Sections))>,
    /// Outputs whose source in this change is an edit.
    edits: BTreeSet<usize>,
    since: Instant,
}

/// A reload that is due.
#[derive(Debug)]
struct PendingReload {
    reason: Option<String>,
    /// The files were swapped at this time (seconds since the epoch): a process that started later has read them.
    swapped: Option<u64>,
    backoff: Backoff,
    after: Option<Instant>,
}

/// Texts that HAProxy refused, so that they are not offered again and again.
#[derive(Debug)]
struct RefusedTexts {
    files: Vec<(usize, Arc<str>)>,
    problem: String,
    again: Instant,
}

impl PoolLoop {
    pub(crate) fn new(
        name: String,
        haproxy: Option<Haproxy>,
        outputs: Vec<Output>,
        environment: Arc<Environment>,
        memory: Memory,
        last_good: Catalogue,
    ) -> Self {
        let last_good = Arc::new(last_good);
        let reason = memory.reload_pending.map(|_| "a reload was pending when weir ended".to_owned());
        let reload =
            PendingReload { reason, swapped: memory.reload_pending, backoff: Backoff::reload(), after: None };
        let mut outputs = outputs;
        for output in &mut outputs {
            let source = memory.sources.get(&output.config.destination);
            output.good = source.and_then(|text| output::parse(&output.config.name(), text.clone()).ok());
        }
        Self {
            name,
            haproxy,
            environment,
            outputs,
            reload,
            last_good,
            renderer: Renderer::default(),
            guard: memory.guard,
            catalogue: Arc::default(),
            offered: Arc::default(),
            reads: Arc::default(),
            left_out: BTreeSet::new(),
            banned: Vec::new(),
            would_empty: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            zero: BTreeSet::new(),
            seen: Seen::default(),
            in_flight: None,
            refused: None,
            write: Backoff::write(),
            write_after: None,
            held_since: None,
            held_back: None,
            changed_at: None,
            looked: Instant::now(),
            stopping: false,
            replies: Vec::new(),
            last_change: None,
            last_reload: None,
            reloads: 0,
            effects: Vec::new(),
        }
    }

    /// Takes one event in and says what to do.
    pub(crate) fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        self.looked = now;
        match event {
            Event::Catalogue(catalogue) => self.catalogue = catalogue,
            Event::Source { index, text } => self.source(index, text),
            Event::Seen(seen) => self.see(seen),
            Event::Done(done) => self.done(now, done),
            Event::Zero(backends) => self.zero = backends,
            Event::Reload(reply) => self.ask_reload(reply),
            Event::ConfirmEmpty(backend, reply) => self.confirm_empty(backend, reply),
            Event::Timer => {}
            Event::Stop => self.stopping = true,
        }
        self.next_step(now);
        std::mem::take(&mut self.effects)
    }

    /// When to look again although nothing happens. Times that had their chance in the last turn are over.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let edits = self.outputs.iter().filter_map(Output::again);
        let held = match (&self.haproxy, self.held_since) {
            (Some(haproxy), Some(since)) => Some(since + haproxy.reload_wait),
            _ => None,
        };
        let refused = self.refused.as_ref().map(|refused| refused.again);
        let reload = self.reload.reason.as_ref().and(self.reload.after);
        let banned = self.banned.iter().map(|(_, until)| *until);
        let times = edits.chain(banned).chain(held).chain(refused).chain(reload).chain(self.write_after);
        times.filter(|time| *time > self.looked).min()
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// What Consul must be asked.
    pub(crate) fn reads(&self) -> Arc<BTreeSet<Query>> {
        let mut reads = self.reads.clone();
        for source in self.outputs.iter().filter_map(Output::source) {
            let named = source.template.queries();
            if !named.is_subset(&reads) {
                Arc::make_mut(&mut reads).extend(named.iter().cloned());
            }
        }
        reads
    }

    fn remember(&mut self) {
        let sources = self
            .outputs
            .iter()
            .filter_map(|output| {
                Some((output.config.destination.clone(), output.good.as_ref()?.text.clone()))
            })
            .collect();
        let memory = Memory { sources, guard: self.guard.clone(), reload_pending: None };
        self.effects.push(Effect::Remember(memory));
    }

    fn record(&mut self, record: Record) {
        self.effects.push(Effect::Record(record));
    }
}

#[cfg(test)]
mod tests;
