//! The loop without its runner: when it looks, when it asks, and when it must not.

use std::collections::BTreeMap;

use std::time::Duration;

use serde_json::{Value, json};
use weir_nomad::{Allocation, GroupScale, Job, JobScale, ScaleEvent, ScaleRequest};
use weir_pools::{Answer, Catalogue, Instance, Query, Status, Weights};
use weir_scaling::{Action, BackendSample, Process, RawPolicy, Sample, ServerSample, ServerState};

use super::*;

mod zero;

const ALLOCATIONS: [&str; 2] =
    ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"];

const CHECK: &str = r#"[{"load": [{"strategy": [{"concurrency": [{}]}]}]}]"#;

struct World {
    scale_loop: ScaleLoop,
    now: Instant,
    time: SystemTime,
    index: u64,
    count: u64,
    sessions: u64,
    records: Vec<Record>,
    asked: Vec<Question>,
    notices: Vec<Notice>,
    plans: Vec<Plan>,
    deployment: Option<weir_nomad::Deployment>,
    room: Option<u64>,
    events: Vec<ScaleEvent>,
    kind: &'static str,
    /// How many there are.
    instances: usize,
    /// The policy's `min`.
    min: u64,
    notes: Vec<Noting>,
    strikes: Vec<Striking>,
}

impl World {
    /// A leader over one job of two instances with five slots each.
    fn leading() -> Self {
        let mut world = Self {
            scale_loop: ScaleLoop::default(),
            now: Instant::now(),
            time: SystemTime::now(),
            index: 40,
            count: 2,
            sessions: 1,
            records: Vec::new(),
            asked: Vec::new(),
            notices: Vec::new(),
            plans: Vec::new(),
            deployment: None,
            room: None,
            events: Vec::new(),
            kind: "service",
            instances: 2,
            min: 2,
            notes: Vec::new(),
            strikes: Vec::new(),
        };
        world.policies(Reach::Ok);
        world.event(Event::Catalogue(Arc::new(catalogue())));
        world.leads_for(Duration::from_hours(1));
        world
    }

    fn policies(&mut self, reach: Reach) {
        self.policy(reach, json!({"cooldown": "10s", "check": CHECK.parse::<Value>().unwrap()}));
    }

    fn policy(&mut self, reach: Reach, policy: Value) {
        let raw = RawPolicy {
            id: "p".into(),
            namespace: "default".into(),
            job: "web".into(),
            group: "app".into(),
            min: self.min,
            max: 20,
            enabled: true,
            modify_index: 7,
            policy,
        };
        let policies = Policies { reach, policies: BTreeMap::from([("p".into(), raw)]) };
        self.event(Event::Policies(Arc::new(policies)));
    }

    fn leads_for(&mut self, time: Duration) {
        let until = (self.now + time).into();
        self.event(Event::Leadership(Leadership::Leading { session: "s".into(), until }));
    }

    /// One second with a sample. Returns what the loop asked for, looks answered.
    fn second(&mut self) -> Vec<ScaleRequest> {
        self.now += Duration::from_secs(1);
        self.time += Duration::from_secs(1);
        let sample = self.sample();
        self.event(Event::Sampled(Reading { at: self.time, samples: vec![sample], missing: Vec::new() }))
    }

    fn seconds(&mut self, seconds: usize) -> Vec<ScaleRequest> {
        (0..seconds).flat_map(|_| self.second()).collect()
    }

    fn event(&mut self, event: Event) -> Vec<ScaleRequest> {
        let mut events = vec![event];
        let mut asked = Vec::new();
        while let Some(event) = events.pop() {
            for effect in self.scale_loop.handle(self.now, self.time, event) {
                match effect {
                    Effect::Look { job, plan } => {
                        let room = plan.clone().map(|plan| self.room(plan));
                        self.plans.extend(plan);
                        events.push(Event::Looked { job, look: Box::new(Ok(Look { room, ..self.look() })) });
                    }
                    Effect::Scale(scale) => asked.push(scale.request),
                    Effect::Ask(question) => self.asked.push(question),
                    Effect::Record(record) => self.records.push(record),
                    Effect::Notify(notice) => self.notices.push(notice),
                    Effect::Note(noting) => self.notes.push(noting),
                    Effect::Strike(striking) => self.strikes.push(striking),
                }
            }
        }
        asked
    }

