//! The loop on the way without a reload, against a model of the worker: whatever comes, in whatever order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::SystemTime;

use proptest::prelude::*;
use weir_haproxy::{Level, Look};
use weir_pools::Status;
use weir_pools::plan::{Admin, Can};

use super::model::Worker;
use super::observation::{ConfigFile, Newcomer};
use super::tell::{Answer, Heard, Tell};
use super::tests::{done, fresh, instance, pools_of, web};
use super::*;

const POOL: &str = "defaults\n  mode http\nbackend web\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}} id {{ServerId}} check\n{{/each}}\n";
const FIRST: [u8; 2] = [1, 2];

/// The outside of the loop.
struct World {
    pool_loop: PoolLoop,
    now: Instant,
    file: Arc<str>,
    modified: SystemTime,
    worker: Worker,
    process: Process,
    /// Before so many of the next conversations somebody else reloads.
    surprises: usize,
    /// How often weir reloaded.
    reloads: usize,
    commands: Vec<String>,
    memory: Memory,
    begun: Begun,
    last_good: Catalogue,
}

impl World {
    /// Two instances are in force.
    fn new() -> Self {
        let now = SystemTime::now();
        let started = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut world = Self {
            pool_loop: fresh(Memory::default(), Catalogue::default(), None),
            now: Instant::now(),
            file: "".into(),
            modified: now,
            worker: Worker::default(),
            process: Process { node: 0, pid: 1, started },
            surprises: 0,
            reloads: 0,
            commands: Vec::new(),
            memory: Memory::default(),
            begun: Begun::default(),
            last_good: Catalogue::default(),
        };
        world.restart();
        world.instances(&FIRST.map(instance));
        world.settle();
        assert_eq!((world.reloads, world.ready()), (1, servers(&FIRST)));
        world
    }

    fn event(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.pool_loop.handle(self.now, event) {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Apply(change) => {
                self.write(&change);
                let result = self.reload(change.restore);
                Some(done(DoneResult::Swapped(result)))
            }
            Effect::Reload { restore, .. } => {
                let result = self.reload(restore);
                Some(done(DoneResult::Reloaded(result)))
            }
            Effect::Follow(change) => {
                self.write(&change);
                Some(Event::Followed(Done { result: DoneResult::Followed, took: Duration::ZERO }))
            }
            Effect::Tell(tell) => Some(done(DoneResult::Told(Ok(self.tell(&tell))))),
            Effect::Probe(addresses) => {
                Some(Event::Probed(addresses.into_iter().map(|address| (address, true)).collect()))
            }
            Effect::Remember(memory) => {
                self.memory = memory;
                None
            }
            Effect::RememberBegun(begun) => {
                self.begun = begun;
                None
            }
            Effect::RememberCatalogue(catalogue) => {
                self.last_good = Catalogue::clone(&catalogue);
                None
            }
            Effect::TryOut { .. } => panic!("nothing is refused here"),
            Effect::ReloadDone | Effect::Record(_) => None,
        }
    }

    fn write(&mut self, change: &Change) {
        self.file = change.files[0].1.clone();
        self.modified = SystemTime::now();
    }

    fn tell(&mut self, tell: &Tell) -> Heard {
        if self.surprises > 0 {
            self.surprises -= 1;
            self.start_worker();
        }
        if let Some(begun) = &tell.begun {
            self.begun = Begun::clone(begun);
        }
        if tell.worker.is_some_and(|worker| worker != self.process) {
            return Heard::AnotherWorker(self.process.pid);
        }
        // A step that others depend on and that did not work keeps those from being sent.
        let mut failed: Vec<&weir_pools::plan::Step> = Vec::new();
        let mut replies = vec![None; tell.steps.len()];
        let order = |is_conditional: bool| {
            tell.steps.iter().enumerate().filter(move |(_, step)| step.is_conditional == is_conditional)
        };
        for (at, step) in order(false).chain(order(true)) {
            if failed.iter().any(|failed| step.depends_on(failed)) {
                continue;
            }
            let reply = self.execute(&step.command);
            if !step.expects.accepts(&reply) {
                failed.push(step);
            }
            replies[at] = Some(reply);
        }
        let observation = self.look(&tell.look, tell.is_new);
        Heard::Answer(Box::new(Answer { replies, observation }))
    }

