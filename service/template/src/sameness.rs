//! A render that goes on from the last one, beside one by handlebars' own loops that knows nothing: they must be equal, whatever
//! the template, and whatever Consul said before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use weir_pools::{Answer, Catalogue, Instance, KeyPair, Query, ServiceEntry, Status, Weights, server_ids};

use crate::{RenderError, Rendered, Template};

fn instance(name: &str, address: &str, port: u16) -> Instance {
    Instance {
        id: format!("{name}-{port}"),
        name: name.into(),
        address: address.into(),
        port,
        tags: vec![],
        service_meta: BTreeMap::new(),
        service_tagged_addresses: BTreeMap::new(),
        weights: Weights::default(),
        node: "n".into(),
        node_id: String::new(),
        node_address: address.into(),
        node_meta: BTreeMap::new(),
        node_tagged_addresses: BTreeMap::new(),
        datacenter: "dc1".into(),
        status: Status::Passing,
        checks: vec![],
    }
}

fn service(name: &str) -> Query {
    Query::Service { name: name.into(), datacenter: None }
}

fn services() -> Query {
    Query::Services { datacenter: None }
}

fn key(path: &str) -> Query {
    Query::Key { path: path.into(), datacenter: None }
}

fn app() -> Query {
    Query::Prefix { path: "app".into(), datacenter: None }
}

/// The services that there may be.
const NAMES: [&str; 2] = ["api", "web"];

/// What Consul may answer next, to one query. `None`: it is not known any more.
fn news() -> impl Strategy<Value = (Query, Option<Answer>)> {
    // Few values, so that much stays the same from one answer to the next.
    let tags = || prop::sample::select(vec![vec![], vec!["http"], vec!["http"], vec!["blue", "http"]]);
    let status =
        prop_oneof![4 => Just(Status::Passing), 1 => Just(Status::Warning), 1 => Just(Status::Critical)];
    let one =
        (1_u16..5, tags(), status, prop_oneof![6 => Just("z1"), 1 => Just("z2"), 1 => Just("\u{FDD2}")]);
    let list =
        (prop::sample::select(NAMES.to_vec()), prop::collection::vec(one, 0..5)).prop_map(|(name, list)| {
            let instance = |(port, tags, status, zone): (u16, Vec<&str>, Status, &str)| {
                let mut instance = instance(name, "10.0.0.1", port);
                instance.tags = tags.into_iter().map(ToOwned::to_owned).collect();
                instance.status = status;
                instance.service_meta.insert("zone".into(), zone.into());
                instance
            };
            let mut list: Vec<Instance> = list.into_iter().map(instance).collect();
            list.sort_by_key(|instance| (instance.port, instance.status));
            (service(name), Answer::Instances(list.into()))
        });
    let listed = (prop::sample::subsequence(NAMES.to_vec(), 0..=2), tags()).prop_map(|(names, tags)| {
        let tags: Vec<String> = tags.into_iter().map(ToOwned::to_owned).collect();
        let entry = |name: &&str| ServiceEntry { name: (*name).to_owned(), tags: tags.clone() };
        (services(), Answer::Services(names.iter().map(entry).collect()))
    });
    let value = prop::option::of(prop::sample::select(vec![
        "",
        "a",
        "a,b",
        "boom",
        "{\"a\":\"1\"}",
        "{\"b\":\"1\",\"a\":\"1\"}",
    ]));
    let value = value.prop_map(|value| (key("k"), Answer::Value(value.map(Into::into))));
    let pairs = prop::collection::btree_map("[a-c]", "[a-b]{0,1}", 0..4).prop_map(|pairs| {
        let pair = |(key, value): (&String, &String)| KeyPair {
            path: format!("app/{key}"),
            key: key.clone(),
            value: value.clone(),
        };
        (app(), Answer::Pairs(pairs.iter().map(pair).collect()))
    });
    let answer = prop_oneof![4 => list, 2 => listed, 1 => value, 1 => pairs];
    (answer, prop::bool::weighted(0.95)).prop_map(|((query, answer), known)| (query, known.then_some(answer)))
}

/// Writes templates that pass the lint. Each choice is made by the next number.
struct Author<'a> {
    choices: std::slice::Iter<'a, u8>,
    /// The blocks around, outermost first.
    blocks: Vec<Around>,
}