    fn answer(&mut self, request: ScaleRequest, result: Result<(), Error>) -> Vec<ScaleRequest> {
        let asked = Asked { policy: "p".into(), request, from: self.count, supersede: false };
        let outcome = |()| ScaleOutcome {
            eval_id: String::new(),
            job_modify_index: self.index,
            warnings: String::new(),
        };
        self.event(Event::Scaled { asked: Box::new(asked), result: result.map(outcome) })
    }

    fn room(&self, plan: Plan) -> Room {
        Room { finds: self.room.map_or(plan.count, |room| room.min(plan.count)), plan }
    }

    fn look(&self) -> Look {
        let allocation = |id: &str| Allocation {
            id: id.into(),
            name: "web.app[0]".into(),
            index: Some(0),
            namespace: "default".into(),
            job: "web".into(),
            group: "app".into(),
            client_status: "running".into(),
            desired_status: "run".into(),
            create_time: self.time,
            deployment_healthy: None,
            canary: false,
            migrating: false,
        };
        let group = GroupScale {
            desired: self.count,
            placed: self.count,
            running: self.count,
            events: self.events.clone(),
        };
        Look {
            job: Job {
                id: "web".into(),
                job_modify_index: self.index,
                status: "running".into(),
                stop: false,
                kind: self.kind.into(),
                groups: BTreeMap::from([("app".into(), self.count)]),
                settles: BTreeMap::new(),
            },
            scale: JobScale { stopped: false, groups: BTreeMap::from([("app".into(), group)]) },
            allocations: ALLOCATIONS.into_iter().take(self.instances).map(allocation).collect(),
            deployment: self.deployment.clone(),
            room: None,
        }
    }

    fn sample(&self) -> Sample {
        let server = |port: u16| ServerSample {
            name: format!("127.0.0.1:{port}"),
            address: Some(([127, 0, 0, 1], port).into()),
            state: ServerState::Up,
            sessions: self.sessions / 2,
            maxconn: Some(5),
            ..ServerSample::default()
        };
        let backend = BackendSample {
            name: "web".into(),
            sessions: self.sessions,
            servers: [1001, 1002].into_iter().take(self.instances).map(server).collect(),
            ..BackendSample::default()
        };
        let process = Process { node: 0, pid: 1, started: 1 };
        Sample { at: self.time, process, leaving: false, backends: vec![backend] }
    }
}

fn catalogue() -> Catalogue {
    let instance = |(number, id): (u16, &str)| Instance {
        id: format!("_nomad-task-{id}-group-app-web-http"),
        name: "web".into(),
        address: "127.0.0.1".into(),
        port: 1001 + number,
        tags: vec![],
        service_meta: BTreeMap::new(),
        service_tagged_addresses: BTreeMap::new(),
        weights: Weights::default(),
        node: "n1".into(),
        node_id: String::new(),
        node_address: "127.0.0.1".into(),
        node_meta: BTreeMap::new(),
        node_tagged_addresses: BTreeMap::new(),
        datacenter: "dc1".into(),
        status: Status::Passing,
        checks: vec![],
    };
    let instances: Vec<Instance> = (0..).zip(ALLOCATIONS).map(instance).collect();
    let query = Query::Service { name: "web".into(), datacenter: None };
    Catalogue::from_iter([(query, Answer::Instances(instances.into()))])
}

fn blocked() -> Error {
    Error::DeploymentActive { what: "web".into() }
}

