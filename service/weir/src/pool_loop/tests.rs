//! The loop against a model of the world: files, an HAProxy that refuses what is broken, reloads that fail.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use weir_pools::places::OutputKind;
use weir_pools::{Answer, Instance, Status, Weights};

use super::*;
use crate::config::{Place, Source as ConfigSource, Template};

const GOOD: &str =
    "backend web\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\n";
const OTHER: &str = "backend web\n  balance leastconn\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\n";
/// Passes the check, and HAProxy cannot start with it.
const UNSTARTABLE: &str = "backend web\n  UNSTARTABLE\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\n";
/// Reads a key.
const KEYED: &str = "backend web\n  # {{key \"note\"}}\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\n";
/// Renders, and HAProxy refuses it.
const REFUSED: &str = "backend web\n  BROKEN\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\n";
/// Two sections, one of which needs a key, and the other what stands behind it.
const SECTIONS: &str = "backend web\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\nbackend note\n  # {{key \"note\"}}\n";
/// Does not parse.
const UNUSABLE: &str = "backend web\n{{#each (service \"web\")}}{{Adress}}{{/each}}\n";

pub(super) fn pools_of(text: &str) -> Arc<Pools> {
    pools_in(&Sections::parse(text))
}

pub(super) fn web() -> Query {
    Query::Service { name: "web".into(), datacenter: None }
}

pub(super) fn instance(number: u8) -> Instance {
    Instance {
        id: format!("web-{number}"),
        name: "web".into(),
        address: format!("10.0.{}.{number}", u8::from(NAMELESS.contains(&number))),
        port: 80,
        tags: vec![],
        service_meta: BTreeMap::new(),
        service_tagged_addresses: BTreeMap::new(),
        weights: Weights::default(),
        node: "n1".into(),
        node_id: String::new(),
        node_address: "10.0.0.250".into(),
        node_meta: BTreeMap::new(),
        node_tagged_addresses: BTreeMap::new(),
        datacenter: "dc1".into(),
        status: Status::Passing,
        checks: vec![],
    }
}

fn template() -> Template {
    Template {
        source: ConfigSource::File("/t.hbs".into()),
        destination: PathBuf::from("/h.cfg"),
        perms: None,
        user: None,
        group: None,
        place: Place { file: "weir.hcl".into(), line: 1 },
    }
}

fn haproxy() -> Haproxy {
    Haproxy {
        name: String::new(),
        config: vec!["/h.cfg".into()],
        stats_socket: Some("/s".into()),
        master_socket: Some("/m".into()),
        reload_command: None,
        reload_timeout: Duration::from_secs(10),
        binary: "haproxy".into(),
        check_timeout: Duration::from_secs(30),
        working_directory: None,
        environment_file: None,
        check_user: None,
        max_old_workers: 8,
        reload_wait: Duration::from_secs(10),
        drain_timeout: Duration::from_mins(5),
        first_check_timeout: Duration::from_secs(30),
        verify_interval: Duration::from_secs(10),
        panic_threshold: 30,
        allow_empty: Vec::new(),
    }
}