#[derive(Clone)]
struct Around {
    this: This,
    /// The name given with `as |x|`.
    name: Option<String>,
    /// The `@` names, and the name of the index.
    locals: &'static [&'static str],
    index: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum This {
    Instance,
    Service,
    Pair,
    Text,
    /// Of `by_tag`.
    Instances,
    /// Of a map of texts.
    Value,
}

/// What is printed anywhere, and fails now and then.
const VALUES: [&str; 4] = [
    "{{key_or_default \"k\" \"d\"}}",
    "{{env \"HOST\"}}",
    "{{#if (eq (key_or_default \"k\" \"\") \"boom\")}}{{fail \"boom\"}}{{/if}}",
    "{{key \"k\"}}",
];

const LIST: &[&str] = &["index", "first", "last"];
const MAP: &[&str] = &["index", "first", "last", "key"];

impl Author<'_> {
    fn choose(&mut self, count: usize) -> usize {
        self.choices.next().map_or(0, |choice| usize::from(*choice) % count)
    }

    fn pick<'p>(&mut self, of: &[&'p str]) -> &'p str {
        of[self.choose(of.len())]
    }

    fn body(&mut self, deep: usize) -> String {
        let count = 1 + self.choose(3);
        (0..count).map(|_| self.piece(deep)).collect()
    }

    fn piece(&mut self, deep: usize) -> String {
        // Loops and the like outside, what is printed inside.
        let choice = match deep {
            0 => 7 + self.choose(9),
            1 | 2 => self.choose(13),
            _ => self.choose(7),
        };
        match choice {
            0 => self.pick(&["x", " server ", "\nbackend b\n", "é"]).to_owned(),
            1 | 2 => self.field(0),
            3 | 4 => self.outer_field(),
            5 => self.local(),
            6 => self.pick(&VALUES).to_owned(),
            7 => {
                let test =
                    self.pick(&["(service \"web\")", "(key_exists \"k\")", "(gt (length (services)) 1)"]);
                let (a, b) = (self.body(deep + 1), self.body(deep + 1));
                format!("{{{{#if {test}}}}}{a}{{{{else}}}}{b}{{{{/if}}}}")
            }
            8 | 9 => self.with(deep),
            _ => self.each(deep),
        }
    }

    /// A field of the block so many levels further out.
    fn field(&mut self, ups: usize) -> String {
        let Some(at) = self.blocks.len().checked_sub(ups + 1) else { return "-".to_owned() };
        let around = self.blocks[at].clone();
        let field = match around.this {
            This::Instance => self.pick(&[
                "ID",
                "Port",
                "ServerId",
                "Server",
                "Status",
                "ServiceMeta.zone",
                "ServiceMeta.nope",
                "Tags.0",
            ]),
            This::Service => self.pick(&["Name", "Tags.1"]),
            This::Pair => self.pick(&["Key", "Value"]),
            This::Text | This::Value => "this",
            This::Instances => return "-".to_owned(),
        };
        let before = match around.name {
            Some(name) if self.choose(2) == 1 => name,
            _ => "../".repeat(ups),
        };
        match (before.as_str(), field) {
            (name, "this") if name.starts_with('p') => format!("{{{{{name}}}}}"),
            (name, field) if name.starts_with('p') => format!("{{{{{name}.{field}}}}}"),
            (ups, field) => format!("{{{{{ups}{field}}}}}"),
        }
    }

    fn outer_field(&mut self) -> String {
        let ups = 1 + self.choose(2);
        self.field(ups)
    }

    fn local(&mut self) -> String {
        let ups = self.choose(2);
        let Some(at) = self.blocks.len().checked_sub(ups + 1) else { return ".".to_owned() };
        let Around { locals, index, .. } = self.blocks[at].clone();
        if let Some(index) = index.filter(|_| self.choose(2) == 1) {
            return format!("{{{{{index}}}}}");
        }
        if locals.is_empty() {
            return ";".to_owned();
        }
        let (local, ups) = (self.pick(locals), "../".repeat(ups));
        match local {
            "index" | "key" => format!("{{{{@{ups}{local}}}}}"),
            test => format!("{{{{#unless @{ups}{test}}}}},{{{{/unless}}}}"),
        }
    }

    /// Something that is a service's name here.
    fn name(&mut self) -> String {
        let own = match self.blocks.last() {
            Some(Around { this: This::Instance | This::Service, name, .. }) => {
                Some(name.as_ref().map_or_else(|| "Name".to_owned(), |name| format!("{name}.Name")))
            }
            Some(Around { this: This::Text, .. }) => Some("this".to_owned()),
            _ => None,
        };
        let further = match self.blocks.len().checked_sub(2).map(|at| self.blocks[at].this) {
            Some(This::Instance | This::Service) => Some("../Name".to_owned()),
            _ => None,
        };
        let written = format!("\"{}\"", self.pick(&NAMES));
        let names: Vec<String> = own.into_iter().chain(further).chain([written]).collect();
        let chosen = self.choose(names.len());
        names[chosen].clone()
    }

    fn with(&mut self, deep: usize) -> String {
        let name = self.name();
        let locals = self.blocks.last().map_or(&[] as &[&str], |around| around.locals);
        let named = (self.choose(2) == 1).then(|| format!("p{}", self.blocks.len()));
        let names = named.as_ref().map(|name| format!(" as |{name}|")).unwrap_or_default();
        self.blocks.push(Around { this: This::Instance, name: named, locals, index: None });
        let inside = self.body(deep + 1);
        self.blocks.pop();
        let other = self.body(deep + 1);
        format!("{{{{#with (first (service {name})){names}}}}}{inside}{{{{else}}}}{other}{{{{/with}}}}")
    }

    fn each(&mut self, deep: usize) -> String {
        let name = self.name();
        let own: Vec<(&str, This)> = match self.blocks.last().map(|around| around.this) {
            Some(This::Instance | This::Service) => vec![("Tags", This::Text)],
            Some(This::Instances) => vec![("this", This::Instance)],
            _ => Vec::new(),
        };
        let read = [
            (format!("(service {name})"), This::Instance),
            (format!("(service {name} status=\"any\")"), This::Instance),
            ("(services)".to_owned(), This::Service),
            ("(services tag=\"http\")".to_owned(), This::Service),
            ("(tree \"app\")".to_owned(), This::Pair),
            (format!("(sort (service {name}) \"ServiceMeta.zone\")"), This::Instance),
            ("(reverse (services))".to_owned(), This::Service),
            (format!("(by_tag (service {name}))"), This::Instances),
            ("(parse_json (key_or_default \"k\" \"{}\"))".to_owned(), This::Value),
            ("(split (key_or_default \"k\" \"b,c\") \",\")".to_owned(), This::Text),
            ("(split \"web,db\" \",\")".to_owned(), This::Text),
        ];
        let lists: Vec<(String, This)> =
            own.into_iter().map(|(list, this)| (list.to_owned(), this)).chain(read).collect();
        let chosen = self.choose(lists.len());
        let (list, this) = lists[chosen].clone();
        let level = self.blocks.len();
        let (name, index) = match self.choose(4) {
            0 => (Some(format!("p{level}")), None),
            1 => (Some(format!("p{level}")), Some(format!("i{level}"))),
            _ => (None, None),
        };
        let names = match (&name, &index) {
            (Some(name), Some(index)) => format!(" as |{name} {index}|"),
            (Some(name), None) => format!(" as |{name}|"),
            _ => String::new(),
        };
        let locals = if matches!(this, This::Instances | This::Value) { MAP } else { LIST };
        self.blocks.push(Around { this, name, locals, index });
        let inside = self.body(deep + 1);
        self.blocks.pop();
        let other =
            if self.choose(3) == 0 { format!("{{{{else}}}}{}", self.body(deep + 1)) } else { String::new() };
        format!("{{{{#each {list}{names}}}}}{inside}{other}{{{{/each}}}}")
    }
}

