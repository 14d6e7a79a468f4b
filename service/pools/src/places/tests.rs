//! What fits and what does not, place by place; then the property that all of it is for: a value that fits leaves
//! the structure of the text as it is with a harmless value.

use super::*;
use haproxy_cfg::lex;
use proptest::prelude::*;

/// A template: text with `{}` where a value is printed.
fn render(template: &str, values: &[&str]) -> (String, Vec<Range<usize>>) {
    let (mut text, mut printed) = (String::new(), Vec::new());
    let mut values = values.iter().cycle();
    for (index, piece) in template.split("{}").enumerate() {
        if index > 0 {
            let start = text.len();
            text += values.next().unwrap();
            printed.push(start..text.len());
        }
        text += piece;
    }
    (text, printed)
}

fn misfits(template: &str, values: &[&str]) -> Vec<Misfit> {
    let (text, printed) = render(template, values);
    check(&text, &printed, OutputKind::Haproxy)
}

fn refused(template: &str, values: &[&str]) -> bool {
    !misfits(template, values).is_empty()
}

fn sorted(template: &str, values: &[&str]) -> Vec<bool> {
    values.iter().map(|value| !refused(template, &[value])).collect()
}

/// Which of the values fit, each printed alone into the template.
fn fit<'v>(template: &str, values: &[&'v str]) -> Vec<&'v str> {
    let fits = sorted(template, values);
    values.iter().zip(fits).filter(|(_, fits)| *fits).map(|(value, _)| *value).collect()
}

#[test]
fn what_normal_templates_print_fits() {
    let cases: [(&str, &[&str]); 14] = [
        (
            "backend be_{}\n    server {} {}:{} weight {} maxconn 20 check inter {} id {}\n",
            &["web-1.eu", "10.0.0.1:8080", "10.0.0.1", "8080", "256", "2s", "65536"],
        ),
        (
            "backend b\n    server {} [{}]:{} cookie {} sni str({})\n",
            &["::1:80", "::1", "80", "c-1", "a.example"],
        ),
        ("backend b\n    server {} {}:{}\n", &["2001:db8::1:80", "2001:db8::1", "80"]),
        ("backend b\n    server a {} addr {} port {}\n", &["web.example.com:80", "10.0.0.9", "8081"]),
        (
            "frontend f\n    acl is_{} hdr(host) -i {} {} # for {}\n",
            &["web", "*.a.example", "b.example", "us & \"them\""],
        ),
        ("frontend f\n    use_backend be_{} if { path_beg {} }\n", &["web", "/a/~b/c-d_e"]),
        ("backend b\n    http-request set-header X-Zone \"{}, {}\"\n", &["eu (1)", "it's #1; <b>"]),
        ("backend b\n    http-request set-header X-Zone 'zone {}'\n", &["eu #1"]),
        ("backend b\n    http-request return string \"%[src] {}\" if { path {} }\n", &["hello [you]", "/x"]),
        ("backend b\n    balance {}\n    timeout connect {}\n", &["leastconn", "5s"]),
        ("backend b\n    http-check send meth GET uri {} hdr Host {}\n", &["/health", "a.example"]),
        ("# {}\nbackend b # {}\n", &["Zürich\u{2028}; ${HOME} \\", "'\""]),
        ("backend b\n    server-template {} {} {}.service.consul:{} check\n", &["web", "10", "web", "80"]),
        ("backend b\n    server a unix@/run/{}.sock\n", &["web"]),
    ];
    for (template, values) in cases {
        assert_eq!(misfits(template, values), [], "{template}");
    }
}

#[test]
fn a_misfit_names_value_line_place_and_reason() {
    let template = "backend b\n    server {} 10.0.0.1:80\n    server {} {}:80\n";
    let found = misfits(template, &["a\n", "b", "/etc/x"]);
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "line 2: \"a\\n\" as any output: control characters, line feeds included, fit nowhere",
            "line 3: \"/etc/x\" as address of a server: not an address on the network"
        ]
    );
}

#[test]
fn server_names() {
    let template = "backend b\n    server {} 10.0.0.1:80\n";
    let values = ["web_1.a:80-x", "BACKEND", "FRONTEND", "a/b", "a=b", "", "a#b", "a,b", "é", "-f", "if"];
    assert_eq!(fit(template, &values), ["web_1.a:80-x"]);
    assert_eq!(fit("backend b\n    server \"{}\" 10.0.0.1:80\n", &["", "a b", "ok"]), ["ok"]);
    assert_eq!(fit("backend b\n    server BACK{} 10.0.0.1:80\n", &["END", "UP"]), ["UP"]);
}

