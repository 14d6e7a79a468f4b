use serde_json::{Value, json};
use weir_scaling::{RawPolicy, parse};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(job: &str, checks: &[Value]) -> Policy {
    let checks: Vec<Value> =
        checks.iter().enumerate().map(|(n, check)| json!({format!("c{n}"): [check]})).collect();
    let policy = json!({"evaluation_interval": "2s", "check": checks});
    let raw = RawPolicy {
        id: "p".into(),
        namespace: "default".into(),
        job: job.into(),
        group: "app".into(),
        min: 1,
        max: 9,
        enabled: true,
        modify_index: 1,
        policy,
    };
    parse(&raw).unwrap()
}

fn prometheus() -> Value {
    json!({"source": "prometheus", "query": "up", "strategy": [{"target-value": [{"target": 1}]}]})
}

fn cpu(window: &str) -> Value {
    json!({"source": "nomad-apm", "query": "avg_cpu", "query_window": window,
           "strategy": [{"target-value": [{"target": 50}]}]})
}

struct World {
    ledger: Ledger,
    start: SystemTime,
}

impl World {
    fn new() -> Self {
        Self { ledger: Ledger::default(), start: SystemTime::now() }
    }

    fn at(&self, second: u32) -> SystemTime {
        self.start + SECOND * second
    }

    fn due(&mut self, second: u32, policy: &Policy) -> Vec<Question> {
        let now = self.at(second);
        self.ledger.due(now, policy)
    }

    fn answer(&mut self, second: u32, question: &Question, answer: Answer) {
        let now = self.at(second);
        self.ledger.note(now, question, answer);
    }

    /// The values of a check, or why there are none.
    fn metric(&self, second: u32, policy: &Policy, label: &str) -> Result<Vec<f64>, String> {
        let mut metrics = self.ledger.metrics(policy, self.at(second));
        match metrics.remove(label).unwrap() {
            Metric::Known { values, .. } => Ok(values),
            Metric::Unknown { reason } => Err(reason),
        }
    }
}

#[test]
fn a_source_that_is_away_is_asked_again_although_an_answer_may_be_on_its_way() {
    let mut world = World::new();
    let policy = policy("a", &[prometheus()]);
    let asked = world.due(0, &policy);
    world.answer(1, &asked[0], Err(Unanswered::Away("no answer".into())));
    assert_eq!(world.due(2, &policy), asked);
    assert!(world.due(3, &policy).is_empty(), "within its period");
    assert_eq!(world.due(4, &policy), asked);
    world.answer(5, &asked[0], Ok(vec![1.0]));
    assert_eq!(world.due(6, &policy), asked);
    assert!(world.due(9, &policy).is_empty(), "it is well, and only slow");
}

#[test]
fn a_question_is_asked_once_in_its_interval_whoever_asks() {
    let mut world = World::new();
    let (one, other) = (policy("a", &[prometheus(), prometheus()]), policy("b", &[prometheus()]));
    let asked = world.due(0, &one);
    assert_eq!(asked.len(), 1, "two checks of one query");
    assert!(world.due(0, &other).is_empty(), "the same query of another job");
    assert!(world.due(9, &one).is_empty(), "it was not answered yet");
    world.answer(9, &asked[0], Ok(vec![1.0]));
    assert_eq!(world.due(9, &other), asked);
    world.answer(9, &asked[0], Ok(vec![1.0]));
    assert!(world.due(10, &one).is_empty());
    assert_eq!(world.due(11, &one), asked);
    assert_eq!(world.metric(11, &other, "c0"), Ok(vec![1.0]));
}

#[test]
fn an_answer_counts_for_two_intervals_and_five_seconds() {
    let mut world = World::new();
    let policy = policy("a", &[prometheus()]);
    let question = world.due(0, &policy).remove(0);
    assert_eq!(world.metric(0, &policy, "c0"), Err("it has not answered yet".into()));
    world.answer(0, &question, Ok(vec![3.0]));
    world.answer(5, &question, Err(Unanswered::Away("refused".into())));
    assert_eq!(world.metric(9, &policy, "c0"), Ok(vec![3.0]));
    assert_eq!(world.metric(10, &policy, "c0"), Err("the newest answer is 10 s old: refused".into()));
}

#[test]
fn a_source_that_says_there_is_nothing_ends_what_it_said_before() {
    let mut world = World::new();
    let policy = policy("a", &[prometheus()]);
    let question = world.due(0, &policy).remove(0);
    world.answer(0, &question, Ok(vec![3.0]));
    world.answer(1, &question, Err(Unanswered::Nothing("the query has no result".into())));
    assert_eq!(world.metric(1, &policy, "c0"), Err("the query has no result".into()));
}

#[test]
fn nomads_answers_make_the_window() {
    let mut world = World::new();
    let policy = policy("a", &[cpu("15s"), cpu("instant")]);
    let mut question = None;
    for second in 0..=40 {
        for asked in world.due(second, &policy) {
            world.answer(second, &asked, Ok(vec![f64::from(second)]));
            question = Some(asked);
        }
    }
    assert_eq!(world.metric(40, &policy, "c0"), Ok(vec![25.0, 30.0, 35.0, 40.0]), "every 5 s at most");
    assert_eq!(world.metric(40, &policy, "c1"), Ok(vec![40.0]));
    assert!(world.metric(60, &policy, "c0").unwrap_err().contains("20 s old"));
    world.ledger.keep(std::iter::empty());
    assert_eq!(world.metric(40, &policy, "c0"), Err("it was not asked yet".into()));
    world.answer(41, &question.unwrap(), Ok(vec![1.0]));
    assert_eq!(world.metric(41, &policy, "c0"), Err("it was not asked yet".into()), "nobody asks it now");
}
