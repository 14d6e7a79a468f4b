use haproxy_cfg::Document;
use proptest::prelude::*;

use super::*;

/// A file that nobody prints, or a template.
struct Text {
    document: Document,
    branches: Vec<u32>,
    hole: Option<char>,
}

/// A file that nobody prints.
fn file(text: &str) -> Text {
    Text { document: Document::parse(text), branches: Vec::new(), hole: None }
}

/// A template: `?` is a value, a line that begins with `@` stands in a loop.
fn template(text: &str) -> Text {
    let branches = text.lines().map(|line| u32::from(line.starts_with('@'))).collect();
    Text { document: Document::parse(text.replace('@', " ")), branches, hole: Some('?') }
}

const BY_MASTER: Setup<'_> = Setup {
    version: Some((2, 6)),
    stats_socket: Some("/run/h.sock"),
    reloads_by_command: false,
    held_for: None,
};

fn whole(texts: &[Text], setup: &Setup<'_>) -> Vec<Advice> {
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|text| Source { document: &text.document, branches: &text.branches, hole: text.hole })
        .collect();
    advise(&sources, setup)
}

/// As `FILE:LINE SECTION: MATTER`, where the matter is the first text in backquotes.
fn with(texts: &[Text], setup: &Setup<'_>) -> Vec<String> {
    let short = |advice: &Advice| {
        let matter = advice.text.split('`').nth(1).unwrap_or(&advice.text);
        format!("{}:{} {}: {matter}", advice.file, advice.line, advice.section)
    };
    whole(texts, setup).iter().map(short).collect()
}

fn of(texts: &[Text]) -> Vec<String> {
    with(texts, &BY_MASTER)
}

const NOTHING: [&str; 0] = [];

/// Nothing is missing.
const GOOD: &str = "\
global
    hard-stop-after 5m
    stats socket /run/h.sock mode 600 level admin
defaults web
    mode http
    option idle-close-on-response
    option redispatch 1
frontend f from web
    bind :80
    default_backend b
backend b from web
    balance random
    default-server check
@   server ? ?:? id ?
";

#[test]
fn a_good_configuration_needs_nothing() {
    assert_eq!(of(&[template(GOOD)]), NOTHING);
    assert_eq!(of(&[]), NOTHING);
}

#[test]
fn a_cookie_needs_reloads_before_3_0() {
    let sticky = || [template(&GOOD.replace("id ?", "id ? cookie ?"))];
    assert_eq!(of(&sticky()), ["0:14 backend b: cookie"]);
    assert_eq!(with(&sticky(), &Setup { version: None, ..BY_MASTER }), ["0:14 backend b: cookie"]);
    assert_eq!(with(&sticky(), &Setup { version: Some((3, 0)), ..BY_MASTER }), NOTHING);
    assert_eq!(
        of(&[template(&GOOD.replace("id ?", "id ? weight cookie"))]),
        NOTHING,
        "it is no option there"
    );
}

#[test]
fn what_is_missing_is_named_where_it_is_to_be_written() {
    let bare = "global\n daemon\ndefaults\n mode http\nfrontend a\nfrontend b\nbackend x\n server s 10.0.0.1:80 check\n \
                server t 10.0.0.2:80 check\n";
    assert_eq!(
        of(&[file(bare)]),
        [
            "0:1 global: hard-stop-after",
            "0:3 defaults: option idle-close-on-response",
            "0:3 defaults: option redispatch"
        ]
    );
    let advice = whole(&[file(bare)], &BY_MASTER);
    assert!(advice[1].text.ends_with("(for frontend a, frontend b)"), "{}", advice[1].text);
    let split =
        [file("global\n"), file("defaults base\n mode http\n"), file("frontend a from base\nbackend x\n")];
    assert_eq!(
        of(&split),
        ["0:1 global: hard-stop-after", "1:1 defaults base: option idle-close-on-response"]
    );
    let of_its_own = [file("global\n hard-stop-after 1m\nlisten a\n mode http\n")];
    assert_eq!(of(&of_its_own), ["0:3 listen a: option idle-close-on-response"]);
}

