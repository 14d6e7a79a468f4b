use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use weir_pools::{Answer, Catalogue, Check, Instance, KeyPair, Query, ServiceEntry, Status, Weights};

use crate::{Rendered, Template};

fn instance(id: &str, address: &str, port: u16) -> Instance {
    Instance {
        id: id.into(),
        name: "web".into(),
        address: address.into(),
        port,
        tags: vec!["blue".into(), "http".into()],
        service_meta: BTreeMap::from([("weight".into(), "20".into())]),
        service_tagged_addresses: BTreeMap::new(),
        weights: Weights { passing: 3, warning: 1 },
        node: format!("node-{id}"),
        node_id: String::new(),
        node_address: address.into(),
        node_meta: BTreeMap::new(),
        node_tagged_addresses: BTreeMap::new(),
        datacenter: "dc1".into(),
        status: Status::Passing,
        checks: vec![Check { check_id: "c".into(), name: "http".into(), status: Status::Passing }],
    }
}

fn service(name: &str) -> Query {
    Query::Service { name: name.into(), datacenter: None }
}

fn key(path: &str) -> Query {
    Query::Key { path: path.into(), datacenter: None }
}

fn prefix(path: &str) -> Query {
    Query::Prefix { path: path.into(), datacenter: None }
}

fn pair(path: &str, key: &str, value: &str) -> KeyPair {
    KeyPair { path: path.into(), key: key.into(), value: value.into() }
}