/// The outside of the loop.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may be so outside")]
struct World {
    pool_loop: PoolLoop,
    now: Instant,
    /// What is on the disk, and what HAProxy runs.
    file: Option<Arc<str>>,
    runs: Option<Arc<str>>,
    running: bool,
    failing_reloads: usize,
    /// The master socket cannot be used.
    is_unasked: bool,
    pid: u32,
    validations: usize,
    /// How often HAProxy was asked about texts that are only tried out.
    trials: usize,
    /// Whether verdicts on them wait until they are released.
    holds_trials: bool,
    held_trials: Vec<Event>,
    /// Something is wrong beside the texts, such as a certificate that is gone.
    refuses_all: bool,
    records: Vec<Record>,
    memory: Memory,
    last_good: Catalogue,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            pool_loop: fresh(Memory::default(), Catalogue::default(), None),
            now: Instant::now(),
            file: None,
            runs: None,
            running: true,
            failing_reloads: 0,
            is_unasked: false,
            pid: 1,
            validations: 0,
            trials: 0,
            holds_trials: false,
            held_trials: Vec::new(),
            refuses_all: false,
            records: Vec::new(),
            memory: Memory::default(),
            last_good: Catalogue::default(),
        };
        world.see();
        world
    }

    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.pool_loop.handle(self.now, event) {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Apply(change) => {
                let text = change.files[0].1.clone();
                self.validations += 1;
                if let Some((problem, line)) = self.refusal(&text) {
                    let lines = line.into_iter().map(|line| ("/h.cfg".into(), line)).collect();
                    return Some(done(DoneResult::Refused { problem, lines }));
                }
                self.check_not_emptied(&text);
                self.file = Some(text);
                self.memory.reload_pending = Some(0);
                let result = self.reload();
                Some(done(DoneResult::Swapped(result)))
            }
            Effect::TryOut { number, files } => {
                self.trials += 1;
                let verdict = Ok(self.refusal(&files[0].1).is_none());
                let tried = Event::Tried { number, verdict };
                if !self.holds_trials {
                    return Some(tried);
                }
                self.held_trials.push(tried);
                None
            }
            Effect::Reload { .. } => {
                let result = self.reload();
                Some(done(DoneResult::Reloaded(result)))
            }
            Effect::Remember(memory) => {
                let reload_pending = self.memory.reload_pending;
                self.memory = Memory { reload_pending, ..memory };
                None
            }
            Effect::RememberCatalogue(catalogue) => {
                self.last_good = Catalogue::clone(&catalogue);
                None
            }
            // HAProxy is told nothing here.
            Effect::Follow(_) | Effect::Tell(_) | Effect::Probe(_) | Effect::RememberBegun(_) => None,
            Effect::ReloadDone => {
                self.memory.reload_pending = None;
                None
            }
            Effect::Record(record) => {
                self.records.push(record);
                None
            }
        }
    }

    fn release_trial(&mut self) {
        let tried = self.held_trials.remove(0);
        self.event(tried);
    }

    fn refusal(&self, text: &str) -> Option<(String, Option<usize>)> {
        if self.refuses_all { Some(("no such file".into(), None)) } else { refusal(text) }
    }

    /// No step takes the last server of a pool away unless a person said so.
    fn check_not_emptied(&self, text: &str) {
        let before = self.file.as_deref().map(pools_of).unwrap_or_default();
        let after = pools_of(text);
        let confirmed = &self.pool_loop.confirmed;
        for (backend, servers) in before.iter() {
            let now = after.get(backend).map_or(0, |servers| servers.len());
            assert!(
                servers.is_empty() || now > 0 || confirmed.contains(&**backend),
                "{backend} emptied by {text:?}"
            );
        }
    }

    fn reload(&mut self) -> ReloadResult {
        if !self.running {
            return ReloadResult::NotRunning;
        }
        if self.is_unasked {
            return ReloadResult::NotBegun("permission denied".into());
        }
        if self.file.as_ref().is_some_and(|file| file.contains("UNSTARTABLE")) {
            return ReloadResult::Failed("cannot bind".into());
        }
        if self.failing_reloads > 0 {
            self.failing_reloads -= 1;
            return ReloadResult::Failed("exit status: 1".into());
        }
        self.pid += 1;
        self.runs.clone_from(&self.file);
        ReloadResult::Ok {
            pid: Some(self.pid),
            took: Duration::from_millis(50),
            left: None,
            observation: None,
        }
    }

    fn see(&mut self) {
        let state = if self.running { HaproxyState::Running } else { HaproxyState::NotRunning };
        let pid = self.running.then_some(self.pid);
        let started = self.running.then_some(1);
        self.event(Event::Seen(Seen { state: Some(state), pid, started, ..Seen::default() }));
    }

    fn instances(&mut self, numbers: &[u8]) {
        self.instances_and_note(numbers, None);
    }

    fn instances_and_note(&mut self, numbers: &[u8], note: Option<&str>) {
        let instances: Vec<Instance> = numbers.iter().copied().map(instance).collect();
        let key = Query::Key { path: "note".into(), datacenter: None };
        let catalogue = Catalogue::from_iter([
            (web(), Answer::Instances(instances.into())),
            (key, Answer::Value(note.map(Arc::from))),
        ]);
        self.event(Event::Catalogue(Arc::new(catalogue)));
    }

    /// Some pass, and some are critical.
    fn healthy_and_critical(&mut self, healthy: &[u8], critical: &[u8]) {
        let critical =
            critical.iter().map(|number| Instance { status: Status::Critical, ..instance(*number) });
        let instances: Vec<Instance> = healthy.iter().copied().map(instance).chain(critical).collect();
        let catalogue = Catalogue::from_iter([(web(), Answer::Instances(instances.into()))]);
        self.event(Event::Catalogue(Arc::new(catalogue)));
    }

    fn source(&mut self, text: &str) {
        self.event(Event::Source { index: 0, text: Ok(text.into()) });
    }

    fn confirm(&mut self) {
        let (reply, _answer) = oneshot::channel();
        self.event(Event::ConfirmEmpty("web".into(), reply));
    }

    /// Lets time pass until nothing more is to come, but for the retries of an edit that stays refused.
    fn settle(&mut self) {
        self.settle_for(40);
    }

    fn settle_for(&mut self, turns: usize) {
        for _ in 0..turns {
            self.see();
            let Some(next) = self.pool_loop.next_look() else { return };
            self.now = self.now.max(next);
            self.event(Event::Timer);
        }
    }

    fn restart(&mut self, source: &str) {
        self.pool_loop = fresh(self.memory.clone(), self.last_good.clone(), self.file.clone());
        self.see();
        self.source(source);
    }

    fn servers(&self) -> Vec<String> {
        let pools = self.runs.as_deref().map(pools_of).unwrap_or_default();
        pools.get("web").into_iter().flat_map(|servers| servers.iter()).cloned().collect()
    }

    fn status(&self) -> crate::status::TemplateStatus {
        self.pool_loop.report().templates.remove(0)
    }
}