#[test]
fn a_rise_is_asked_for_once_and_fenced_with_the_index_it_was_decided_from() {
    let mut world = World::leading();
    assert!(world.seconds(5).is_empty());
    world.sessions = 20;
    world.index = 41;
    let asked = world.seconds(6);
    assert_eq!(asked.len(), 1, "{asked:?}");
    // 20 in the system on slots of 5 that should be 0.8 busy; the first seconds still average with the calm
    // before.
    assert!((3..=5).contains(&asked[0].count), "{asked:?}");
    assert_eq!(asked[0].job_modify_index, 41);
    assert!(asked[0].message.contains("load") && !asked[0].meta.is_empty());
}

#[test]
fn after_an_answer_the_job_is_read_again_before_anything_else_is_asked() {
    let mut world = World::leading();
    world.sessions = 20;
    let request = world.seconds(6).remove(0);
    world.count = request.count;
    world.index = 50;
    assert!(world.answer(request, Ok(())).is_empty());
    let scaled = |record: &&Record| matches!(record, Record::Scaled { .. });
    assert_eq!(world.records.iter().filter(scaled).count(), 1);
    for request in world.seconds(5) {
        assert_eq!(request.job_modify_index, 50);
    }
}

#[test]
fn a_deployment_under_way_is_waited_for_and_recorded_once() {
    let mut world = World::leading();
    world.sessions = 20;
    world.seconds(4);
    let mut request = world.scale_loop.policies["p"].last.as_ref().map(scale::request).unwrap();
    for _ in 0..5 {
        assert!(world.answer(request, Err(blocked())).is_empty(), "asked again at once");
        request = world.seconds(3).remove(0);
    }
    let refused = world.records.iter().filter(|record| matches!(record, Record::ScaleFailed { .. })).count();
    assert!(refused <= 2, "{:?}", world.records);
}

#[test]
fn a_conflict_is_decided_again_from_a_new_reading() {
    let mut world = World::leading();
    world.sessions = 20;
    let request = world.seconds(6).remove(0);
    world.index = 99;
    let conflict = Error::IndexConflict { what: "web".into(), expected: 40, found: 99 };
    let again = world.answer(request, Err(conflict));
    let again = if again.is_empty() { world.seconds(2) } else { again };
    assert_eq!(again[0].job_modify_index, 99);
}

#[test]
fn a_job_is_read_as_soon_as_an_unknown_allocation_registers() {
    let mut world = World::leading();
    world.seconds(3);
    let looks =
        |effects: Vec<Effect>| effects.iter().filter(|effect| matches!(effect, Effect::Look { .. })).count();
    let query = Query::Service { name: "web".into(), datacenter: None };
    let mut instances = catalogue().instances(&query).unwrap().to_vec();
    let mut new = instances[0].clone();
    new.id = "_nomad-task-00000000-0000-0000-0000-000000000009-group-app-web-http".into();
    new.port = 1009;
    instances.push(new);
    let now = Arc::new(Catalogue::from_iter([(query, Answer::Instances(instances.into()))]));
    let event = || Event::Catalogue(now.clone());
    assert_eq!(looks(world.scale_loop.handle(world.now, world.time, event())), 1);
    // Until it is read nothing is measured, and the same news asks for nothing more.
    let measured = world.scale_loop.policies["p"].last.clone();
    world.second();
    assert_eq!(world.scale_loop.policies["p"].last, measured);
    assert_eq!(looks(world.scale_loop.handle(world.now, world.time, event())), 0);
}

#[test]
fn who_does_not_lead_or_no_longer_leads_asks_for_nothing() {
    let mut world = World::leading();
    world.event(Event::Leadership(Leadership::Following { holder: None }));
    world.sessions = 20;
    assert!(world.seconds(10).is_empty());
    // A lease that ran out without news from the lock is over all the same.
    world.leads_for(Duration::from_millis(500));
    assert!(world.seconds(10).is_empty());
    world.leads_for(Duration::from_hours(1));
    assert_eq!(world.seconds(1).len(), 1);
}