#[test]
fn defaults_that_a_tcp_proxy_starts_from_are_not_named_for_an_http_option() {
    let text = "global\n hard-stop-after 1m\ndefaults\n mode http\nfrontend a\nfrontend b\n mode tcp\n";
    assert_eq!(of(&[file(text)]), ["0:5 frontend a: option idle-close-on-response"]);
}

#[test]
fn old_versions_are_not_told_what_they_do_not_know() {
    let text = "global\n hard-stop-after 1m\ndefaults\n mode http\nfrontend a\n";
    assert_eq!(with(&[file(text)], &Setup { version: Some((2, 4)), ..BY_MASTER }), NOTHING);
}

#[test]
fn what_is_undone_on_purpose_or_not_needed_is_left_alone() {
    let start = "global\n hard-stop-after 1m\ndefaults\n mode http\n";
    for body in [
        "frontend a\n no option idle-close-on-response\n",
        "frontend a\n option httpclose\n",
        "frontend a\n mode tcp\n",
        "backend x\n no option redispatch\n server s 10.0.0.1:80 check\n server t 10.0.0.2:80 check\n",
        "backend x\n server s 10.0.0.1:80 check\n",
        "backend x\n server s 10.0.0.1:80\n server t 10.0.0.2:80\n",
        "backend x\n default-server check\n server s 10.0.0.1:80 no-check\n server t 10.0.0.2:80 no-check\n",
        "backend x\n load-server-state-from-file global\n server s 10.0.0.1:80 check\n server t 10.0.0.2:80 check\n",
    ] {
        assert_eq!(of(&[file(&format!("{start}{body}"))]), NOTHING, "{body}");
    }
}

#[test]
fn retries_0_is_named_where_it_stands() {
    let start = "global\n hard-stop-after 1m\ndefaults\n retries 0\n option redispatch\n";
    let pool = "backend x\n server s 10.0.0.1:80 check\n server t 10.0.0.2:80 check\n";
    let advice = whole(&[file(&format!("{start}{pool}"))], &BY_MASTER);
    let [advice] = advice.as_slice() else { panic!("{advice:?}") };
    assert_eq!((advice.line, advice.section.as_str()), (4, "defaults"));
    assert!(
        advice.text.contains("92 of 1,200") && advice.text.ends_with("(for backend x)"),
        "{}",
        advice.text
    );
    assert_eq!(of(&[file(&format!("{start}{}", pool.replace("x\n", "x\n retries 2\n")))]), NOTHING);
}

#[test]
fn algorithms_that_take_no_servers_are_named_only_where_servers_come_and_go() {
    let pool = |lines: &str| format!("global\n hard-stop-after 1m\nbackend x\n{lines}@ server ? ?:? id ?\n");
    for (lines, line) in [
        ("", 0),
        (" balance leastconn\n", 0),
        (" balance source\n", 4),
        (" balance static-rr\n", 4),
        (" balance hdr(host) use_domain_only\n hash-type map-based\n", 4),
        (" balance uri\n hash-type consistent\n", 0),
        (" balance source\n server-template s 4 10.0.0.1:80 disabled\n", 0),
        (" balance source\n server s1 0.0.0.0:1 disabled\n", 0),
        (" balance source\n mode log\n", 0),
        (" balance ?\n", 0),
        (" balance source\n hash-type ?\n", 0),
    ] {
        let expected: Vec<String> = (line > 0)
            .then(|| format!("0:{line} backend x: balance {}", lines.split([' ', '(', '\n']).nth(2).unwrap()))
            .into_iter()
            .collect();
        assert_eq!(of(&[template(&pool(lines))]), expected, "{lines}");
        let fixed = pool(lines).replace('@', " ").replace("? ?:? id ?", "s 10.0.0.1:80");
        assert_eq!(of(&[file(&fixed)]), NOTHING, "no template prints its servers: {lines}");
    }
    let inherited =
        template("global\n hard-stop-after 1m\ndefaults\n balance source\nbackend x\n server ? ?:?\n");
    assert_eq!(of(&[inherited]), ["0:5 backend x: balance source"]);
}