/// What HAProxy says against a text, and the line that it names.
fn refusal(text: &str) -> Option<(String, Option<usize>)> {
    // A host that does not resolve, on its own line.
    if let Some(line) = text.lines().position(|line| line.contains("10.0.0.99:")) {
        return Some((format!("/h.cfg:{}: could not resolve address", line + 1), Some(line + 1)));
    }
    if text.contains("BROKEN") {
        return Some(("/h.cfg:2: unknown keyword 'BROKEN'".into(), Some(2)));
    }
    // What its message names no line of.
    let is_nameless = text.contains("10.0.1.") || text.contains("POISON");
    is_nameless.then(|| ("Fatal errors found in configuration".into(), None))
}

/// Instances that HAProxy refuses without saying which.
const NAMELESS: [u8; 2] = [60, 61];

pub(super) fn fresh(memory: Memory, last_good: Catalogue, file: Option<Arc<str>>) -> PoolLoop {
    let mut output = Output::new(template(), OutputKind::Haproxy);
    output.pools = file.as_deref().map(pools_of).unwrap_or_default();
    output.in_force = file;
    PoolLoop::new(String::new(), Some(haproxy()), vec![output], Arc::default(), memory, Arc::new(last_good))
}

pub(super) fn done(result: DoneResult) -> Event {
    Event::Done(Done { result, took: Duration::from_millis(90) })
}