#[test]
fn while_nomad_is_away_or_haproxy_is_not_read_nothing_is_asked() {
    let mut world = World::leading();
    world.sessions = 20;
    let away = Reach::Unreachable { since: world.time, error: "refused".into() };
    world.policies(away);
    assert!(world.seconds(10).is_empty());
    world.policies(Reach::Ok);
    let missing = Reading { at: world.time, samples: Vec::new(), missing: vec!["HAProxy: no answer".into()] };
    world.now += Duration::from_secs(20);
    world.time += Duration::from_secs(20);
    assert!(world.event(Event::Sampled(missing)).is_empty());
    let decision = world.scale_loop.policies["p"].last.as_ref().unwrap();
    assert_eq!((decision.action, decision.to), (Action::Hold, 2), "{}", decision.reason);
}

#[test]
fn a_nomad_that_hangs_is_away_until_the_probe_is_answered() {
    let mut world = World::leading();
    let state = |world: &World| world.scale_loop.report(world.now).nomad;
    world.sessions = 20;
    world.event(Event::Hung(Some("no answer within 5s".into())));
    assert!(world.seconds(10).is_empty());
    assert_eq!(
        (state(&world).state, state(&world).error),
        ("unreachable".into(), Some("no answer within 5s".into()))
    );
    assert!(world.records.iter().any(|record| matches!(record, Record::Nomad { up: false, .. })));
    // News of the policies alone, from before it hung, change nothing.
    world.policies(Reach::Ok);
    assert_eq!(state(&world).state, "unreachable");
    world.event(Event::Hung(None));
    assert_eq!(state(&world).state, "ok");
    assert_eq!(world.seconds(1).len(), 1);
}

#[test]
fn a_look_that_was_lost_with_nomad_is_not_waited_for_once_it_is_back() {
    let mut world = World::leading();
    world.seconds(2);
    let looks = |world: &mut World| {
        world.now += Duration::from_secs(6);
        world.time += Duration::from_secs(6);
        let reading = Reading { at: world.time, samples: vec![world.sample()], missing: Vec::new() };
        let effects = world.scale_loop.handle(world.now, world.time, Event::Sampled(reading));
        effects.iter().filter(|effect| matches!(effect, Effect::Look { .. })).count()
    };
    assert_eq!((looks(&mut world), looks(&mut world)), (1, 0), "one at a time");
    world.event(Event::Hung(Some("no answer".into())));
    assert_eq!(looks(&mut world), 0, "not while Nomad is away");
    world.event(Event::Hung(None));
    assert_eq!(looks(&mut world), 1);
}

#[test]
fn another_source_is_asked_and_its_answer_decides() {
    let mut world = World::leading();
    let strategy = json!([{"target-value": [{"target": 10}]}]);
    let check =
        json!({"source": "prometheus", "query": "load", "query_window": "instant", "strategy": strategy});
    world.policy(Reach::Ok, json!({"cooldown": "10s", "check": [{"load": [check]}]}));
    let vote = |world: &World| world.scale_loop.policies["p"].last.as_ref().unwrap().votes[0].clone();
    assert!(world.seconds(2).is_empty());
    assert_eq!(world.asked.len(), 1, "asked once until it answers");
    assert_eq!((vote(&world).wants, world.asked.len()), (None, 1), "{:?}", vote(&world));
    let question = world.asked[0].clone();
    world.event(Event::Answered { question, answer: Ok(vec![20.0]) });
    let asked = world.seconds(1);
    assert_eq!(
        (asked.len(), asked[0].count),
        (1, 4),
        "2 instances with twice their target: {:?}",
        vote(&world)
    );
    assert_eq!(world.asked.len(), 2, "asked again");
    // Nobody answers any more: what was said is too old after two intervals and five seconds.
    world.seconds(10);
    assert!(vote(&world).wants.is_none() && vote(&world).reason.contains("s old"), "{:?}", vote(&world));
}

#[test]
fn connections_that_went_elsewhere_are_told_to_the_decision() {
    let mut world = World::leading();
    let began = world.scale_loop.role_changed;
    assert!(began.is_some());
    let later = world.time + Duration::from_secs(9);
    world.scale_loop.note_role_change(Some(later));
    world.scale_loop.note_role_change(began);
    assert_eq!(world.scale_loop.role_changed, Some(later), "the latest counts");
}