fn source() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 20..200).prop_map(|choices| {
        let mut author = Author { choices: choices.iter(), blocks: Vec::new() };
        (0..=author.choose(3)).map(|_| author.body(0)).collect()
    })
}

fn anew(
    source: &str,
    catalogue: &Catalogue,
    env: &Arc<BTreeMap<String, String>>,
) -> Result<Rendered, RenderError> {
    Template::plain("t", source).unwrap().render(catalogue, env)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_later_render_is_equal_to_one_that_knows_nothing(
        source in source(),
        changes in prop::collection::vec((prop::collection::vec(news(), 1..3), prop::bool::weighted(0.05)), 4..16),
    ) {
        let template = Template::parse("t", &source);
        prop_assert!(template.is_ok(), "{}: {:?}", source, template);
        let template = template.unwrap();
        let (mut answers, mut host) = (BTreeMap::new(), 0);
        for (news, moved) in changes {
            for (query, answer) in news {
                match answer {
                    Some(answer) => drop(answers.insert(query, answer)),
                    None => drop(answers.remove(&query)),
                }
            }
            host += usize::from(moved);
            let env = Arc::new(BTreeMap::from([("HOST".to_owned(), host.to_string())]));
            let catalogue: Catalogue = answers.clone().into_iter().collect();
            prop_assert_eq!(template.render(&catalogue, &env), anew(&source, &catalogue, &env), "{}", source);
        }
    }
}