#[test]
fn instances_come_and_go_and_each_change_is_one_reload() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    assert_eq!(world.servers(), ["10.0.0.1:80", "10.0.0.2:80"]);
    world.instances(&[2, 3]);
    assert_eq!(world.servers(), ["10.0.0.2:80", "10.0.0.3:80"]);
    world.instances(&[2, 3]);
    world.settle();
    assert_eq!((world.pool_loop.report().haproxy.reloads, world.validations), (2, 2));
}

#[test]
fn a_refused_edit_leaves_the_last_good_source_fed_with_fresh_instances() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.source(REFUSED);
    assert_eq!(world.servers().len(), 2);
    let error = world.status().error.unwrap();
    assert!(error.contains("/t.hbs") && error.contains("BROKEN"), "{error}");
    world.instances(&[1, 2, 3]);
    assert_eq!(world.servers().len(), 3);
    // Over a restart too.
    world.restart(REFUSED);
    world.instances(&[1, 2, 3, 4]);
    assert_eq!(world.servers().len(), 4);
    // Mended by itself.
    world.source(OTHER);
    assert!(world.runs.as_ref().unwrap().contains("leastconn"));
    assert_eq!(world.status().error, None);
}

#[test]
fn a_refused_edit_is_not_offered_without_end() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.source(REFUSED);
    let before = world.validations;
    for _ in 0..100 {
        world.see();
    }
    assert_eq!(world.validations, before);
}

#[test]
fn an_unusable_edit_changes_nothing_and_says_where() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1]);
    world.source(UNUSABLE);
    let error = world.status().error.unwrap();
    assert!(error.contains("/t.hbs:2") && error.contains("Adress"), "{error}");
    world.instances(&[1, 2]);
    assert_eq!(world.servers().len(), 2);
}

#[test]
fn what_was_refused_is_over_when_it_is_no_longer_offered_and_all_is_in_force() {
    let mut world = World::new();
    let result = |world: &World| world.pool_loop.report().haproxy.last_change.unwrap().result;
    world.source(GOOD);
    world.instances(&[1]);
    world.source(REFUSED);
    world.settle();
    assert_eq!(result(&world), "refused");
    world.source(GOOD);
    assert_eq!(result(&world), "mended");
    // One that is left out is in force as little as before.
    world.instances(&[1, 99]);
    world.settle();
    assert_eq!(result(&world), "refused");
    world.instances(&[1]);
    assert_eq!(result(&world), "mended");
}

#[test]
fn a_first_source_that_cannot_be_used_is_not_said_to_leave_a_good_one() {
    let mut world = World::new();
    world.source(UNUSABLE);
    let said = |world: &World| crate::journal::sentence(world.records.last().unwrap());
    assert!(said(&world).contains("no source of it was good before, so the file stays"), "{}", said(&world));
    assert!(!world.status().last_good);
    world.source(GOOD);
    world.instances(&[1]);
    world.source(UNUSABLE);
    assert!(said(&world).contains("what is in force stays"), "{}", said(&world));
    assert!(world.status().last_good);
}

#[test]
fn a_source_that_is_gone_is_not_taken_for_an_edit() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1]);
    world.records.clear();
    world.event(Event::Source { index: 0, text: Err("/t.hbs: there is no such file".into()) });
    let said: Vec<String> = world.records.iter().map(crate::journal::sentence).collect();
    assert_eq!(said, ["/t.hbs: cannot be used, what is in force stays: there is no such file"]);
}