#[test]
fn server_addresses() {
    let template = "backend b\n    server a {}\n";
    let good = ["10.0.0.1:80", "::1:80", "web.example:80", "localhost:65535", "n_1.a:8080"];
    let bad = [
        "10.0.0.1",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "10.0.0.1:+80",
        "10.0.0.1:080",
        ":80",
        "*:80",
        "0.0.0.0:80",
        ":::80",
        "::ffff:0.0.0.0:80",
        "0:80",
        "127.1:80",
        "0x7f.0x1:80",
        "/etc/passwd",
        "unix@/x",
        "abns@x",
        "fd@3",
        "ipv4@10.0.0.1:80",
        "_http._tcp.x:80",
        "-x:80",
        "a..b:80",
        "80",
        "",
    ];
    assert_eq!(fit(template, &good), good);
    assert_eq!(fit(template, &bad), [""; 0]);
    assert!(refused("backend b\n    server a {}:{}\n", &["10.0.0.1", "+80"]));
    assert_eq!(fit("backend b\n    server a ipv4@{}:80\n", &["10.0.0.1", "/x"]), ["10.0.0.1"]);
}

#[test]
fn options_of_servers() {
    let with = |option: &str, values: &[&'static str]| {
        fit(&format!("backend b\n    server a 10.0.0.1:80 check {option} {{}} backup\n"), values)
    };
    assert_eq!(with("weight", &["0", "256", "257", "1x", "", "x", "99999999999999999999"]), ["0", "256"]);
    assert_eq!(
        with("inter", &["2s", "500", "1us", "0", "2x", "s", "30d", "24d", "-1"]),
        ["2s", "500", "1us", "24d"]
    );
    assert_eq!(with("addr", &["10.0.0.1", "/run/x", "unix@x", "0.0.0.0", "host"]), ["10.0.0.1"]);
    assert_eq!(with("crt", &["/etc/x.pem", "../x.pem", "x.pem"]), ["x.pem"]);
    assert_eq!(with("cookie", &["c1", "a b", ""]), ["c1"]);
    assert_eq!(with("backup", &["disabled", "c1"]), [""; 0], "an option of its own");
    assert_eq!(fit("backend b\n    default-server {} 2s\n", &["inter", "slowstart"]), [""; 0]);
}

#[test]
fn first_words_actions_and_operators_are_the_templates() {
    for template in [
        "{}\n",
        "  {} x\n",
        "\"{}\" x\n",
        "http-request {} x\n",
        "option {}\n",
        "no {}\n",
        "ser{} a 10.0.0.1:80\n",
    ] {
        assert!(refused(template, &["ver"]), "{template}");
    }
    let words = ["if", "unless", "or", "{", "}", "||", "!", "!x", "-f", "-i", "from", "x"];
    assert_eq!(fit("acl a path {}\n", &words), ["x"]);
    assert_eq!(fit("acl a path \"{}\"\n", &words), ["x"]);
    assert_eq!(fit("acl a path ''\"{}\"\n", &words), ["x"]);
    assert!(refused("acl a path \"{}\" /b\n", &[""]), "an empty word ends the line");
    assert_eq!(fit("acl a path i{}\n", &["f", "n"]), ["n"]);
    assert_eq!(fit("acl a path x{}\n", &["-f"]), ["-f"]);
    assert_eq!(fit("backend {}\n", &["web", "_web", "GLOBAL", "a/b", "from", ""]), ["web"]);
}

#[test]
fn escapes_variables_and_formats_are_not_completed() {
    for template in [
        "a b\\{}\n",
        "a \"${}\"\n",
        "a \"${{}}\"\n",
        "a \"$X{}\"\n",
        "a \"${X-{}}\"\n",
        "a \\x4{}\n",
        "a %{}\n",
        "a '%%%{}'\n",
    ] {
        assert!(refused(template, &["n"]), "{template}");
    }
    for template in ["a b\\\\{}\n", "a \"\\${}\"\n", "a '\\{}'\n", "a $X{}\n", "a '%%{}'\n", "a \"${X}{}\"\n"]
    {
        assert!(!refused(template, &["n"]), "{template}");
    }
    assert!(refused("a b\\{} c\n", &[""]), "the next character would be escaped");
}

#[test]
fn within_parentheses_only_one_argument_fits() {
    let values = ["a", "a,b", "a),lower", "a b", "a]"];
    assert_eq!(fit("http-request set-header X \"%[str({})]\"\n", &values), ["a"]);
    assert_eq!(fit("http-request set-header X '%[var(x)] {}'\n", &values), values);
    assert_eq!(
        fit("use-server a if { hdr(x),map({}) -m found }\n", &["m.map", "/etc/a,b", "/etc/../x"]),
        ["m.map"]
    );
}

#[test]
fn lines_and_other_texts_have_rules_of_their_own() {
    let lines = |template: &str, values: &[&str]| {
        let (text, printed) = render(template, values);
        check(&text, &printed, OutputKind::Lines).len()
    };
    assert_eq!(lines("{} be_{}\n", &["a.example/x?y=$z", "web"]), 0);
    for (value, count) in
        [("a b", 1), ("#a", 1), ("a#", 0), ("", 1), ("a\n", 1), ("a\u{a0}b", 1), ("[x]", 1), ("ü\"", 0)]
    {
        assert_eq!(lines("{} web\n", &[value]), count, "{value:?}");
    }
    let (text, printed) = render("x: {} {}", &["a b \"#", "\u{7f}"]);
    let found = check(&text, &printed, OutputKind::Text);
    assert_eq!(found.iter().map(|misfit| misfit.value.as_str()).collect::<Vec<_>>(), ["\u{7f}"]);
}

