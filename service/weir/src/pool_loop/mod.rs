//! The pool loop: keeps one HAProxy (or a group of files) equal to what the templates say.
//!
//! [`PoolLoop::handle`] is synchronous: events in, effects out. It may be woken at any time and does the right thing
//! from what it knows. The [`runner`] waits and carries effects out, at most one change in flight, and brings each
//! outcome back as an event. Bad input changes nothing that works: it is recorded, shown, and tried again.

mod answers;
mod apply;
mod backoff;
mod banned;
mod bisect;
mod cause;
mod causes;
mod course;
mod culprits;
mod holding;
mod inbox;
mod live;
mod memory;
mod note;
mod observation;
mod open_line;
mod outcome;
mod output;
mod piece;
mod probes;
mod report;
mod runner;
mod script;
mod search;
mod seen_pools;
mod servers;
mod tell;
mod told;
mod trial;
mod turn;
mod verifying;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haproxy_cfg::Sections;
use tokio::sync::oneshot;
use weir_haproxy::Reading;
use weir_pools::guard::{Guard, Pools};
use weir_pools::intents::Intents;
use weir_pools::plan::Step;
use weir_pools::{Catalogue, Query};
use weir_scaling::{BackendSample, Process};
use weir_template::Template;

pub(crate) use answers::Answers;
pub(crate) use apply::{File, Hands};
pub(crate) use cause::follows;
use causes::Causes;
pub(crate) use holding::{Door, Hold};
pub(crate) use live::Begun;
use live::Live;
pub(crate) use memory::{Memory, StateDir};
use observation::Observation;
pub(crate) use open_line::OpenLine;
pub(crate) use output::Output;
use probes::Probes;
pub(crate) use report::Report;
pub(crate) use runner::{Handle, Inbox, spawn};
use search::Search;
#[cfg(test)]
pub(crate) use seen_pools::SeenPools;
pub(crate) use seen_pools::{SeenServer, SeenServers};
pub(crate) use servers::{address_of, pools_in};
use tell::{Heard, Tell};
use wanted::Renderer;

use crate::config::{Environment, Haproxy};
use crate::journal::Record;
use crate::status::{HaproxyState, LastChange, LastReload, LeftOut};
use backoff::Backoff;
use banned::Banned;

/// Stick tables are taught to a new worker by the old one; before 3.0 a reload within the first seconds of a process
/// loses them (measured on 2.6.12: lost at 1 s, kept at 12 s; fixed in 3.0-dev9).
const TEACHING: Duration = Duration::from_secs(10);
/// A text that HAProxy refused is offered again after this long even if nothing changed: a certificate or a map may
/// be there by now.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);
/// How long one that HAProxy refuses is left out before it is tried again just as it is.
const BANNED: Duration = Duration::from_mins(5);

/// Texts of outputs, by index.
pub(crate) type Files = Vec<(usize, Arc<str>)>;

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
    /// The files that followed commands were written, or not.
    Followed(Done),
    /// Whether HAProxy accepts what was tried out; or why that is not known.
    Tried { number: u64, verdict: Result<bool, String> },
    /// Whether anybody answers at these addresses.
    Probed(Vec<(SocketAddr, bool)>),
    /// Nomad wants none of the instances that these pools keep.
    Zero(BTreeSet<String>),
    /// These intents are in force, and no others.
    Intents(Arc<Intents>),
    /// Requests of these backends can be held at these addresses, and of no others.
    Hold(BTreeMap<String, SocketAddr>),
    /// A person asks for a reload.
    Reload(Reply),
    /// A person confirms that a pool may be empty.
    ConfirmEmpty(String, Reply),
    /// A person wants a server, by its name in HAProxy, to be ready whatever was set by hand. No intent stands
    /// against it any more.
    Ready { backend: String, server: String, reply: Reply },
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
    /// Write and validate: HAProxy runs it already.
    Follow(Change),
    /// See whether HAProxy accepts these, and put nothing in force. Nothing else waits for it.
    TryOut {
        number: u64,
        files: Files,
    },
    /// Say something to HAProxy, and look at it.
    Tell(Tell),
    /// See whether anybody answers at these addresses.
    Probe(Vec<SocketAddr>),
    /// Reload HAProxy with the files as they are; then say this to the new worker, where it is told anything.
    Reload {
        reason: String,
        restore: Option<Vec<Step>>,
    },
    /// Keep over restarts.
    Remember(Memory),
    /// Keep over restarts what was begun at HAProxy.
    RememberBegun(Begun),
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
    /// What to say to the new worker first, where it is told anything.
    pub(crate) restore: Option<Vec<Step>>,
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
    /// The files are swapped, and HAProxy runs them already.
    Followed,
    /// What HAProxy said, or why it did not.
    Told(Result<Heard, String>),
}