#[test]
fn most_of_a_pool_that_turn_critical_stay_until_enough_are_healthy_or_a_person_confirms() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2, 3, 4, 5]);
    let validations = world.validations;
    world.healthy_and_critical(&[1], &[2, 3, 4, 5]);
    assert_eq!((world.servers().len(), world.validations), (5, validations));
    assert!(world.records.iter().any(|record| matches!(record, Record::Panic { healthy: 1, known: 5, .. })));
    let pool = &world.pool_loop.report().whole().pools[0];
    assert_eq!((pool.kept.len(), pool.held.as_deref()), (4, Some("panic: 1 of 5 instances are healthy")));
    // Over a restart too, also while Consul has not answered.
    world.restart(GOOD);
    assert!(!world.pool_loop.guard.is_idle());
    world.healthy_and_critical(&[1], &[2, 3, 4, 5]);
    assert_eq!(world.servers().len(), 5);
    world.healthy_and_critical(&[1, 2], &[3, 4, 5]);
    assert_eq!((world.servers().len(), world.pool_loop.guard.is_idle()), (2, true));

    world.instances(&[1, 2, 3, 4, 5]);
    world.healthy_and_critical(&[1], &[2, 3, 4, 5]);
    world.confirm();
    assert_eq!((world.servers().len(), world.pool_loop.confirmed.len()), (1, 0));
    // That was for once.
    world.instances(&[1, 2, 3, 4, 5]);
    world.healthy_and_critical(&[1], &[2, 3, 4, 5]);
    assert_eq!(world.servers().len(), 5);
    // None is healthy any more: what a person confirms then empties the pool.
    world.healthy_and_critical(&[], &[1, 2, 3, 4, 5]);
    assert_eq!(world.servers().len(), 5);
    world.confirm();
    assert_eq!(world.servers().len(), 0);
}

#[test]
fn a_template_that_prints_critical_instances_may_stop_to() {
    let mut world = World::new();
    world.source(&GOOD.replace("\"web\"", "\"web|any\""));
    world.healthy_and_critical(&[1], &[2, 3, 4, 5]);
    assert_eq!(world.servers().len(), 5);
    world.source(GOOD);
    assert_eq!((world.servers().len(), world.pool_loop.guard.is_idle()), (1, true));
}

#[test]
fn a_pool_is_emptied_only_when_a_person_confirms_and_only_once() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.instances(&[]);
    world.settle();
    assert_eq!(world.servers().len(), 2);
    assert!(world.records.iter().any(|record| matches!(record, Record::Kept { .. })));
    // What is kept stays over a restart, also while Consul has not answered.
    world.restart(GOOD);
    assert!(!world.pool_loop.guard.is_idle());
    world.instances(&[]);
    assert_eq!(world.servers().len(), 2);
    world.confirm();
    assert_eq!(world.servers(), Vec::<String>::new());
    world.instances(&[5]);
    world.instances(&[]);
    assert_eq!(world.servers(), ["10.0.0.5:80"]);
}

#[test]
fn a_failed_reload_is_tried_until_it_works_also_after_a_restart() {
    let mut world = World::new();
    world.source(GOOD);
    world.failing_reloads = 3;
    world.instances(&[1]);
    assert!(world.pool_loop.report().haproxy.reload_pending);
    world.restart(GOOD);
    assert!(world.pool_loop.report().haproxy.reload_pending || world.failing_reloads < 2);
    world.instances(&[1]);
    world.settle();
    assert_eq!(world.servers(), ["10.0.0.1:80"]);
    assert!(!world.pool_loop.report().haproxy.reload_pending);
}

#[test]
fn files_are_written_while_haproxy_does_not_run() {
    let mut world = World::new();
    world.running = false;
    world.see();
    world.source(GOOD);
    world.instances(&[1]);
    world.settle();
    assert!(world.file.as_ref().unwrap().contains("10.0.0.1"));
    assert_eq!(world.runs, None);
    world.running = true;
    world.see();
    assert_eq!(world.servers(), ["10.0.0.1:80"]);
}

#[test]
fn a_first_start_over_an_existing_configuration_empties_nothing() {
    let mut world = World::new();
    let file: Arc<str> = "backend web\n  server a 10.9.9.9:80\n".into();
    (world.file, world.runs) = (Some(file.clone()), Some(file.clone()));
    world.pool_loop = fresh(Memory::default(), Catalogue::default(), Some(file));
    world.see();
    world.source(GOOD);
    world.instances(&[]);
    world.settle();
    assert_eq!(world.servers(), ["10.9.9.9:80"]);
    assert!(world.pool_loop.report().haproxy.held_back.unwrap().contains("web"));
    world.instances(&[1]);
    assert_eq!(world.servers(), ["10.0.0.1:80"]);
    assert_eq!(world.pool_loop.report().haproxy.held_back, None);
}