/// Templates, and a harmless value for each place.
const SHAPES: [(&str, &[&str]); 12] = [
    (
        "backend b\n    server {} {}:{} check weight {}\n    server z 10.9.9.9:1\n",
        &["s", "10.0.0.1", "80", "1"],
    ),
    ("backend b\n    server {} {} cookie {}\n", &["s", "10.0.0.1:80", "c"]),
    ("backend be_{}\n    balance roundrobin\n", &["x"]),
    ("backend {} from base\n    mode http\n", &["x"]),
    ("frontend f\n    acl is_{} hdr(host) -i {} {}\n    bind :80\n", &["x", "x", "x"]),
    ("frontend f\n    use_backend {} if { path_beg {} } || x\n", &["x", "/x"]),
    ("frontend f\n    http-request set-header X \"a {} b{}\" if { path \"{}\" }\n", &["x", "x", "x"]),
    ("frontend f\n    http-request set-header X 'a {}' if x\n", &["x"]),
    ("frontend f\n    http-request set-header X %[str({})]\n    mode http\n", &["x"]),
    ("# about {}\nbackend b # {}\n", &["x", "x"]),
    ("backend b\n    \"a {}\" c\\{} \"$D{}\" e{}#f\n", &["x", "x", "x", "x"]),
    ("{} x\n{}\n", &["x", "x"]),
];

/// A line's keyword, its words' quoted parts and whether they hold variables, a comment, a fault.
type Shape = (Option<String>, Vec<(usize, bool)>, bool, bool);

/// What HAProxy makes of a text: for each line its keyword and its words' quoting and meaning.
fn structure(text: &str) -> Vec<Shape> {
    let lines = lex(text).into_iter();
    let lines = lines.map(|line| {
        let words = line.words.iter().map(|word| (word.quoted().len(), word.environment)).collect();
        (line.keyword().map(str::to_owned), words, line.comment.is_some(), line.fault.is_some())
    });
    lines.collect()
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\n",
        "\r",
        "\t",
        " ",
        "\u{b}",
        "#",
        "\"",
        "'",
        "\\",
        "$HOME",
        "${HOME}",
        "%[env(HOME)]",
        "-f",
        "if",
        "}",
        "||",
        "a",
        "10.0.0.1",
        ":80",
        "server",
        "\0",
        "é",
        "\u{2028}",
        "x41",
        "n",
        "/etc",
        "..",
        ",",
        "(",
        ")",
        "!",
        "@",
        "80",
        "=",
    ]);
    let pieces = prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
    prop_oneof![pieces, any::<String>(), "[ -~]{0,6}", "[a-z0-9.:/-]{0,8}"]
}

fn shape() -> impl Strategy<Value = (&'static str, &'static [&'static str])> {
    prop::sample::select(SHAPES.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_fits_changes_no_structure(
        (template, harmless) in shape(),
        values in prop::collection::vec((hostile(), any::<bool>()), 4),
    ) {
        let chosen: Vec<&str> = harmless.iter().zip(&values).map(|(harmless, (hostile, used))| if *used { hostile } else { *harmless }).collect();
        let (text, printed) = render(template, &chosen);
        if check(&text, &printed, OutputKind::Haproxy).is_empty() {
            prop_assert_eq!(structure(&text), structure(&render(template, harmless).0), "{:?}", text);
        }
    }

    #[test]
    fn a_hostile_value_puts_no_blame_on_its_neighbours(value in hostile()) {
        let templates = [
            "frontend f\n    acl x hdr(host) {} {}\n    use_backend {} if x\n",
            "frontend f\n    acl x hdr(host) \"{}\" {} # {}\n",
            "frontend f\n    acl x path '{}' \"a {}\"\nbackend {}\n",
        ];
        for template in templates {
            let (text, printed) = render(template, &[&value, "good", "fine"]);
            let blamed = check(&text, &printed, OutputKind::Haproxy).into_iter().map(|misfit| misfit.span);
            prop_assert!(blamed.into_iter().all(|span| span == printed[0]), "{:?}", text);
        }
    }

    #[test]
    fn one_value_in_a_map_stays_one_word(value in hostile()) {
        let (text, printed) = render("{} web\n", &[&value]);
        if check(&text, &printed, OutputKind::Lines).is_empty() {
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>(), [value.as_str(), "web"]);
        }
    }

    #[test]
    fn any_text_and_ranges_are_taken(text in any::<String>(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| bounds[cut.index(bounds.len())]).collect();
        cuts.sort_unstable();
        let printed: Vec<_> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        for kind in [OutputKind::Haproxy, OutputKind::Lines, OutputKind::Text] {
            check(&text, &printed, kind);
        }
    }
}
