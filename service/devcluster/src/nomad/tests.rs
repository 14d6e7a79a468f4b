//! The rules of scaling, deployments and victims, on the pure state.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::job::Job;
use super::state::{Effect, Now, Refusal, ScaleRequest, State};
use super::view;
use crate::spec::JobSpec;

const SECOND: Duration = Duration::from_secs(1);

/// A state with a clock of its own and a client that starts and stops at once.
struct Rig {
    state: State,
    now: Now,
    passing: bool,
}

impl Rig {
    fn new() -> Self {
        let now = Now { instant: Instant::now(), unix: 1 };
        Self { state: State::new(Duration::from_millis(5)), now, passing: true }
    }

    fn run(spec: &JobSpec) -> Self {
        let mut rig = Self::new();
        rig.register(spec);
        rig.settle();
        rig
    }

    fn register(&mut self, spec: &JobSpec) {
        let job = Job::read(&spec.to_json()).unwrap();
        self.state.register(job, None, false, self.now).unwrap();
    }

    /// Lets time pass and does what the client would do; returns the names that were stopped.
    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now.instant += time;
        let passing = self.passing;
        let mut stopped = Vec::new();
        for effect in self.state.turn(self.now, |_| passing).effects {
            match effect {
                Effect::Start(id) => self.state.started(&id, 1, self.now),
                Effect::Stop(id) => {
                    stopped.push(self.state.allocs[&id].name());
                    self.state.ended(&id, self.now);
                }
            }
        }
        stopped
    }

    fn settle(&mut self) {
        for _ in 0..30 {
            self.pass(SECOND);
        }
    }

    fn scale(&mut self, count: i64, fence: u64) -> Result<Value, Refusal> {
        let request = ScaleRequest {
            group: "app".into(),
            count: Some(count),
            job_modify_index: fence,
            ..ScaleRequest::default()
        };
        self.state.scale("web", &request, self.now)
    }

    fn running(&self) -> usize {
        self.state.living("web", "app").count()
    }

    fn deployment(&self) -> &'static str {
        self.state.latest_deployment("web").unwrap().status
    }
}

fn spec(count: u32) -> JobSpec {
    let policy = json!({"cooldown": "1m"});
    JobSpec { count, min: 1, max: 10, policy, min_healthy_time: SECOND * 3, ..JobSpec::default() }
}

fn refusal(outcome: Result<Value, Refusal>) -> (u16, String) {
    let refusal = outcome.unwrap_err();
    (refusal.status, refusal.text)
}

#[test]
fn a_scale_blocks_the_next_until_everything_is_healthy_again() {
    let mut rig = Rig::run(&spec(2));
    assert_eq!((rig.running(), rig.deployment()), (2, "successful"));
    rig.scale(4, 0).unwrap();
    rig.scale(5, 0).expect("before the evaluation there is no deployment, so nothing blocks");
    rig.pass(SECOND);
    assert_eq!(rig.running(), 5);
    let blocked = (400, "job scaling blocked due to active deployment".to_owned());
    assert_eq!(refusal(rig.scale(6, 999)), blocked, "the block comes before the fence");
    let job = &rig.state.jobs["web"];
    assert_eq!(
        view::scale_status(&rig.state, job)["TaskGroups"]["app"]["Healthy"],
        0,
        "all are watched anew"
    );
    for _ in 0..3 {
        rig.pass(SECOND);
    }
    rig.pass(SECOND);
    assert_eq!(rig.deployment(), "successful");
    rig.scale(6, 0).unwrap();
}

#[test]
fn the_fence_is_the_job_modify_index_and_not_the_one_of_scale_status() {
    let mut rig = Rig::run(&spec(2));
    let job = rig.state.jobs["web"].clone();
    let shown = view::scale_status(&rig.state, &job)["JobModifyIndex"].as_u64().unwrap();
    assert!(shown > job.job_modify_index, "the status and stability moved the modify index");
    let text = format!(
        "Enforcing job modify index {shown}: job exists with conflicting job modify index: {}",
        job.job_modify_index
    );
    assert_eq!(refusal(rig.scale(3, shown)), (500, text));
    let answer = rig.scale(3, job.job_modify_index).unwrap();
    assert_eq!(answer["JobModifyIndex"], rig.state.jobs["web"].job_modify_index);
}