/// A policy with a key that there is not.
fn mistaken() -> Value {
    json!({"cooldwon": "10s", "check": CHECK.parse::<Value>().unwrap()})
}

#[test]
fn a_mistake_leaves_the_last_good_version_in_force_and_is_told_once() {
    let mut world = World::leading();
    world.seconds(2);
    world.policy(Reach::Ok, mistaken());
    let status = world.scale_loop.report(world.now).policies.remove(0);
    assert!(status.last_good && status.problems[0].contains("cooldwon"), "{status:?}");
    let record = Record::PolicyProblem {
        namespace: "default".into(),
        job: "web".into(),
        group: "app".into(),
        problems: status.problems,
        last_good: true,
    };
    assert_eq!(world.records.last(), Some(&record));
    world.sessions = 20;
    assert_eq!(world.seconds(12).len(), 1, "it decides on");
    let [notice] = &world.notices[..] else { panic!("{:?}", world.notices) };
    assert!(notice.error && notice.message.contains("cooldwon") && notice.message.contains("last good"));

    world.policies(Reach::Ok);
    let status = world.scale_loop.report(world.now).policies.remove(0);
    assert!(!status.last_good && status.problems.is_empty());
}

#[test]
fn what_stands_on_the_page_is_not_told_again_and_a_system_job_has_none() {
    let mut first = World::leading();
    first.policy(Reach::Ok, mistaken());
    first.seconds(12);
    let told = first.notices.remove(0);
    let event = ScaleEvent {
        at: first.time,
        count: None,
        previous: 2,
        error: true,
        message: told.message,
        meta: BTreeMap::new(),
    };
    for (events, kind) in [(vec![event], "service"), (Vec::new(), "system")] {
        let mut world = World::leading();
        (world.events, world.kind) = (events, kind);
        world.policies(Reach::Ok);
        world.policy(Reach::Ok, mistaken());
        world.seconds(12);
        assert_eq!(world.notices, []);
    }
}

#[test]
fn bounds_and_the_switch_are_the_newest_also_beside_a_mistake() {
    let mut world = World::leading();
    let mut raw = world.scale_loop.policies["p"].raw.clone();
    raw.policy = mistaken();
    (raw.min, raw.max, raw.enabled) = (1, 3, false);
    let policies = BTreeMap::from([("p".into(), raw)]);
    world.event(Event::Policies(Arc::new(Policies { reach: Reach::Ok, policies })));
    let good = world.scale_loop.policies["p"].good.clone().unwrap();
    assert_eq!((good.min, good.max, good.enabled), (1, 3, false));
    world.sessions = 20;
    assert!(world.seconds(10).is_empty());
}

fn deployment(job_modify_index: u64) -> weir_nomad::Deployment {
    weir_nomad::Deployment {
        id: "d".into(),
        status: "running".into(),
        description: String::new(),
        job_modify_index,
    }
}

#[test]
fn a_deployment_of_somebody_else_is_waited_for_and_counted() {
    let mut world = World::leading();
    world.deployment = Some(deployment(39));
    world.sessions = 20;
    assert!(world.seconds(15).is_empty());
    let status = world.scale_loop.report(world.now).policies.remove(0);
    assert!(status.blocked_seconds > 5.0 && status.decisions["blocked"] > 5, "{status:?}");
    world.deployment = None;
    assert_eq!(world.seconds(6).len(), 1);
}

#[test]
fn a_deployment_that_is_waited_for_is_named_with_what_ends_it() {
    let mut world = World::leading();
    let named = |world: &mut World, description: &str| {
        let id = "0123456789abcdef".to_owned();
        world.deployment =
            Some(weir_nomad::Deployment { id, description: description.into(), ..deployment(39) });
        world.seconds(6);
        world.scale_loop.report(world.now).policies.remove(0).deployment.unwrap()
    };
    let canaries = named(&mut world, "Deployment is running but requires manual promotion");
    assert!(canaries.contains("`nomad deployment promote 01234567`"), "{canaries}");
    let slow = named(&mut world, "Deployment is running");
    assert!(slow.starts_with("01234567: Deployment is running; "), "{slow}");
    world.deployment = None;
    world.seconds(2);
    assert_eq!(world.scale_loop.report(world.now).policies[0].deployment, None);
}