#[test]
fn servers_want_a_number_where_it_counts() {
    let pool = |algorithm: &str, server: &str| {
        template(&format!(
            "global\n hard-stop-after 1m\nbackend x\n balance {algorithm}\n@ server {server}\n"
        ))
    };
    let (old, new) = (BY_MASTER, Setup { version: Some((3, 0)), ..BY_MASTER });
    let consistent = "source\n hash-type consistent";
    for (algorithm, server, before, after) in [
        ("random", "? ?:?", true, false),
        ("random(2)", "? ?:? weight ? id ?", false, false),
        ("random", "? ?:? ?", false, false),
        ("random", "? ?:??", false, false),
        ("leastconn", "? ?:?", false, false),
        (consistent, "? ?:? check", true, true),
        (consistent, "? ?:? check id ?", false, false),
        (consistent, "? ?:? hash-key addr-port", false, false),
    ] {
        for (setup, expected) in [(old, before), (new, after)] {
            let advice = whole(&[pool(algorithm, server)], &setup);
            let numbers = advice.iter().filter(|advice| advice.text.contains("{{ServerId}}")).count();
            assert_eq!(numbers, usize::from(expected), "{algorithm} {server}: {advice:?}");
        }
    }
}

#[test]
fn the_socket_that_weir_uses_must_take_commands() {
    let global = |socket: &str| file(&format!("global\n hard-stop-after 1m\n stats socket {socket}\n"));
    for (socket, expected) in [
        ("/run/h.sock", "stats socket /run/h.sock"),
        ("unix@/run/h.sock level user", "stats socket unix@/run/h.sock"),
        ("/run/h.sock level admin level operator", "stats socket /run/h.sock"),
        ("/run/h.sock mode 600 level admin", ""),
        ("/run/other.sock level user", ""),
        ("\"${SOCKET}\" level user", ""),
    ] {
        let expected: Vec<String> =
            (!expected.is_empty()).then(|| format!("0:3 global: {expected}")).into_iter().collect();
        assert_eq!(of(&[global(socket)]), expected, "{socket}");
    }
}

#[test]
fn without_a_master_the_listeners_are_handed_over_by_a_socket() {
    let by_command = Setup { reloads_by_command: true, ..BY_MASTER };
    let global = |lines: &str| {
        file(&format!("global\n hard-stop-after 1m\n stats socket /run/h.sock level admin {lines}\n"))
    };
    assert_eq!(with(&[global("")], &by_command), ["0:3 global: stats socket"]);
    assert_eq!(with(&[global("expose-fd listeners")], &by_command), NOTHING);
    assert_eq!(with(&[global("\n master-worker")], &by_command), NOTHING);
    assert_eq!(with(&[global("\n stats socket /run/i.sock expose-fd listeners")], &by_command), NOTHING);
    assert_eq!(of(&[global("")]), NOTHING);
}

#[test]
fn servers_that_stand_where_haproxy_takes_none_are_none() {
    let start =
        template("global\n hard-stop-after 1m\ndefaults\n balance source\n server ? ?:? check cookie ?\n");
    assert_eq!(of(&[start, file("backend a\n")]), NOTHING);
}

#[test]
fn sections_in_a_loop_are_judged_by_themselves() {
    let text = template(
        "global\n hard-stop-after 1m\n@backend ?\n@ balance static-rr\n@ server ? ?:?\ndefaults\n mode http\n@frontend f-?\n",
    );
    assert_eq!(
        of(&[text]),
        ["0:4 backend …: balance static-rr", "0:6 defaults: option idle-close-on-response"]
    );
}

/// A configuration of sections that lack this and that.
fn configuration() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        " mode http",
        " mode tcp",
        " option redispatch",
        " no option redispatch",
        " option idle-close-on-response",
        " retries 0",
        " retries 3",
        " option httpclose",
        " default-server check",
        " balance source",
        " hash-type consistent",
        " balance random",
        " server ? ?:? check",
        " server ? ?:? check id ?",
        " server s 10.0.0.1:80 check",
        " server t 10.0.0.1:81 cookie t",
        " hard-stop-after 1m",
        " stats socket /run/h.sock",
        " option ?",
        "?",
        " server ? ?:? ?",
    ]);
    let section = prop::sample::select(vec![
        "global",
        "defaults",
        "defaults a",
        "frontend",
        "backend",
        "listen",
        "backend from a",
    ]);
    let section = (section, prop::collection::vec(line, 0..6));
    prop::collection::vec(section, 0..8).prop_map(|sections| {
        let text = |(index, (header, lines)): (usize, &(&str, Vec<&str>))| {
            let header = match header.split_once(' ') {
                _ if matches!(*header, "global" | "defaults" | "defaults a") => (*header).to_owned(),
                Some((keyword, from)) => format!("{keyword} p{index} {from}"),
                None => format!("{header} p{index}"),
            };
            format!("{header}\n{}\n", lines.join("\n"))
        };
        sections.iter().enumerate().map(text).collect()
    })
}