#[test]
fn bounds_and_nonsense_are_refused_with_nomads_texts() {
    let mut rig = Rig::run(&spec(2));
    let low = "group count was less than scaling policy minimum: 0 < 1";
    let high = "group count was greater than scaling policy maximum: 11 > 10";
    assert_eq!(refusal(rig.scale(0, 0)), (400, low.into()));
    assert_eq!(refusal(rig.scale(11, 0)), (400, high.into()));
    assert_eq!(refusal(rig.scale(-1, 0)), (400, "scaling action count can't be negative".into()));
    let now = rig.now;
    let nowhere = ScaleRequest { group: "x".into(), count: Some(1), ..ScaleRequest::default() };
    let text = "task group \"x\" specified for scaling does not exist in job";
    assert_eq!(refusal(rig.state.scale("web", &nowhere, now)), (400, text.into()));
    assert_eq!(refusal(rig.state.scale("y", &nowhere, now)), (404, "job \"y\" not found".into()));
}

#[test]
fn an_event_without_count_is_kept_and_moves_nothing_of_the_job() {
    let mut rig = Rig::run(&spec(2));
    rig.scale(3, 0).unwrap();
    rig.pass(SECOND);
    let before = rig.state.jobs["web"].modify_index;
    let now = rig.now;
    let event =
        ScaleRequest { group: "app".into(), error: true, message: "why".into(), ..ScaleRequest::default() };
    for _ in 0..25 {
        rig.state.scale("web", &event, now).expect("allowed during a deployment");
    }
    assert_eq!(rig.state.jobs["web"].modify_index, before);
    let events = &rig.state.events[&("web".to_owned(), "app".to_owned())];
    assert_eq!((events.len(), &events[0]["Message"], &events[0]["Count"]), (20, &json!("why"), &Value::Null));
}

#[test]
fn the_highest_name_indexes_are_stopped_first_and_free_ones_taken_again() {
    let mut rig = Rig::run(&spec(6));
    rig.scale(3, 0).unwrap();
    let mut stopped = rig.pass(SECOND);
    stopped.sort();
    assert_eq!(stopped, ["web.app[3]", "web.app[4]", "web.app[5]"]);
    rig.settle();
    let victim = rig.state.living("web", "app").find(|alloc| alloc.number == 1).unwrap().id.clone();
    rig.state.ended(&victim, rig.now);
    rig.settle();
    let mut numbers: Vec<u64> = rig.state.living("web", "app").map(|alloc| alloc.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2], "a crashed allocation is replaced under its name");
}

#[test]
fn a_policy_moves_only_when_it_says_something_else() {
    let mut rig = Rig::run(&spec(2));
    let (id, before) = (rig.state.policies[0].id.clone(), rig.state.policies_index);
    rig.scale(3, 0).unwrap();
    rig.settle();
    assert_eq!(rig.state.policies_index, before);
    rig.register(&JobSpec { policy: json!({"cooldown": "2m"}), ..spec(2) });
    assert!(rig.state.policies_index > before);
    assert_eq!(rig.state.policies[0].id, id);
    let now = rig.now;
    rig.state.deregister("web", false, now);
    assert!(!rig.state.policies[0].says.enabled, "a stopped job's policy is disabled");
    rig.state.deregister("web", true, now);
    assert!(rig.state.policies.is_empty());
}

#[test]
fn what_does_not_fit_waits_for_room_and_the_deployment_with_it() {
    let mut rig = Rig::run(&spec(2));
    rig.state.placement_limit = Some(5);
    rig.scale(10, 0).unwrap();
    rig.settle();
    assert_eq!((rig.running(), rig.deployment()), (5, "running"));
    rig.state.placement_limit = None;
    rig.settle();
    assert_eq!((rig.running(), rig.deployment()), (10, "successful"));
}