    /// No command takes the last server out of traffic.
    fn execute(&mut self, command: &str) -> String {
        let before = self.worker.serving();
        let reply = self.worker.execute(command);
        let after = self.worker.serving();
        assert!(before == 0 || after > 0, "`{command}` empties the pool: {:?}", self.commands);
        self.commands.push(command.to_owned());
        reply
    }

    fn look(&self, look: &Look, is_new: bool) -> Observation {
        let file = ConfigFile {
            path: "/h.cfg".into(),
            real: "/h.cfg".into(),
            output: Some(0),
            text: self.file.clone(),
            modified: self.modified,
        };
        let newcomer = Newcomer { files: vec![file], level: Level::Admin, started_with: None };
        let can = Can { version: (2, 6, 12) };
        let newcomer = is_new.then_some(newcomer);
        let (process, look, observed) = (self.process, look.clone(), self.worker.observed());
        Observation { process, can, look, observed, newcomer }
    }

    fn reload(&mut self, restore: Option<Vec<weir_pools::plan::Step>>) -> ReloadResult {
        self.reloads += 1;
        let left = Some(Box::new(self.look(&Look::All, false)));
        self.start_worker();
        for step in restore.into_iter().flatten() {
            self.execute(&step.command);
        }
        let observation = Some(Box::new(self.look(&Look::All, true)));
        ReloadResult::Ok { pid: Some(self.process.pid), took: Duration::from_millis(50), left, observation }
    }

    fn start_worker(&mut self) {
        let refuses = self.worker.refuses;
        self.worker = Worker { refuses, ..Worker::started(&self.file) };
        self.process.pid += 1;
        self.process.started += 3;
    }

    fn see(&mut self) {
        let state = Some(HaproxyState::Running);
        let (pid, started) = (Some(self.process.pid), Some(self.process.started));
        self.event(Event::Seen(Seen { state, pid, started, tells_start: true, ..Seen::default() }));
    }

    fn instances(&mut self, instances: &[weir_pools::Instance]) {
        let catalogue = Catalogue::from_iter([(web(), weir_pools::Answer::Instances(instances.into()))]);
        self.event(Event::Catalogue(Arc::new(catalogue)));
    }

    fn restart(&mut self) {
        let file = (!self.file.is_empty()).then(|| self.file.clone());
        self.pool_loop =
            fresh(self.memory.clone(), self.last_good.clone(), file).with_commands(self.begun.clone());
        self.see();
        self.event(Event::Source { index: 0, text: Ok(POOL.into()) });
    }

    /// Time passes, with some looks.
    fn pass(&mut self, turns: usize) {
        for _ in 0..turns {
            self.worker.tick();
            self.see();
            let next = self.pool_loop.next_look().expect("it verifies now and then");
            self.now = self.now.max(next);
            self.event(Event::Timer);
        }
    }

    fn settle(&mut self) {
        self.pass(60);
    }

    /// The servers in traffic, by name.
    fn ready(&self) -> BTreeSet<String> {
        let ready = self.worker.servers.iter().filter(|(_, server)| server.admin == Admin::Ready);
        ready.map(|((_, name), _)| name.clone()).collect()
    }
}