#[test]
fn an_edit_that_haproxy_cannot_start_gives_way_to_the_last_good_source() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.source(UNSTARTABLE);
    assert!(world.status().error.unwrap().contains("cannot bind"));
    world.settle_for(5);
    world.instances(&[1, 2, 3]);
    world.settle_for(5);
    assert_eq!(world.servers().len(), 3);
    assert!(!world.pool_loop.report().haproxy.reload_pending);
}

#[test]
fn an_edit_is_not_to_blame_for_a_reload_that_could_not_be_asked_for() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.is_unasked = true;
    world.source(OTHER);
    let report = world.pool_loop.report();
    assert_eq!((world.status().error, report.haproxy.reload_pending), (None, true));
    assert!(report.haproxy.last_reload.unwrap().error.unwrap().contains("permission denied"));
    world.is_unasked = false;
    world.settle_for(5);
    assert!(world.runs.as_ref().unwrap().contains("leastconn"));
}

#[test]
fn an_edit_that_waits_for_a_key_leaves_membership_alive() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.source(KEYED);
    assert_eq!(world.status().state, crate::status::TemplateState::Waiting);
    world.instances(&[1, 2, 3]);
    assert_eq!(world.servers().len(), 3);
    world.instances_and_note(&[1, 2, 3], Some("hello"));
    assert!(world.runs.as_ref().unwrap().contains("hello"));
}

#[test]
fn a_deleted_key_keeps_its_value_through_every_change() {
    let mut world = World::new();
    world.source(KEYED);
    world.instances_and_note(&[1], Some("hello"));
    for last in 2..6 {
        world.instances(&(1..=last).collect::<Vec<u8>>());
        assert_eq!(world.servers().len(), usize::from(last));
    }
    world.restart(KEYED);
    world.instances(&[1, 2]);
    assert_eq!(world.servers().len(), 2);
    assert!(world.runs.as_ref().unwrap().contains("hello"));
}

#[test]
fn a_template_that_was_cut_off_empties_nothing_until_a_person_confirms() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.source("frontend f\n");
    world.settle_for(3);
    assert_eq!(world.servers().len(), 2);
    assert!(world.status().error.unwrap().contains("confirm-empty"));
    assert!(world.pool_loop.guard.is_idle());
    world.confirm();
    world.settle_for(3);
    assert_eq!(world.runs.as_deref(), Some("frontend f\n"));
}

#[test]
fn an_instance_that_haproxy_refuses_is_left_out_alone() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.instances(&[1, 2, 3, 99]);
    assert_eq!(world.servers(), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    let left_out = world.pool_loop.report().haproxy.left_out;
    assert_eq!(left_out.iter().map(|left| left.instance.as_str()).collect::<Vec<_>>(), ["web-99"]);
    assert!(left_out[0].reason.contains("resolve"), "{left_out:?}");
    world.instances(&[1, 2, 3]);
    assert!(world.pool_loop.report().haproxy.left_out.is_empty());
}

#[test]
fn instances_that_no_message_names_are_found_and_the_others_go_on() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 2]);
    world.instances(&[1, 2, 3, 4, 5, 6, 7, 60, 61]);
    assert_eq!(world.servers().len(), 7);
    let left_out = world.pool_loop.report().haproxy.left_out;
    assert_eq!(left_out.iter().map(|left| left.instance.as_str()).collect::<Vec<_>>(), ["web-60", "web-61"]);
    assert!(left_out[0].reason.contains("Fatal errors"), "{left_out:?}");
    // Seven suspects: 2 log2 8 + 3.
    assert!(world.trials <= 9, "{}", world.trials);
    // Left out as long as they are registered so; no search for what is known.
    let trials = world.trials;
    world.instances(&[1, 2, 3, 60, 61]);
    assert_eq!((world.servers().len(), world.trials), (3, trials));
    world.instances(&[1, 2, 3]);
    assert!(world.pool_loop.report().haproxy.left_out.is_empty());
}