#[test]
fn a_deployment_without_progress_fails_at_its_deadline_and_blocks_no_more() {
    let mut rig = Rig::run(&spec(2));
    rig.passing = false;
    rig.scale(3, 0).unwrap();
    rig.pass(SECOND);
    rig.pass(SECOND * 590);
    assert_eq!(rig.deployment(), "running");
    rig.pass(SECOND * 20);
    assert_eq!(rig.deployment(), "failed");
    rig.scale(4, 0).unwrap();
}

#[test]
fn changed_tasks_are_replaced_one_after_the_other() {
    let mut rig = Rig::run(&spec(3));
    rig.register(&JobSpec { slots: 77, ..spec(3) });
    let mut stopped = Vec::new();
    for _ in 0..40 {
        let now = rig.pass(SECOND);
        assert!(now.len() <= 1, "{now:?} at once");
        stopped.extend(now);
    }
    assert_eq!((stopped.len(), rig.running(), rig.deployment()), (3, 3, "successful"));
}

#[test]
fn a_stopped_job_stops_everything_and_is_dead() {
    let mut rig = Rig::run(&spec(3));
    let now = rig.now;
    rig.state.deregister("web", false, now);
    assert_eq!(rig.pass(SECOND).len(), 3);
    rig.settle();
    let job = &rig.state.jobs["web"];
    assert_eq!((rig.running(), job.status, job.stop), (0, "dead", true));
}

#[test]
fn a_canary_runs_beside_the_count_until_it_is_promoted() {
    let mut rig = Rig::run(&spec(3));
    let changed = JobSpec { canaries: 1, slots: 99, ..spec(3) };
    rig.register(&changed);
    rig.settle();
    let canaries = |rig: &Rig| rig.state.living("web", "app").filter(|alloc| alloc.canary).count();
    assert_eq!((rig.running(), canaries(&rig), rig.deployment()), (4, 1, "running"));
    let text = "job scaling blocked due to active deployment".to_owned();
    assert_eq!(refusal(rig.scale(5, 0)), (400, text));

    let id = rig.state.latest_deployment("web").unwrap().id.clone();
    let now = rig.now;
    rig.state.promote(&id, now).unwrap();
    let first = rig.pass(SECOND);
    assert_eq!(first[0], "web.app[0]", "the one whose name the canary has");
    rig.settle();
    assert_eq!((rig.running(), canaries(&rig), rig.deployment()), (3, 0, "successful"));
    let new = Job::read(&changed.to_json()).unwrap().groups[0].definition.clone();
    assert!(rig.state.living("web", "app").all(|alloc| alloc.definition == new));
}

#[test]
fn canaries_of_a_job_that_changes_again_go_and_first_ones_need_none() {
    let mut rig = Rig::run(&JobSpec { canaries: 1, ..spec(2) });
    assert_eq!((rig.running(), rig.deployment()), (2, "successful"), "nothing to run beside");
    rig.register(&JobSpec { canaries: 1, slots: 99, ..spec(2) });
    rig.settle();
    assert_eq!(rig.running(), 3);
    rig.register(&JobSpec { canaries: 1, slots: 98, ..spec(2) });
    rig.settle();
    let canaries: Vec<&Value> =
        rig.state.living("web", "app").filter(|one| one.canary).map(|one| &one.definition).collect();
    assert_eq!((rig.running(), canaries.len()), (3, 1));
    assert_eq!(canaries[0]["Tasks"][0]["Config"]["slots"], 98);
}

#[test]
fn a_plan_tells_what_finds_no_room() {
    let mut rig = Rig::run(&spec(2));
    rig.state.placement_limit = Some(4);
    let failed = |rig: &Rig, count| {
        let job = Job::read(&spec(count).to_json()).unwrap();
        view::plan(&rig.state, &job)["FailedTGAllocs"].clone()
    };
    assert_eq!(failed(&rig, 4), Value::Null);
    assert_eq!(failed(&rig, 7), json!({"app": {"CoalescedFailures": 2}}));
}