/// How a reload went.
#[derive(Debug)]
pub(crate) enum ReloadResult {
    Ok {
        pid: Option<u32>,
        took: Duration,
        /// The worker before, as it was left.
        left: Option<Box<Observation>>,
        /// The new worker, where it was told something.
        observation: Option<Box<Observation>>,
    },
    Failed(String),
    /// HAProxy could not be asked to, or did not begin: it has read nothing.
    NotBegun(String),
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
    /// HAProxy prints its start itself: from 2.5 on.
    pub(crate) tells_start: bool,
    pub(crate) uptime: Duration,
    pub(crate) version: Option<String>,
    /// Whether it is older than 3.0 and loses stick tables when reloaded young.
    pub(crate) forgets_young: bool,
    pub(crate) old_workers: Option<usize>,
    /// Why it was not seen, or not all of it.
    pub(crate) unseen: Option<String>,
    pub(crate) servers: Arc<SeenServers>,
    /// The statistics that they were seen in.
    pub(crate) reading: Option<Arc<Reading>>,
}

impl Seen {
    fn process(&self) -> Option<Process> {
        Some(Process { node: 0, pid: self.pid?, started: self.started? })
    }

    /// Its backends as the statistics have them.
    fn backends(&self) -> &[BackendSample] {
        self.reading.as_deref().map_or(&[], Reading::backends)
    }
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
    reads: Arc<BTreeSet<Query>>,
    asked: Asked,
    left_out: BTreeSet<LeftOut>,
    /// Those that HAProxy refuses, and until when.
    banned: Vec<(Banned, Instant)>,
    /// The search for others that it refuses.
    search: Search,
    /// Pools that something not put in force would empty.
    would_empty: BTreeSet<String>,
    /// Pools that a person said may be empty.
    confirmed: BTreeSet<String>,
    /// Pools of which Nomad wants no instance.
    zero: BTreeSet<String>,
    /// What is wished of servers.
    intents: Arc<Intents>,
    seen: Seen,
    live: Live,
    causes: Causes,
    /// Whether anybody still answers where servers are drained.
    probes: Probes,
    /// What of HAProxy cannot be seen, as it was reported.
    unseen_told: Option<String>,
    /// Servers whose first good check is overdue, as they were reported.
    overdue: BTreeSet<(String, String)>,
    in_flight: Option<InFlight>,
    /// The files that are being written behind HAProxy.
    following: Option<InFlight>,
    /// They follow again not before this.
    follow_after: Option<Instant>,
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

/// What Consul is asked, and what that was made of.
#[derive(Debug, Default)]
struct Asked {
    read: Arc<BTreeSet<Query>>,
    templates: Vec<Arc<Template>>,
    all: Arc<BTreeSet<Query>>,
}

impl Asked {
    fn of(read: &Arc<BTreeSet<Query>>, templates: Vec<Arc<Template>>) -> Self {
        let mut all = read.clone();
        for named in templates.iter().map(|template| template.queries()) {
            if !named.is_subset(&all) {
                Arc::make_mut(&mut all).extend(named.iter().cloned());
            }
        }
        Self { read: read.clone(), templates, all }
    }
}

#[derive(Debug)]
struct InFlight {
    change: Option<Change>,
    tell: Option<Tell>,
    pools: Vec<(usize, (Arc<Pools>, Sections))>,
    /// Outputs whose source in this change is an edit.
    edits: BTreeSet<usize>,
    /// The catalogue that the change was rendered from.
    offered: Arc<Catalogue>,
    reason: String,
    since: Instant,
}

impl InFlight {
    fn since(since: Instant) -> Self {
        let (reason, offered) = (String::new(), Arc::default());
        Self { change: None, tell: None, pools: Vec::new(), edits: BTreeSet::new(), offered, reason, since }
    }
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
        last_good: Arc<Catalogue>,
    ) -> Self {
        let search = Search::new(last_good.clone());
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
            reads: Arc::default(),
            asked: Asked::default(),
            left_out: BTreeSet::new(),
            banned: Vec::new(),
            search,
            would_empty: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            zero: BTreeSet::new(),
            intents: Arc::default(),
            seen: Seen::default(),
            live: Live::new(Begun::default(), Duration::ZERO),
            causes: Causes::default(),
            probes: Probes::default(),
            unseen_told: None,
            overdue: BTreeSet::new(),
            in_flight: None,
            following: None,
            follow_after: None,
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

    /// The same loop, which tells HAProxy what changes where that is possible. `begun`: what an earlier weir left.
    pub(crate) fn with_commands(mut self, begun: Begun) -> Self {
        if let Some(haproxy) = &self.haproxy {
            self.live = Live::new(begun, haproxy.verify_interval);
            self.live.is_on = haproxy.stats_socket.is_some();
        }
        self
    }

    /// Takes one event in and says what to do.
    pub(crate) fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        self.looked = now;
        match event {
            Event::Catalogue(catalogue) => self.catalogue = catalogue,
            Event::Source { index, text } => self.source(index, text),
            Event::Seen(seen) => self.see(seen),
            Event::Done(done) => self.done(now, done),
            Event::Followed(done) => self.followed(now, done),
            Event::Tried { number, verdict } => self.tried(now, number, verdict),
            Event::Probed(found) => self.probed(found),
            Event::Zero(backends) => self.zero = backends,
            Event::Intents(intents) => self.intend(intents),
            Event::Hold(at) => self.live.hold(at),
            Event::Reload(reply) => self.ask_reload(reply),
            Event::ConfirmEmpty(backend, reply) => self.confirm_empty(backend, reply),
            Event::Ready { backend, server, reply } => self.ask_ready(&backend, &server, reply),
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
        // With something in flight its end is the next chance: a timer until then would only wake for nothing.
        let live = self.live.next_look().filter(|_| self.in_flight.is_none());
        let follow = self.follow_after.filter(|_| self.is_behind());
        let times = edits.chain(banned).chain(held).chain(refused).chain(reload);
        let times = times.chain(self.search.next_look()).chain(self.write_after).chain(live).chain(follow);
        times.filter(|time| *time > self.looked).min()
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.following.is_none()
    }

    /// Whether HAProxy runs what no file says yet.
    fn is_behind(&self) -> bool {
        self.outputs.iter().any(Output::is_behind)
    }

    /// What Consul must be asked: what the last turn read, and what the sources in use name.
    pub(crate) fn reads(&mut self) -> Arc<BTreeSet<Query>> {
        let sources = self.outputs.iter().filter_map(Output::source);
        let templates: Vec<Arc<Template>> = sources.map(|source| source.template.clone()).collect();
        let is_known = Arc::ptr_eq(&self.asked.read, &self.reads)
            && self.asked.templates.len() == templates.len()
            && self.asked.templates.iter().zip(&templates).all(|(known, now)| Arc::ptr_eq(known, now));
        if !is_known {
            self.asked = Asked::of(&self.reads, templates);
        }
        self.asked.all.clone()
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
mod model;
#[cfg(test)]
mod runtime_tests;
#[cfg(test)]
mod tests;