#[test]
fn at_a_first_start_an_instance_that_no_message_names_is_left_out_too() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1, 60, 2, 3]);
    assert_eq!(world.servers(), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
}

#[test]
fn a_refused_last_instance_does_not_empty_its_pool() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1]);
    world.instances(&[60]);
    assert_eq!(world.servers(), ["10.0.0.1:80"]);
    assert!(!world.pool_loop.guard.is_idle());
    assert_eq!(world.pool_loop.report().haproxy.left_out[0].instance, "web-60");
}

#[test]
fn a_key_that_haproxy_refuses_keeps_its_value_and_membership_goes_on() {
    let mut world = World::new();
    world.source(KEYED);
    world.instances_and_note(&[1], Some("hello"));
    world.instances_and_note(&[1, 2], Some("POISON"));
    assert_eq!(world.servers().len(), 2);
    assert!(world.runs.as_ref().unwrap().contains("hello"));
    assert_eq!(world.pool_loop.report().haproxy.left_out[0].service, "key note");
    world.instances_and_note(&[1, 2, 3], Some("POISON"));
    assert_eq!(world.servers().len(), 3);
    world.instances_and_note(&[1, 2, 3], Some("mended"));
    assert!(world.runs.as_ref().unwrap().contains("mended"));
    assert!(world.pool_loop.report().haproxy.left_out.is_empty());
}

/// What Consul said before is not known any more: nothing can stand for the key.
#[test]
fn a_section_that_haproxy_refuses_stays_as_it_was_and_the_others_go_on() {
    let mut world = World::new();
    world.source(SECTIONS);
    world.instances_and_note(&[1], Some("hello"));
    world.last_good = Catalogue::default();
    world.restart(SECTIONS);
    world.instances_and_note(&[1, 2], Some("POISON"));
    assert_eq!(world.servers().len(), 2);
    assert!(world.runs.as_ref().unwrap().contains("hello"));
    let left_out = world.pool_loop.report().haproxy.left_out;
    assert_eq!(left_out[0].service, "section backend note");
    // Tried again after some minutes, and found again.
    let (trials, before) = (world.trials, world.now);
    world.settle_for(1);
    assert!(world.trials > trials && world.now >= before + BANNED);
    assert!(world.runs.as_ref().unwrap().contains("hello"));
    world.instances_and_note(&[1, 2, 3], Some("mended"));
    assert!(world.runs.as_ref().unwrap().contains("mended"));
    assert_eq!(world.servers().len(), 3);
    assert!(world.pool_loop.report().haproxy.left_out.is_empty());
}

#[test]
fn where_nothing_helps_the_last_good_stays_and_nothing_is_searched_twice() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1]);
    world.refuses_all = true;
    world.instances(&[1, 2]);
    // Neither without the newcomer nor with the sections as they were.
    assert_eq!((world.servers().len(), world.trials), (1, 2));
    let validations = world.validations;
    world.settle_for(4);
    assert!(world.validations > validations, "it is offered again");
    assert_eq!((world.servers().len(), world.trials), (1, 2));
    world.refuses_all = false;
    world.settle_for(1);
    assert_eq!(world.servers().len(), 2);
}