/// What to write, and whether it takes the place of the line or comes below it.
fn remedy(advice: &Advice) -> Option<(&'static str, bool)> {
    Some(match advice.text.split('`').nth(1)? {
        "hard-stop-after" => (" hard-stop-after 5m", false),
        "option idle-close-on-response" => (" option idle-close-on-response", false),
        "option redispatch" => (" option redispatch 1", false),
        "retries 0" => (" retries 3\n option redispatch 1", true),
        "id" => (" server ? ?:? check id ?", true),
        "stats socket /run/h.sock" => (" stats socket /run/h.sock level admin", true),
        _ => return None,
    })
}

proptest! {
    #[test]
    fn nothing_is_said_of_what_depends_on_a_block(text in configuration()) {
        let within = format!(".if defined(X)\n{text}.endif\n");
        let mut said = of(&[template(&within)]);
        // That nothing ends old processes is so whether the block is there or not.
        said.retain(|said| !said.ends_with(": hard-stop-after"));
        prop_assert_eq!(said, NOTHING, "{}", within);
    }

    #[test]
    fn nothing_is_said_of_the_process_where_a_file_is_not_known(text in configuration()) {
        let said = of(&[template(&text), template("?\n")]);
        prop_assert!(!said.iter().any(|said| said.contains("hard-stop-after")), "{:?}", said);
    }

    #[test]
    fn following_advice_ends_it(text in configuration()) {
        let mut text = text;
        for _ in 0..60 {
            let advice = whole(&[template(&text)], &BY_MASTER);
            let Some((advice, (write, replaces))) = advice.iter().find_map(|advice| Some((advice, remedy(advice)?))) else {
                return Ok(());
            };
            let mut lines: Vec<&str> = text.lines().collect();
            let at = advice.line - usize::from(replaces);
            if replaces {
                lines[at] = write;
            } else {
                lines.insert(at, write);
            }
            text = lines.join("\n") + "\n";
        }
        prop_assert!(false, "the advice does not end: {:?}\n{}", of(&[template(&text)]), text);
    }

    #[test]
    fn any_text_can_be_advised_on(text in "([ -~\n]|[?\n]|global\n|backend b\n| server |defaults\n| mode http\n)*") {
        for advice in whole(&[template(&text), file(&text)], &Setup { reloads_by_command: true, ..BY_MASTER }) {
            prop_assert!(advice.line <= text.lines().count());
        }
    }
}

#[test]
fn a_server_that_may_be_silent_for_less_than_weir_holds_a_request_is_named_once() {
    let holds = Setup { held_for: Some(Duration::from_secs(30)), ..BY_MASTER };
    let short = GOOD.replace("    mode http\n", "    mode http\n    timeout server 29s\n");
    let twice = format!("{short}backend c from web\n    balance random\n@   server ? ?:? id ?\n");
    assert_eq!(with(&[template(&twice)], &holds), ["0:6 defaults web: timeout server 29s"]);
    assert_eq!(with(&[template(&short)], &BY_MASTER), NOTHING, "weir holds nothing");
    for enough in ["30000", "30s", "1m", "0", "?", "soon"] {
        assert_eq!(with(&[template(&short.replace("29s", enough))], &holds), NOTHING, "{enough}");
    }
    let own = short.replace("    balance random\n", "    balance random\n    timeout server 1m\n");
    assert_eq!(with(&[template(&own)], &holds), NOTHING, "the pool's own is longer");
    let fixed = short.replace("@   server ? ?:? id ?", "    server a 10.0.0.1:80");
    assert_eq!(with(&[file(&fixed)], &holds), NOTHING, "it never goes to zero");
}