fn servers(numbers: &[u8]) -> BTreeSet<String> {
    numbers.iter().map(|number| instance(*number).server()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    /// Those are registered; the first so many pass, the others are critical.
    Instances(Vec<u8>, usize),
    RefuseAdds(usize),
    RefuseDeletions(usize),
    /// The sampler sees it before anything else happens.
    SomebodyReloads,
    /// The sampler sees it late: other things happen first.
    SomebodyReloadsUnseen,
    /// Somebody reloads just before each of so many conversations.
    SomebodyIsQuicker(usize),
    Restart,
    Pass(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::collection::btree_set(1_u8..7, 0..6), 3_usize..9)
            .prop_map(|(set, healthy)| Step::Instances(set.into_iter().collect(), healthy)),
        2 => (prop::collection::btree_set(1_u8..7, 0..6), 0_usize..6)
            .prop_map(|(set, healthy)| Step::Instances(set.into_iter().collect(), healthy)),
        1 => (1_usize..3).prop_map(Step::RefuseAdds),
        1 => (1_usize..5).prop_map(Step::RefuseDeletions),
        1 => Just(Step::SomebodyReloads),
        2 => Just(Step::SomebodyReloadsUnseen),
        1 => (1_usize..4).prop_map(Step::SomebodyIsQuicker),
        1 => Just(Step::Restart),
        4 => (1_usize..8).prop_map(Step::Pass),
    ]
}

impl World {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Instances(numbers, healthy) => {
                let status = |at: usize| if at < *healthy { Status::Passing } else { Status::Critical };
                let each = numbers.iter().enumerate();
                let instances: Vec<_> = each
                    .map(|(at, number)| weir_pools::Instance { status: status(at), ..instance(*number) })
                    .collect();
                self.instances(&instances);
            }
            Step::RefuseAdds(times) => self.worker.refuses.0 = *times,
            Step::RefuseDeletions(times) => self.worker.refuses.1 = *times,
            Step::SomebodyReloads => {
                self.start_worker();
                self.see();
            }
            Step::SomebodyReloadsUnseen => self.start_worker(),
            Step::SomebodyIsQuicker(times) => self.surprises = *times,
            Step::Restart => self.restart(),
            Step::Pass(turns) => self.pass(*turns),
        }
    }
}

proptest! {
    // Each case is some hundred turns.
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever happens, no command empties the pool (checked at each), and in the end the worker and the file have
    /// what Consul has, nothing more is sent, and HAProxy is not reloaded but for a server that it did not take.
    #[test]
    fn whatever_happens_commands_bring_about_what_is_wanted(
        steps in prop::collection::vec(step(), 0..25),
        some in prop::collection::btree_set(1_u8..7, 0..6),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.worker.refuses = (0, 0);
        // Enough for whatever is kept to go.
        let last: Vec<u8> = some.into_iter().chain(7..13).collect();
        world.take(&Step::Instances(last.clone(), last.len()));
        world.settle();
        let names: BTreeSet<String> = world.worker.servers.keys().map(|(_, name)| name.clone()).collect();
        prop_assert_eq!(&names, &servers(&last), "{:?}", &world.commands);
        prop_assert_eq!(world.ready(), names);
        let file: BTreeSet<String> =
            pools_of(&world.file).get("web").into_iter().flat_map(|pool| pool.iter().cloned()).collect();
        prop_assert_eq!(file, servers(&last));
        let may_reload = steps.iter().any(|step| matches!(step, Step::RefuseAdds(_)));
        prop_assert!(may_reload || world.reloads == 1, "{} reloads", world.reloads);
        let sent = (world.commands.len(), world.reloads);
        world.settle();
        prop_assert_eq!((world.commands.len(), world.reloads), sent);
    }
}

/// A reload by somebody else is not known before the sampler sees it; commands find out.
#[test]
fn a_worker_that_was_not_planned_for_is_told_nothing_and_looked_at_at_once() {
    let mut world = World::new();
    world.instances(&[1, 2, 3].map(instance));
    world.settle();
    // It loads the file of before.
    let third = instance(3).server();
    let before = world.file.split_inclusive('\n').filter(|line| !line.contains(&third)).collect::<String>();
    world.file = before.into();
    world.start_worker();
    let sent = world.commands.len();
    world.instances(&[3, 4].map(instance));
    // In the same turn, and nothing before it.
    let add = format!("add server web/{third} ");
    assert!(world.commands[sent].starts_with(&add), "{:?}", &world.commands[sent..]);
    world.settle();
    assert_eq!((world.ready(), world.reloads), (servers(&[3, 4]), 1));
}

