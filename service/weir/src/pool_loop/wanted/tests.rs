//! A renderer that remembers beside one that knows nothing: they must want the same, whatever happened before.

use proptest::prelude::*;
use weir_pools::Instance;

use super::*;

const TEMPLATES: [&str; 2] = [
    "backend web\n{{#each (service \"web\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\nbackend api\n{{#each (service \"api\")}}\n  server {{Server}} {{Address}}:{{Port}}\n{{/each}}\n",
    "backend web\n  balance {{key \"balance\"}}\n{{#each (service \"web\")}}\n  server {{ID}} {{Address}}:{{Port}}\n{{/each}}\n",
];

fn instance(name: &str, number: u8) -> Instance {
    // One that does not fit its place.
    let id = if number == 4 { "a b".into() } else { format!("{name}-{number}") };
    Instance { id, name: name.into(), ..crate::pool_loop::tests::instance(number) }
}

/// What may happen between two turns.
#[derive(Debug, Clone)]
enum Step {
    Nothing,
    Catalogue(Vec<u8>, Vec<u8>, Option<String>),
    Template(usize, bool),
    /// What was wanted is in force.
    InForce,
    Release(Vec<&'static str>),
}

fn step() -> impl Strategy<Value = Step> {
    let list = || prop::collection::vec(1..5_u8, 0..3);
    let balance = prop::option::of(prop::sample::select(vec!["random".to_owned(), "first".to_owned()]));
    prop_oneof![
        2 => Just(Step::Nothing),
        4 => (list(), list(), balance).prop_map(|(web, api, balance)| Step::Catalogue(web, api, balance)),
        1 => (0..TEMPLATES.len(), any::<bool>()).prop_map(|(template, edited)| Step::Template(template, edited)),
        3 => Just(Step::InForce),
        1 => prop::sample::subsequence(vec!["web", "api"], 0..=2).prop_map(Step::Release),
    ]
}

fn catalogue(web: &[u8], api: &[u8], balance: Option<&str>) -> Arc<Catalogue> {
    let list = |name: &str, numbers: &[u8]| {
        let query = Query::Service { name: name.into(), datacenter: None };
        (query, Answer::Instances(numbers.iter().map(|number| instance(name, *number)).collect()))
    };
    let balance =
        (Query::Key { path: "balance".into(), datacenter: None }, Answer::Value(balance.map(Arc::from)));
    Arc::new(Catalogue::from_iter([list("web", web), list("api", api), balance]))
}

/// What a turn looks at.
struct World {
    templates: Vec<Arc<Template>>,
    template: usize,
    edited: bool,
    catalogue: Arc<Catalogue>,
    last_good: Arc<Catalogue>,
    in_force: Arc<Pools>,
    released: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let parse = |text: &&str| Arc::new(Template::parse("t", text).unwrap());
        Self {
            templates: TEMPLATES.iter().map(parse).collect(),
            template: 0,
            edited: false,
            catalogue: Arc::default(),
            last_good: Arc::default(),
            in_force: Arc::default(),
            released: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: Step, wanted: Option<&Wanted>) {
        match (step, wanted) {
            (Step::Catalogue(web, api, balance), _) => {
                self.catalogue = catalogue(&web, &api, balance.as_deref());
            }
            (Step::Template(template, edited), _) => (self.template, self.edited) = (template, edited),
            (Step::Release(backends), _) => {
                self.released = backends.into_iter().map(ToOwned::to_owned).collect();
            }
            (Step::InForce, Some(Wanted { outcomes, effective, untraceable, .. }))
                if untraceable.is_empty() =>
            {
                if let [Outcome::Text { pools, .. }] = outcomes.as_slice() {
                    (self.in_force, self.last_good) = (pools.clone(), effective.clone());
                }
            }
            (Step::InForce | Step::Nothing, _) => {}
        }
    }

    fn want(&self, renderer: &mut Renderer, guard: &mut Guard) -> Wanted {
        let choice = Choice {
            destination: std::path::Path::new("/h.cfg"),
            kind: OutputKind::Haproxy,
            template: Some(&self.templates[self.template]),
            edited: self.edited,
            in_force: &self.in_force,
        };
        let inputs = Inputs {
            choices: &[choice],
            catalogue: &self.catalogue,
            last_good: &self.last_good,
            environment: &Arc::default(),
            haproxy: None,
            released: self.released.clone(),
        };
        renderer.want(&inputs, guard)
    }
}

#[test]
fn a_key_that_comes_and_goes_keeps_its_value_although_there_was_none_before() {
    let (mut world, mut renderer, mut guard) = (World::new(), Renderer::default(), Guard::default());
    world.template = 1;
    let mut turn = |balance: Option<&str>| {
        world.catalogue = catalogue(&[1], &[], balance);
        let wanted = world.want(&mut renderer, &mut guard);
        world.take(Step::InForce, Some(&wanted));
        wanted
    };
    assert!(matches!(turn(None).outcomes[..], [Outcome::Waiting(_)]));
    assert!(matches!(turn(Some("random")).outcomes[..], [Outcome::Text { .. }]));
    let gone = turn(None);
    assert!(
        matches!(&gone.outcomes[..], [Outcome::Text { text, .. }] if text.contains("random")),
        "{gone:?}"
    );
}

proptest! {
    #[test]
    fn what_is_remembered_changes_nothing(steps in prop::collection::vec(step(), 1..30)) {
        let (mut world, mut renderer, mut guard) = (World::new(), Renderer::default(), Guard::default());
        let mut wanted = None;
        for step in steps {
            world.take(step, wanted.as_ref());
            let mut others = guard.clone();
            let expected = world.want(&mut Renderer::default(), &mut others);
            let now = world.want(&mut renderer, &mut guard);
            prop_assert_eq!(format!("{now:?}"), format!("{expected:?}"));
            prop_assert_eq!(&guard, &others);
            wanted = Some(now);
        }
    }
}