#[test]
fn a_search_ends_where_nobody_is_interested_in_it_any_more() {
    let mut world = World::new();
    world.source(GOOD);
    world.instances(&[1]);
    world.holds_trials = true;
    world.instances(&[1, 2, 60]);
    assert_eq!(world.held_trials.len(), 1);
    // News that are accepted, and then a late verdict.
    world.instances(&[1, 2]);
    assert_eq!(world.servers().len(), 2);
    world.release_trial();
    assert_eq!((world.held_trials.len(), world.servers().len()), (0, 2));
    assert!(world.pool_loop.report().haproxy.left_out.is_empty());
    // News that are refused too do not begin it anew, and its culprit is left out of them.
    world.instances(&[1, 2, 3, 60]);
    world.instances(&[1, 2, 3, 4, 60]);
    assert_eq!(world.held_trials.len(), 1);
    while !world.held_trials.is_empty() {
        world.release_trial();
    }
    assert_eq!(world.servers().len(), 4);
}

#[test]
fn what_is_on_the_disk_is_reloaded_although_a_newer_text_is_refused() {
    let mut world = World::new();
    world.source(REFUSED.replace("BROKEN", "fine").as_str());
    world.instances(&[1]);
    world.failing_reloads = 1;
    world.instances(&[1, 2]);
    assert!(world.pool_loop.report().haproxy.reload_pending);
    // The next text is refused as a whole: nobody's line.
    world.pool_loop.outputs[0].good = Some(output::parse("/t.hbs", REFUSED.into()).unwrap());
    world.pool_loop.outputs[0].edit = None;
    world.settle_for(3);
    assert_eq!(world.servers().len(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Instances(Vec<u8>),
    /// The first so many pass, the others are critical.
    Critical(Vec<u8>, usize),
    Source(&'static str),
    Confirm,
    FailReloads(usize),
    Running(bool),
    Restart,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop::collection::btree_set(prop::sample::select(vec![1_u8, 2, 3, 60, 61, 99]), 0..5)
            .prop_map(|set| Step::Instances(set.into_iter().collect())),
        6 => prop::collection::btree_set(1_u8..6, 0..5).prop_map(|set| Step::Instances(set.into_iter().collect())),
        4 => (prop::collection::btree_set(1_u8..6, 0..6), 0_usize..6)
            .prop_map(|(set, healthy)| Step::Critical(set.into_iter().collect(), healthy)),
        3 => prop::sample::select(vec![GOOD, OTHER, REFUSED, UNUSABLE, UNSTARTABLE, KEYED, ""]).prop_map(Step::Source),
        1 => Just(Step::Confirm),
        1 => (1_usize..4).prop_map(Step::FailReloads),
        1 => any::<bool>().prop_map(Step::Running),
        1 => Just(Step::Restart),
        1 => Just(Step::Settle),
    ]
}

proptest! {
    /// Whatever happens, no pool is emptied unasked (checked at every write), and when things are well again what
    /// is wanted comes into force, and then nothing more is done.
    #[test]
    fn whatever_happens_the_wanted_comes_into_force_in_the_end(steps in prop::collection::vec(step(), 0..30)) {
        let mut world = World::new();
        let mut source = GOOD;
        world.source(source);
        for step in steps {
            match step {
                Step::Instances(numbers) => world.instances(&numbers),
                Step::Critical(numbers, healthy) => {
                    let (healthy, critical) = numbers.split_at(healthy.min(numbers.len()));
                    world.healthy_and_critical(healthy, critical);
                }
                Step::Source(text) => { source = text; world.source(text); }
                Step::Confirm => world.confirm(),
                Step::FailReloads(times) => world.failing_reloads = times,
                Step::Running(running) => { world.running = running; world.see(); }
                Step::Restart => world.restart(source),
                Step::Settle => world.settle(),
            }
        }
        world.running = true;
        world.source(OTHER);
        world.instances(&[7, 8, 9, 10, 11, 12]);
        world.settle();
        prop_assert_eq!(world.servers().len(), 6, "{:?}", world.pool_loop.report());
        prop_assert!(world.runs.as_ref().unwrap().contains("leastconn"));
        let report = world.pool_loop.report();
        prop_assert!(!report.haproxy.reload_pending);
        prop_assert_eq!(world.status().error, None);
        let validations = world.validations;
        world.settle();
        prop_assert_eq!(world.validations, validations);
    }
}