/// Somebody reloads while the file is written: the worker may have loaded the text before, in which a server was disabled.
#[test]
fn what_a_worker_loaded_just_before_the_file_was_written_is_nobodys_doing() {
    let minute = Duration::from_mins(1);
    for (before, in_traffic) in [(Duration::ZERO, servers(&FIRST)), (minute, servers(&[1]))] {
        let mut world = World::new();
        world.start_worker();
        let (_, server) =
            world.worker.servers.iter_mut().find(|((_, name), _)| *name == instance(2).server()).unwrap();
        server.admin = Admin::Maint;
        world.modified = SystemTime::UNIX_EPOCH + Duration::from_secs(world.process.started) - before;
        world.settle();
        assert_eq!((world.ready(), world.reloads), (in_traffic, 1), "written {before:?} before");
    }
}

impl World {
    /// The worker has a server in maintenance, whoever did it.
    fn take_out(&mut self, number: u8) {
        let is_it = |name: &str| name == instance(number).server();
        let found = self.worker.servers.iter_mut().find(|((_, name), _)| is_it(name));
        found.unwrap().1.admin = Admin::Maint;
    }
}

/// Weir was ended, or killed, after it had brought the server into traffic.
#[test]
fn what_a_person_sets_while_weir_is_away_is_theirs() {
    let mut world = World::new();
    world.instances(&[1, 2, 3].map(instance));
    world.settle();
    world.take_out(3);
    world.restart();
    world.instances(&[1, 2, 3].map(instance));
    world.settle();
    assert_eq!((world.ready(), world.reloads), (servers(&FIRST), 1));
}

/// The file was written, and weir ended before HAProxy was reloaded: by `weir render --once`, or by a crash.
#[test]
fn what_a_worker_lacks_of_a_file_that_waits_for_its_reload_is_nobodys_doing() {
    for is_pending in [true, false] {
        let mut world = World::new();
        world.take_out(2);
        world.memory.reload_pending = is_pending.then_some(world.process.started + 10);
        world.restart();
        world.instances(&FIRST.map(instance));
        world.settle();
        let in_traffic = if is_pending { servers(&FIRST) } else { servers(&[1]) };
        assert_eq!(world.ready(), in_traffic, "a reload is pending: {is_pending}");
    }
}

/// Weir was killed before it had brought the worker to what the file says.
#[test]
fn that_a_worker_may_have_loaded_the_text_before_is_known_over_a_restart() {
    let mut world = World::new();
    world.take_out(2);
    world.begun.is_unsure = true;
    world.restart();
    world.instances(&FIRST.map(instance));
    world.settle();
    assert_eq!((world.ready(), world.reloads), (servers(&FIRST), 1));
}

/// Where that never ends it is not talked on and on.
#[test]
fn a_worker_that_is_always_another_is_waited_with() {
    let mut world = World::new();
    world.surprises = 1_000;
    world.instances(&[1, 2, 3].map(instance));
    assert!(world.surprises > 980, "{} conversations", 1_000 - world.surprises);
    world.surprises = 0;
    world.settle();
    assert_eq!(world.ready(), servers(&[1, 2, 3]));
    // It cannot be told, so it is reloaded.
    assert_eq!(world.reloads, 2);
}

/// What the property above rests on: a server that HAProxy does not take is a reload, once.
#[test]
fn a_server_that_is_not_taken_is_a_reload() {
    let mut world = World::new();
    world.worker.refuses.0 = 9;
    world.instances(&[1, 2, 3].map(instance));
    world.settle();
    assert_eq!((world.ready(), world.reloads), (servers(&[1, 2, 3]), 2));
    let sent: BTreeMap<&str, usize> = world.commands.iter().fold(BTreeMap::new(), |mut sent, command| {
        *sent.entry(command.as_str()).or_default() += 1;
        sent
    });
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
}