#[test]
fn an_alarm_is_recorded_once_however_often_it_comes_and_goes() {
    let mut world = World::leading();
    world.seconds(2);
    let tracked = world.scale_loop.policies.get_mut("p").unwrap();
    let calm = tracked.last.clone().unwrap();
    let alarm = weir_scaling::Decision { alarm: true, ..calm.clone() };
    let mut records = |second: u64, decision| {
        tracked.note(world.now + Duration::from_secs(second), decision).into_iter().count()
    };
    let seen = [(0, &alarm), (1, &calm), (2, &alarm), (60, &alarm), (125, &alarm)];
    assert_eq!(seen.map(|(second, decision)| records(second, decision)), [1, 0, 0, 0, 1]);
}

#[test]
fn the_deployment_of_our_own_scale_is_ours_and_that_of_a_later_change_is_not() {
    let mut world = World::leading();
    world.sessions = 20;
    let request = world.seconds(6).remove(0);
    (world.count, world.index) = (request.count, 50);
    world.deployment = Some(deployment(50));
    world.answer(request, Ok(()));
    let key = JobKey { namespace: "default".into(), id: "web".into() };
    let of = |world: &World| world.scale_loop.jobs[&key].deployment();
    assert_eq!(of(&world), weir_scaling::Deployment::Own);
    (world.deployment, world.index) = (Some(deployment(60)), 60);
    world.seconds(3);
    assert_eq!(of(&world), weir_scaling::Deployment::Foreign);
}

#[test]
fn room_is_asked_about_and_no_more_is_asked_for() {
    let mut world = World::leading();
    world.room = Some(3);
    world.sessions = 20;
    let asked = world.seconds(8);
    assert_eq!(asked.iter().map(|request| request.count).collect::<Vec<_>>(), [3]);
    assert!(world.plans.iter().any(|plan| plan.group == "app" && plan.count > 3), "{:?}", world.plans);
}

#[test]
fn a_reading_that_was_under_way_says_nothing_of_room() {
    let mut world = World::leading();
    world.room = Some(3);
    world.sessions = 20;
    let key = JobKey { namespace: "default".into(), id: "web".into() };
    let mut asked = Vec::new();
    for _ in 0..8 {
        world.scale_loop.look(&key, None);
        asked.extend(world.second());
        let look = Box::new(Ok(world.look()));
        asked.extend(world.event(Event::Looked { job: key.clone(), look }));
    }
    assert_eq!(asked.iter().map(|request| request.count).collect::<Vec<_>>(), [3]);
}

#[test]
fn how_long_a_start_took_is_learned_from_the_last_increase() {
    let mut world = World::leading();
    let at = world.time + Duration::from_millis(2500);
    world.seconds(2);
    world.events = vec![ScaleEvent {
        at,
        count: Some(2),
        previous: 1,
        error: false,
        message: String::new(),
        meta: BTreeMap::new(),
    }];
    world.seconds(12);
    let learned = world.scale_loop.policies["p"].start;
    assert_eq!(learned, Some(Duration::from_millis(500)), "two serve at the next sample");
}

#[test]
fn what_is_learned_of_long_drains_is_no_more_than_the_policy_gives_one_now() {
    let mut world = World::leading();
    let check = CHECK.parse::<Value>().unwrap();
    world.policy(Reach::Ok, json!({"stabilization": "10m", "drain": "10s", "check": check}));
    world.seconds(6);
    world.scale_loop.policies.get_mut("p").unwrap().drains = Duration::from_mins(4);
    // A drain that is tried for longer than it is waited for comes to nothing.
    assert_eq!(world.scale_loop.tries(world.now, world.time, "p"), Duration::from_secs(10));
}