/// web: a (zone-a, 20), b (zone b, weight 5, green), c warning, d critical on a's address.
fn catalogue() -> Catalogue {
    let mut a = instance("a", "10.0.0.1", 80);
    a.service_meta.insert("zone".into(), "z1".into());
    let mut b = instance("b", "10.0.0.2", 80);
    b.tags = vec!["green".into()];
    b.service_meta = BTreeMap::from([("weight".into(), "5".into()), ("zone".into(), "z2".into())]);
    let mut c = instance("c", "10.0.0.3", 80);
    c.status = Status::Warning;
    let mut d = instance("d", "10.0.0.1", 80);
    d.status = Status::Critical;
    let services = ["api", "web"].map(|name| ServiceEntry { name: name.into(), tags: vec!["http".into()] });
    let mut api = instance("x", "10.1.0.1", 9000);
    api.name = "api".into();
    [
        (service("web"), Answer::Instances(Arc::from(vec![a, d, b, c]))),
        (service("api"), Answer::Instances(Arc::from(vec![api]))),
        (service("none"), Answer::Instances(Arc::from(vec![]))),
        (Query::Services { datacenter: None }, Answer::Services(Arc::from(services.to_vec()))),
        (key("haproxy/maxconn"), Answer::Value(Some("200".into()))),
        (key("haproxy/json"), Answer::Value(Some(r#"{"a":{"b":[1,2.0,1e6]},"t":"x"}"#.into()))),
        (key("haproxy/empty"), Answer::Value(Some("".into()))),
        (key("haproxy/gone"), Answer::Value(None)),
        (
            prefix("app"),
            Answer::Pairs(Arc::from(vec![
                pair("app/a", "a", "1"),
                pair("app/b/c", "b/c", "2"),
                pair("apple/x", "le/x", "3"),
            ])),
        ),
    ]
    .into_iter()
    .collect()
}

fn env() -> Arc<BTreeMap<String, String>> {
    Arc::new(BTreeMap::from([("ZONE".into(), "z1".into())]))
}

fn render(source: &str) -> Rendered {
    let template =
        Template::parse("t.hbs", source).unwrap_or_else(|problems| panic!("{source}: {problems:#?}"));
    let first = template.render(&catalogue(), &env()).unwrap_or_else(|error| panic!("{source}: {error}"));
    // The second render knows all of it already.
    let second = template.render(&catalogue(), &env()).unwrap();
    let plain = Template::plain("t.hbs", source).unwrap().render(&catalogue(), &env()).unwrap();
    assert_eq!((&first, &first), (&second, &plain), "{source}");
    first
}

fn error(source: &str) -> String {
    Template::parse("t.hbs", source).unwrap().render(&catalogue(), &env()).unwrap_err().to_string()
}

fn problems(source: &str) -> Vec<String> {
    let problems = Template::parse("t.hbs", source).expect_err(source);
    problems.iter().map(ToString::to_string).collect()
}

const RENDERS: &[(&str, &str)] = &[
    ("plain # text\n", "plain # text\n"),
    // Printing.
    ("{{#each (service \"web\")}}{{Server}} {{/each}}", "10.0.0.1:80 10.0.0.2:80 "),
    ("{{#each (service \"web\")}}{{{Address}}}:{{&Port}} {{/each}}", "10.0.0.1:80 10.0.0.2:80 "),
    (
        "{{#each (service \"web\") as |s|}}{{s.Node}}={{s.Tags.0}}{{s.Tags.7}} {{/each}}",
        "node-a=blue node-b=green ",
    ),
    ("{{#each (service \"web\") as |s i|}}{{i}}{{s.ID}} {{/each}}", "0a 1b "),
    (
        "{{#each (service \"web\")}}{{#unless @first}},{{/unless}}{{@index}}{{#if @last}}.{{/if}}{{/each}}",
        "0,1.",
    ),
    ("{{#each (service \"web\")}}{{ServiceMeta.zone}}{{ServiceMeta.nope}}{{NodeMeta.x}};{{/each}}", "z1;z2;"),
    (
        "{{#each (service \"web\")}}{{#with Weights}}{{Passing}}{{../ID}}{{@index}}{{/with}}{{/each}}",
        "3a03b1",
    ),
    (
        "{{#each (service \"web\")}}{{#each Tags}}{{this}}@{{../ID}} {{/each}}{{/each}}",
        "blue@a http@a green@b ",
    ),
    (
        "{{#each (service \"web\")}}{{#each ServiceMeta}}{{@key}}={{this}} {{/each}}{{/each}}",
        "weight=20 zone=z1 weight=5 zone=z2 ",
    ),
    (
        "{{#each (service \"web\")}}{{#each Checks}}{{Name}}{{Status}}{{/each}}{{/each}}",
        "httppassinghttppassing",
    ),
    ("{{#each (service \"none\")}}x{{else}}nobody{{/each}}", "nobody"),
    ("{{#if (service \"none\")}}a{{else if (service \"web\")}}b{{else}}c{{/if}}", "b"),
    ("{{#with (first (service \"web\")) as |s|}}{{s.ID}}{{Port}}{{/with}}", "a80"),
    ("{{#with (first (service \"none\"))}}x{{else}}none{{/with}}", "none"),
    ("{{!-- no --}}{{! no }}\\{{x}}{{{{raw}}}}{{y}}{{{{/raw}}}}", "{{x}}{{y}}"),
    // Selection.
    ("{{#each (service \"web\" status=\"any\")}}{{ID}}{{/each}}", "abc"),
    ("{{#each (service \"web\" status=\"critical\")}}{{ID}}{{/each}}", "d"),
    ("{{#each (service \"web\" status=\"warning|passing\")}}{{ID}}{{/each}}", "abc"),
    ("{{#each (service \"web\" status=\"warning,passing\")}}{{ID}}{{/each}}", "abc"),
    ("{{#each (service \"web|any\")}}{{ID}}{{/each}}", "abc"),
    ("{{#each (service \"green.web\")}}{{ID}}{{/each}}", "b"),
    ("{{#each (service \"web\" tag=\"blue\")}}{{ID}}{{/each}}", "a"),
    ("{{#each (with_tag (service \"web\") \"green\")}}{{ID}}{{/each}}", "b"),
    ("{{#each (with_meta (service \"web\") \"zone\" (env \"ZONE\"))}}{{ID}}{{/each}}", "a"),
    ("{{#each (with_meta (service \"web|any\") \"zone\")}}{{ID}}{{/each}}", "ab"),
    ("{{#each (services)}}{{Name}}:{{#each (service Name)}}{{ID}}{{/each}} {{/each}}", "api:x web:ab "),
    ("{{#each (services tag=\"nope\")}}x{{/each}}", ""),
    // Keys and environment.
    ("{{key \"haproxy/maxconn\"}} {{key \"/haproxy/maxconn\"}}", "200 200"),
    ("{{keyOrDefault \"haproxy/gone\" \"7\"}}{{key_or_default \"haproxy/empty\" 8}}", "78"),
    ("{{#if (key_exists \"haproxy/gone\")}}y{{else}}n{{/if}}{{key_exists \"haproxy/empty\"}}", "ntrue"),
    ("{{#each (keys \"app\")}}{{Key}}={{Value}} {{/each}}", "a=1 "),
    ("{{#each (tree \"app\")}}{{Path}} {{/each}}", "app/a app/b/c "),
    ("{{env \"ZONE\"}}{{env \"NOPE\"}}{{env_or_default \"NOPE\" \"d\"}}", "z1d"),
    // Lists.
    ("{{#each (sort (service \"web\") \"ServiceMeta.weight\")}}{{ID}}{{/each}}", "ba"),
    ("{{#each (reverse (service \"web\"))}}{{ID}}{{/each}}", "ba"),
    ("{{join (sort (split \"10, 9,a\" \",\")) \" \"}}", " 9 10 a"),
    ("{{#each (unique (service \"web|any\") \"Port\")}}{{ID}}{{/each}}", "a"),
    (
        "{{#each (by_tag (service \"web\"))}}{{@key}}:{{#each this}}{{ID}}{{/each}} {{/each}}",
        "blue:a green:b http:a ",
    ),
    (
        "{{#each (byMeta (service \"web\") \"zone\") as |list zone|}}{{zone}}:{{length list}} {{/each}}",
        "z1:1 z2:1 ",
    ),
    ("{{#each (service \"web\")}}{{#if (contains Tags \"blue\")}}{{ID}}{{/if}}{{/each}}", "a"),
    ("{{#each (service \"web\")}}{{join Tags \"+\"}} {{/each}}", "blue+http green "),
    (
        "{{#each (range 2 5)}}{{this}}{{/each}}{{#each (loop 2)}}{{this}}{{/each}}{{json (range 0)}}",
        "23401[]",
    ),
    ("{{#with (last (service \"web\"))}}{{ID}}{{/with}}{{length (service \"web\")}}{{len \"häß\"}}", "b23"),
    (
        "{{#with (parse_json (key \"haproxy/json\"))}}{{t}} {{a.b.2}} {{a.b.1}} {{nope.x}}{{/with}}",
        "x 1000000 2 ",
    ),
    ("{{#each (service \"web\")}}{{lookup ServiceMeta \"zone\"}}{{/each}}", "z1z2"),
    ("{{#each (concat (service \"web\") (service \"api\"))}}{{ID}}{{/each}}", "abx"),
    // Values.
    ("{{#each (service \"web\")}}{{default ServiceMeta.nope \"-\"}}{{/each}}", "--"),
    (
        "{{#each (service \"web\")}}{{#with ServiceMeta}}{{./nope}}{{this.nope}}{{zone}}{{#each ../Tags}}{{../nope}}{{../weight}}{{/each}}{{/with}}{{ServiceMeta.[a.b]}}{{ServiceMeta.a-b}};{{/each}}",
        "z12020;z25;",
    ),
    (
        "{{lower \"AbC\"}}{{toUpper \"x\"}}{{trimSpace \" y \"}}{{trim_prefix \"v1\" \"v\"}}{{trim_suffix \"a.b\" \".b\"}}",
        "abcXy1a",
    ),
    ("{{replaceAll \"a.b.c\" \".\" \"-\"}} {{regex_replace \"v12\" \"[0-9]+\" \"#\"}}", "a-b-c v#"),
    ("{{#if (regexMatch \"web-1\" \"^web\")}}y{{/if}}{{concat \"a\" 1 true}}", "ya1true"),
    (
        "{{add 1 2}} {{subtract 1 2.5}} {{multiply \"3\" 4}} {{divide 7 2}} {{divide 7.5 2}} {{ceil_div 7 2}} {{modulo 7 4}}",
        "3 -1.5 12 3 3.75 4 3",
    ),
    ("{{min 3 2 9}}{{max 3 \"12\"}}{{number \"007\"}}", "2127"),
    (
        "{{eq 1 \"1\"}}{{eq \"a\" \"a\"}}{{ne 1 1.0}}{{gt 10 \"9\"}}{{lt \"10\" \"9\"}}{{lte 2 2}}{{gte 1 2}}",
        "truetruefalsetruetruetruefalse",
    ),
    ("{{or \"\" \"x\"}}{{and \"a\" \"b\"}}{{not \"\"}}", "xbtrue"),
    ("{{#eq 1 1}}same{{else}}other{{/eq}}{{#not 1}}x{{else}}y{{/not}}", "samey"),
    ("{{json (split \"a,b\" \",\")}}{{toJSON \"x\"}}", "[\"a\",\"b\"]\"x\""),
];

#[test]
fn templates_render_to() {
    for (source, expected) in RENDERS {
        assert_eq!(&*render(source).text, *expected, "{source}");
    }
}

#[test]
fn the_template_of_the_readme_renders_as_expected() {
    let source = "backend web\n    balance leastconn\n{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} maxconn 20 check inter 2s\n{{/each}}listen x\n";
    let expected = "backend web\n    balance leastconn\n    server 10.0.0.1:80 10.0.0.1:80 maxconn 20 check inter 2s\n    server 10.0.0.2:80 10.0.0.2:80 maxconn 20 check inter 2s\nlisten x\n";
    assert_eq!(&*render(source).text, expected);
    // Tags alone on their lines leave no lines behind.
    let alone = source
        .replace("{{#each (service \"web\")}}", "  {{#each (service \"web\")}}\n")
        .replace("{{/each}}", "  {{/each}}\n");
    assert_eq!(&*render(&alone).text, expected);
}

#[test]
fn server_ids_do_not_depend_on_what_is_selected() {
    let ids = |status: &str| {
        let source = format!(
            "{{{{#each (service \"web\" status=\"{status}\")}}}}{{{{Server}}}}={{{{ServerId}}}}\n{{{{/each}}}}"
        );
        render(&source).text.lines().map(ToOwned::to_owned).collect::<BTreeSet<_>>()
    };
    let all = ids("any");
    assert_eq!(all.len(), 3);
    assert!(ids("passing").is_subset(&all) && ids("warning").is_subset(&all));
}

#[test]
fn trusted_values_are_not_noted_as_printed() {
    let rendered = render(
        "{{key \"haproxy/maxconn\"}}{{env \"ZONE\"}}|{{#each (service \"web\")}}{{raw ID}}{{Port}}{{default (key \"haproxy/maxconn\") 1}},{{/each}}",
    );
    assert_eq!(&*rendered.text, "200z1|a80200,b80200,");
    let printed: Vec<&str> = rendered.printed.iter().map(|range| &rendered.text[range.clone()]).collect();
    assert_eq!(printed, ["80", "200", "80", "200"]);
}

#[test]
fn unknown_queries_are_waited_for_and_missing_keys_too() {
    let source = "{{#each (service \"new\")}}x{{/each}}{{key \"haproxy/gone\"}}{{key_or_default \"later\" \"d\"}}{{#each (tree \"t\")}}x{{/each}}{{keyOrDefault \"haproxy/gone\" \"d\"}}";
    let template = Template::parse("t", source).unwrap();
    let rendered = template.render(&catalogue(), &env()).unwrap();
    let unknown = BTreeSet::from([service("new"), key("later"), prefix("t"), key("haproxy/gone")]);
    assert_eq!(*rendered.waiting, unknown);
    assert_eq!(*rendered.reads, unknown);
    assert_eq!(*template.queries(), unknown);
}

#[test]
fn queries_are_found_in_nested_reads_over_several_renders() {
    let template =
        Template::parse("t", "{{#each (services)}}{{#each (service Name)}}{{ID}}{{/each}}{{/each}}").unwrap();
    assert_eq!(*template.queries(), BTreeSet::from([Query::Services { datacenter: None }]));
    let mut known = Catalogue::default();
    let first = template.render(&known, &env()).unwrap();
    assert_eq!((&*first.text, &*first.waiting), ("", template.queries()));
    known.insert(
        Query::Services { datacenter: None },
        catalogue().get(&Query::Services { datacenter: None }).unwrap().clone(),
    );
    let second = template.render(&known, &env()).unwrap();
    assert_eq!(*second.waiting, BTreeSet::from([service("api"), service("web")]));
    let third = template.render(&catalogue(), &env()).unwrap();
    assert_eq!((&*third.text, third.waiting.len(), third.reads.len()), ("xab", 0, 3));
}

#[test]
fn a_changed_answer_is_rendered_and_a_forgotten_one_waited_for() {
    let template = Template::parse("t", "{{#each (service \"web\")}}{{ID}}{{/each}}").unwrap();
    let mut known = catalogue();
    for _ in 0..3 {
        assert_eq!(template.render(&known, &env()).unwrap().text.as_ref(), "ab");
    }
    known.insert(service("web"), Answer::Instances(Arc::from(vec![instance("n", "10.0.0.9", 1)])));
    assert_eq!(template.render(&known, &env()).unwrap().text.as_ref(), "n");
    let rendered = template.render(&Catalogue::default(), &env()).unwrap();
    assert_eq!((&*rendered.text, rendered.waiting.len()), ("", 1));
}

/// Source, and the problems in it.
const PROBLEMS: &[(&str, &[&str])] = &[
    (
        "{{#each (service \"web\")}}\n  {{Adress}}\n{{/each}}",
        &["2:5: unknown field `Adress` of an instance (did you mean `Address`?)"],
    ),
    (
        "ä {{Address}}",
        &[
            "1:5: `Address` outside of every loop: there is nothing that could have it (fields are known inside `{{#each (service \"NAME\")}} … {{/each}}`)",
        ],
    ),
    ("{{#each (servce \"web\")}}{{/each}}", &["1:10: unknown helper `servce` (did you mean `service`?)"]),
    (
        "{{#each (sort (service \"web\") \"Nod\")}}{{/each}}",
        &["1:32: unknown field `Nod` of an instance (did you mean `Node`?)"],
    ),
    (
        "{{#each (service \"web\") as |s|}}{{s.Prot}}{{#each s.Tags}}{{../s.X}}{{/each}}{{/each}}",
        &[
            "1:35: unknown field `Prot` of an instance (did you mean `Port`?)",
            "1:61: unknown field `X` of an instance (it has ID, Name, Address, Port, Tags, ServiceMeta, ServiceTaggedAddresses, Weights, Node, NodeID, NodeAddress, NodeMeta, NodeTaggedAddresses, Datacenter, Status, Checks, Server, ServerId)",
        ],
    ),
    (
        "{{#each (service \"web\")}}{{#each Tags}}{{ID}}{{/each}}{{/each}}",
        &["1:42: a text has no field `ID`"],
    ),
    (
        "{{#each (service \"web\")}}{{Tags}}{{/each}}",
        &["1:28: a list cannot be printed (`{{join Tags \",\"}}`)"],
    ),
    (
        "{{#each (service \"web\")}}{{this}}{{/each}}",
        &[
            "1:28: an instance cannot be printed (print one of its fields: ID, Name, Address, Port, Tags, ServiceMeta, ServiceTaggedAddresses, Weights, Node, NodeID, NodeAddress, NodeMeta, NodeTaggedAddresses, Datacenter, Status, Checks, Server, ServerId)",
        ],
    ),
    ("{{service \"web\"}}", &["1:3: a list cannot be printed (loop over it with `#each`)"]),
    (
        "{{#service \"web\"}}{{/service}}",
        &["1:4: `service` is not a block (`{{#each (service NAME)}} … {{/each}}`)"],
    ),
    (
        "{{#Tags}}{{/Tags}}",
        &["1:4: unknown block `Tags` (to loop over a list: `{{#each Tags}} … {{/each}}`)"],
    ),
    ("{{#each (service)}}{{/each}}", &["1:10: `service` does not take 0 parameters (`service NAME`)"]),
    (
        "{{#each (service \"web\" stat=\"any\")}}{{/each}}",
        &["1:24: `service` does not know `stat=` (did you mean `status`?)"],
    ),
    (
        "{{#each (service \"web\" status=\"passing|bad\")}}{{/each}}",
        &["1:24: unknown status `bad`: one of passing, warning, critical, maintenance, any"],
    ),
    (
        "{{#each (service \"web|bad\")}}{{/each}}",
        &["1:10: unknown status `bad`: one of passing, warning, critical, maintenance, any"],
    ),
    ("{{#each (service \"web~_agent\")}}{{/each}}", &["1:10: `~` in a service's name is not supported"]),
    (
        "{{@index}}{{#each (service \"a\")}}{{@key}}{{@nope}}{{/each}}",
        &[
            "1:3: `@index` is not known here (it is known inside `#each`)",
            "1:36: `@key` is not known here (it is known inside `#each` over a map)",
            "1:44: `@nope` is not known here (there are `@index`, `@first`, `@last` and `@key`)",
        ],
    ),
    (
        "{{#each (service \"a\")}}{{../../ID}}{{/each}}",
        &[
            "1:26: `../` goes further out than the outermost block (only `#each` and `#with` are levels; `#if` and `#unless` are not)",
        ],
    ),
    (
        "{{#each (service \"a\") as |key|}}{{/each}}",
        &["1:27: `key` is the name of a helper; the value could not be printed (choose another name)"],
    ),
    (
        "{{#each (by_meta \"zone\" (service \"a\"))}}{{/each}}",
        &[
            "1:10: parameter 1 of `by_meta` is a text (it must be a list: `by_meta LIST KEY`)",
            "1:10: parameter 2 of `by_meta` is a list (it must be a text: `by_meta LIST KEY`)",
        ],
    ),
    (
        "{{#each (service \"a\")}}{{split \",\" Name}}{{/each}}",
        &[
            "1:26: a list cannot be printed (`{{join (split …) \",\"}}`)",
            "1:26: the text that `split` works on comes first (`split TEXT SEPARATOR`)",
        ],
    ),
    (
        "{{#if (regex_match (env \"A\") \"(\")}}{{/if}}",
        &[
            "1:8: `(` is not a pattern: regex parse error:\n    (\n    ^\nerror: unclosed group (the patterns are Rust's (crate regex))",
        ],
    ),
    (
        "{{> head}}",
        &["1:1: partials (`{{> name}}`) are not supported (write the text out, or loop over what differs)"],
    ),
    (
        "{{#*inline \"x\"}}{{/inline}}",
        &[
            "1:1: decorators (`{{* name}}`, `{{#* inline}}`) are not supported (write the text out, or loop over what differs)",
        ],
    ),
    ("{{(service \"a\")}}", &["1:1: parentheses around all that is printed (leave them out)"]),
    (
        "{{#each (length services)}}{{/each}}",
        &[
            "1:4: `#each` wants a list or a map, this is a number",
            "1:17: `services` outside of every loop: there is nothing that could have it (to call the helper: `(services …)`)",
        ],
    ),
    (
        "{{#if (key \"a\")}}x{{else if (kee \"b\")}}{{/if}}",
        &["1:30: unknown helper `kee` (did you mean `key`?)"],
    ),
    (
        "{{end}}",
        &[
            "1:3: `end` outside of every loop: there is nothing that could have it (`{{end}}` is written `{{/each}}`, `{{/if}}`, `{{/with}}`)",
        ],
    ),
    (
        "{{range service \"web\"}}",
        &[
            "1:3: a list cannot be printed (`{{range service \"web\"}} … {{end}}` is written `{{#each (service \"web\")}} … {{/each}}`)",
            "1:9: `service` outside of every loop: there is nothing that could have it (to call the helper: `(service …)`)",
        ],
    ),
    (
        "a\n  server {{.Address}}",
        &["2:12: not handlebars from here on: `.Address}}` (`{{.Address}}` is written `{{Address}}`)"],
    ),
    ("{{#if (eq 1 1)}}", &["1:1: `{{#if}}` is not closed (`{{/if}}`)"]),
    (
        "{{#each (service \"web\")}}\n{{!-- {{/each}} --}}\n{{/each}}\na {{~/each}}\nb\n",
        &[
            "4:3: `{{/each}}` closes nothing: no block is open there (leave it out, or write `{{#each …}}` before it)",
        ],
    ),
    ("{{#if 1}}{{/each}}", &["1:10: `{{#if}}` is closed by `{{/each}}`"]),
    (
        "{{#with (service \"a\") as |a b|}}{{/with}}{{#if 1 as |x|}}{{/if}}",
        &["1:23: `#with` gives one name", "1:50: `#if` gives no names"],
    ),
    (
        "{{file \"/etc/motd\"}}",
        &[
            "1:3: unknown helper `file` (no file can be read from a template: keep its text in a key of Consul, `{{key \"path\"}}`, or write it into the template)",
        ],
    ),
    ("{{if 1}}", &["1:3: `if` is a block (`{{#if …}} … {{/if}}`)"]),
    (
        "{{#each (service \"web\")}}{{lookup this \"Prt\"}}{{Name.x}}{{/each}}",
        &["1:41: unknown field `Prt` of an instance (did you mean `Port`?)", "1:49: a text has no field `x`"],
    ),
    ("x \u{FDD0}", &["1:3: U+FDD0 to U+FDD2 are not characters; a template cannot hold them"]),
];

#[test]
fn problems_have_their_place_and_a_hint() {
    let mut failures = Vec::new();
    for (source, expected) in PROBLEMS {
        let found = problems(source);
        if found != *expected {
            failures.push(format!("{source}\n  found    {found:#?}\n  expected {expected:#?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn all_problems_are_reported_in_order() {
    let source =
        "{{#each (service \"web\")}}\n{{Adress}}{{#if Prot}}{{/if}}\n{{/each}}\n{{foo 1}}\n{{key}}\n";
    let places: Vec<_> = Template::parse("t", source)
        .unwrap_err()
        .iter()
        .map(|problem| (problem.line, problem.column))
        .collect();
    assert_eq!(places, [(2, 3), (2, 17), (4, 3), (5, 3)]);
}

#[test]
fn errors_name_the_template_and_the_place() {
    assert_eq!(error("a\n {{divide 1 (env \"X\")}}"), "t.hbs:2:2: `divide`: division by zero");
    assert_eq!(error("{{#each (service \"web\")}}\n{{fail ID}}{{/each}}"), "t.hbs:2:1: `fail`: a");
    assert_eq!(
        error("{{#each (service (env \"NOPE\"))}}{{/each}}"),
        "t.hbs:1:1: `service`: the service's name is empty"
    );
    assert_eq!(
        error("{{#with (parse_json (key \"haproxy/json\"))}}{{t.x}}{{/with}}"),
        "t.hbs:1:44: `t.x`: `t` has no fields"
    );
    assert_eq!(
        error("{{parse_json (key \"haproxy/maxconn\")}}{{parse_json \"{\"}}").split(':').nth(2),
        Some("39")
    );
}

#[test]
fn data_cannot_choose_tags_datacenters_or_statuses() {
    let known: Catalogue = [(
        Query::Services { datacenter: None },
        Answer::Services(Arc::from(vec![ServiceEntry { name: "a.b@x|any".into(), tags: vec![] }])),
    )]
    .into_iter()
    .collect();
    let template =
        Template::parse("t", "{{#each (services)}}{{#each (service Name)}}{{/each}}{{/each}}").unwrap();
    let rendered = template.render(&known, &env()).unwrap();
    assert_eq!(*rendered.waiting, BTreeSet::from([service("a.b@x|any")]));
}

/// Text with everything that could matter: markers, braces, newlines, quotes.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z0-9 .:#]{0,6}",
        1 => Just("\u{FDD0}".to_owned()),
        1 => Just("\u{FDD1}".to_owned()),
        1 => Just("\u{FDD2}".to_owned()),
        1 => Just("{{ID}}".to_owned()),
        1 => Just("\n\r\t<>&\"'${}".to_owned()),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn printed_ranges_cover_exactly_the_values(values in prop::collection::vec((any_text(), any_text()), 0..5)) {
        let instances: Vec<Instance> = values.iter().enumerate().map(|(n, (id, zone))| {
            let mut instance = instance(id, &format!("10.0.0.{n}"), 80);
            instance.service_meta.insert("zone".into(), zone.clone());
            instance
        }).collect();
        let known: Catalogue = [(service("web"), Answer::Instances(Arc::from(instances)))].into_iter().collect();
        let template = Template::parse("t", "\n{{#each (service \"web\")}}\n  <{{ID}}{{{ServiceMeta.zone}}} {{raw ID}}>\n{{/each}}\n").unwrap();
        let clean = |text: &str| text.replace(['\u{FDD0}', '\u{FDD1}', '\u{FDD2}'], "\u{FFFD}");
        for _ in 0..2 {
            let rendered = template.render(&known, &Arc::default()).unwrap();
            let mut expected = String::from("\n");
            let mut printed = Vec::new();
            for (id, zone) in &values {
                expected.push_str("  <");
                for value in [id, zone] {
                    let start = expected.len();
                    expected.push_str(&clean(value));
                    if !value.is_empty() {
                        printed.push(start..expected.len());
                    }
                }
                expected.extend([" ", &clean(id), ">\n"]);
            }
            prop_assert_eq!(&*rendered.text, &expected);
            prop_assert_eq!(&*rendered.printed, printed);
        }
    }

    #[test]
    fn a_render_reads_at_least_what_the_source_names(names in prop::collection::vec("[a-z]{1,5}", 1..6)) {
        let reads = |name: &String| "{{#each (service \"N\")}}{{ID}}{{/each}}{{key_or_default \"N\" 1}}".replace('N', name);
        let source = names.iter().map(reads).collect::<String>();
        let template = Template::parse("t", &source).unwrap();
        let rendered = template.render(&Catalogue::default(), &Arc::default()).unwrap();
        prop_assert!(rendered.reads.is_superset(template.queries()));
        prop_assert_eq!(&*rendered.waiting, template.queries());
        prop_assert_eq!(template.queries().len(), 2 * names.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn a_render_of_one_instance_fills_the_holes_of_the_outline(lines in prop::collection::vec(prop::sample::select(vec![
        "backend a\n", " mode http # é\n", "\n", "x {{env \"ZONE\"}}{{key \"app/a\"}} y\n", "{{!-- no\nline --}}\n",
        "{{#each (service \"api\")}} server {{Server}} {{Address}}:{{Port}} check\n{{/each}}\n",
        "{{#each (service \"api\")}}\n server {{Server}}\n{{/each}}\n", "{{#if true}}\n\n a\n{{~else}}\nb{{/if}}\n",
    ]), 0..12)) {
        let source = lines.concat();
        let filled = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let outline = crate::outline(&source).unwrap();
        let (outlined, rendered) = (filled(&outline.text), filled(&render(&source).text));
        // What is in the branch that is not taken is not rendered.
        let outlined: Vec<_> = outlined.into_iter().filter(|line| !line.starts_with('b') || line.starts_with("ba")).collect();
        prop_assert_eq!(outlined.len(), rendered.len(), "{:?} {:?}", outlined, rendered);
        for (outlined, rendered) in outlined.iter().zip(&rendered) {
            let mut rest = rendered.as_str();
            for piece in outlined.split(crate::HOLE) {
                let found = rest.find(piece);
                prop_assert!(found.is_some(), "{outlined:?} {rendered:?}");
                rest = &rest[found.unwrap() + piece.len()..];
            }
        }
        for (line, number) in outline.text.lines().zip(&outline.lines) {
            let first = line.split(crate::HOLE).next().unwrap().trim();
            let there = source.lines().nth(number - 1).unwrap_or_default();
            prop_assert!(there.contains(first), "{line:?} at {number}");
        }
    }

    #[test]
    fn no_source_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{{{", "}}}", "#each", "/each", "#if", "/if", "else", "^", "~", "&", ">", "#*inline", "!--", "--", "\\",
        "(", ")", "service", "\"web\"", "'", " ", "\n", "as", "|", "x", "this", "../", "@index", "@root.", "ID", ".", "[0]",
        "status=", "1", "-", "null", "{", "}", "[", "]", "raw", "{{{{", "}}}}", "ü",
    ]), 0..24)) {
        let source = pieces.concat();
        let outline = crate::outline(&source);
        if let Ok(template) = Template::parse("t", &source) {
            let _ = template.render(&catalogue(), &Arc::default());
            let outline = outline.expect("a source without mistakes has one");
            prop_assert_eq!(outline.text.split_inclusive('\n').count(), outline.lines.len());
            prop_assert!(outline.lines.iter().all(|line| *line >= 1));
        }
    }
}

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let pieces = page.split("```").skip(1).step_by(2);
    pieces.filter_map(|block| block.split_once('\n')).collect()
}

const PAGE: &str = include_str!("../../../docs/templates.md");

#[test]
fn the_examples_of_the_documentation_render_as_shown() {
    let blocks = blocks(PAGE);
    let pairs: Vec<_> = blocks.chunks(2).collect();
    assert!(pairs.len() >= 5);
    for pair in pairs {
        let [("handlebars", source), ("text", shown)] = pair else { panic!("{pair:?}") };
        assert_eq!(&*render(source).text, *shown, "{source}");
    }
}

#[test]
fn the_documentation_names_every_helper_and_every_field() {
    let mentioned =
        |word: &str| PAGE.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word);
    for signature in crate::signature::SIGNATURES {
        assert!(mentioned(signature.name()), "{}", signature.name());
    }
    let json = render("{{json (first (service \"web\"))}}").text;
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
    for field in fields.keys() {
        assert!(mentioned(field), "{field}");
        assert!(
            Template::parse(
                "t",
                &format!("{{{{#each (service \"web\")}}}}{{{{json {field}}}}}{{{{/each}}}}")
            )
            .is_ok(),
            "{field}"
        );
    }
}

#[test]
fn deep_nesting_does_not_end_the_process() {
    let pairs = [
        ("{{#if 1}}", "{{/if}}"),
        ("{{#each (range 1)}}", "{{/each}}"),
        ("{{else if 1}}", ""),
        ("(not ", ")"),
        ("(", ")"),
        ("[", "]"),
    ];
    for (open, close) in pairs {
        for (depth, fits) in [(20, true), (98, true), (101, false), (20_000, false)] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let source = match open {
                "{{else if 1}}" => format!("{{{{#if 1}}}}{nested}{{{{/if}}}}"),
                open if open.starts_with("{{") => nested,
                _ => format!("{{{{json {nested}}}}}"),
            };
            let parsed = Template::parse("t", &source);
            let refused =
                parsed.as_ref().is_err_and(|problems| problems[0].message.contains("more than 100"));
            assert_eq!(refused, !fits, "{open} {depth} {parsed:?}");
            if let Ok(template) = parsed {
                template.render(&catalogue(), &env()).unwrap();
            }
        }
    }
}

#[test]
fn templates_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Template>();
}