#[test]
fn what_is_seldom_generated_is_equal_too() {
    let value = |text: &str| (key("k"), Answer::Value(Some(text.into())));
    let list = |name: &str, ports: &[u16]| {
        let list: Vec<Instance> = ports.iter().map(|port| instance(name, "10.0.0.1", *port)).collect();
        (service(name), Answer::Instances(list.into()))
    };
    let cases = [
        // The same items under other keys.
        (
            "{{#each (parse_json (key \"k\"))}}{{@key}}={{this}};{{/each}}",
            vec![
                value("{\"a\":1}"),
                value("{\"b\":1}"),
                value("{\"a\":1,\"b\":1}"),
                value("[1]"),
                value("7"),
            ],
        ),
        // Another value around the loop, by its name and by its level.
        (
            "{{#with (first (service \"web\")) as |w|}}{{#each (service \"api\")}}{{w.ID}} {{../Port}}{{/each}}{{/with}}",
            vec![
                list("api", &[1, 2]),
                list("web", &[1, 2]),
                list("web", &[2]),
                list("web", &[]),
                list("web", &[1]),
            ],
        ),
        // The index, from inside of a value.
        (
            "{{#each (service \"web\")}}{{#with Weights}}{{@index}}{{/with}}{{/each}}",
            vec![list("web", &[2]), list("web", &[1, 2])],
        ),
        // An item that is there twice, and one that moves.
        (
            "{{#each (concat (service \"web\") (service \"web\"))}}{{ID}}{{#unless @last}},{{/unless}}{{/each}}",
            vec![list("web", &[1, 2]), list("web", &[2]), list("web", &[3, 1, 2]), list("web", &[2, 3])],
        ),
    ];
    for (source, changes) in cases {
        let template = Template::parse("t", source).unwrap();
        let mut catalogue = Catalogue::default();
        for (query, answer) in changes {
            catalogue.insert(query, answer);
            let rendered = template.render(&catalogue, &Arc::default());
            assert_eq!(rendered, anew(source, &catalogue, &Arc::default()), "{source}");
        }
    }
}

/// Two servers for which `server_ids` would give out the same number.
fn colliding() -> (Instance, Instance) {
    let all =
        (1..=250_u8).flat_map(|a| (1..=250_u8).map(move |b| instance("web", &format!("10.0.{a}.{b}"), 80)));
    let mut seen = BTreeMap::new();
    for one in all {
        let server = one.server();
        let id = server_ids([server.as_str()])[server.as_str()];
        if let Some(other) = seen.insert(id, one.clone()) {
            return (other, one);
        }
    }
    panic!("no collision");
}

#[test]
fn a_number_that_another_instance_had_is_printed_anew() {
    let (one, other) = colliding();
    let source = "{{#each (service \"web\")}}{{Server}}={{ServerId}} {{/each}}";
    let template = Template::parse("t", source).unwrap();
    let mut texts = BTreeSet::new();
    for list in [vec![&one, &other], vec![&other], vec![&one, &other], vec![&one]] {
        let list: Vec<Instance> = list.into_iter().cloned().collect();
        let catalogue = Catalogue::from_iter([(service("web"), Answer::Instances(list.into()))]);
        let rendered = template.render(&catalogue, &Arc::default());
        assert_eq!(rendered, anew(source, &catalogue, &Arc::default()));
        texts.insert(rendered.unwrap().text);
    }
    // Alone both have the same number, together the second has another one.
    let numbers = |text: &str| -> BTreeSet<String> {
        text.split_whitespace().filter_map(|word| Some(word.split_once('=')?.1.to_owned())).collect()
    };
    let mut counts: Vec<usize> = texts.iter().map(|text| numbers(text).len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2]);
    assert_eq!(texts.iter().flat_map(|text| numbers(text)).collect::<BTreeSet<_>>().len(), 2);
}
