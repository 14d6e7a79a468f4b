//! What is a word, and what is refused: the lexer against `haproxy -c`.
//!
//! HAProxy shows words in its messages: `.notice A` prints A, `.notice A B` complains of B, `daemon A B` of A. So each
//! generated tail of a line is given to it behind both, and its answers must be those that the lexer's words make.
//! HAProxy reads the rest of a line like its beginning, so two words stand for all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, Stdio};

use haproxy_cfg::{FaultKind, Line, lex};
use proptest::prelude::*;

use super::skipped;

/// HAProxy stops after 50 errors; every tail makes one at most in each of its runs.
const TAILS: usize = 40;

/// What HAProxy says of lines, by line number: the first message about each.
type Said = BTreeMap<usize, String>;

/// The HAProxy to test with; says so where there is none.
pub(super) fn binary() -> Option<OsString> {
    let named = std::env::var_os("WEIR_TEST_HAPROXY");
    let usual = ["haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].map(OsString::from);
    let works = |program: &OsString| {
        let version = Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    let found = named.into_iter().chain(usual).find(works);
    if found.is_none() {
        skipped("haproxy (`make tools`)");
    }
    found
}

/// Has HAProxy read `text`.
fn ask(haproxy: &OsString, text: &str) -> Said {
    messages(&stderr(haproxy, text))
}

/// What `haproxy -c` says of `text`, the file's name left out.
pub(super) fn stderr(haproxy: &OsString, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("words.cfg");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(haproxy).arg("-c").arg("-f").arg(&file).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stderr).replace(&file.display().to_string(), "FILE")
}

fn messages(stderr: &str) -> Said {
    let mut said = Said::new();
    for message in stderr.split("parsing [FILE:").skip(1) {
        let (number, text) = message.split_once(']').expect("a line number");
        let text = text.trim_start_matches([' ', ':']).to_owned();
        // From 3.2 on HAProxy also says that an empty word ends a line's arguments; it did before as well.
        if !text.starts_with("argument number ") {
            said.entry(number.parse().expect("a line number")).or_insert(text);
        }
    }
    said
}

/// Whether HAProxy's message is what must come of such a line; the expectation, for the report.
fn fits(line: &Line, said: Option<&str>) -> Result<(), String> {
    let [first, second] = [1, 2].map(|index| line.word(index).unwrap_or_default());
    let expected = match (&line.fault, line.keyword()) {
        (Some(fault), _) => return refused(said, fault.column, fault.kind),
        _ if line.words.iter().any(|word| word.environment) => return Ok(()),
        (None, Some(".notice")) if second.is_empty() => format!("'{first}'.\n"),
        (None, Some(".notice")) => format!("Unexpected argument '{second}' for '.notice'"),
        (None, Some("daemon")) if first.is_empty() => return said.map_or(Ok(()), |_| Err("nothing".into())),
        _ => format!("'daemon' cannot handle unexpected argument '{first}'.\n"),
    };
    said.filter(|said| said.starts_with(&expected)).map(|_| ()).ok_or(expected)
}

fn refused(said: Option<&str>, column: usize, kind: FaultKind) -> Result<(), String> {
    let expected: &[&str] = match kind {
        FaultKind::UnclosedQuote => &[&format!("unmatched quote at position {column}:")],
        FaultKind::BadHexEscape => {
            &[&format!("truncated or invalid hexadecimal sequence at position {column}:")]
        }
        FaultKind::BadVariable => &["forbidden first char in environment variable name"],
        FaultKind::UnclosedVariable => {
            &["unmatched brace in environment variable name", "truncated or invalid word expansion sequence"]
        }
        // HAProxy reads on, so that what is wrong further on may be what it says.
        FaultKind::TooManyWords => &["too many words", "unmatched", "truncated", "forbidden"],
        FaultKind::Nul | FaultKind::MissingLineFeed => &["Stray NUL", "Missing LF"],
    };
    let known = |said: &&str| expected.iter().any(|start| said.starts_with(start));
    said.filter(known).map(|_| ()).ok_or_else(|| expected.join(" or "))
}

/// Every line is read alike, or the first that is not. Lines of a kind go together: HAProxy 3.1 and later read a
/// configuration twice, and a fault ends the first reading, which says nothing of the others.
fn agree(haproxy: &OsString, tails: &[String]) -> Result<(), TestCaseError> {
    let all = [" .notice", "\tdaemon"].map(|start| tails.iter().map(move |tail| format!("{start} {tail}\n")));
    let lines: Vec<String> = all.into_iter().flatten().collect();
    let (faulty, sound): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| lex(line)[0].fault.is_some());
    let (notices, daemons): (Vec<String>, Vec<String>) =
        sound.into_iter().partition(|line| line.starts_with(" .notice"));
    let (some, others) = faulty.split_at(faulty.len() / 2);
    [&notices, &daemons, some, others].into_iter().try_for_each(|lines| agree_on(haproxy, lines))
}

fn agree_on(haproxy: &OsString, lines: &[String]) -> Result<(), TestCaseError> {
    let text = format!("global\n{}", lines.concat());
    let said = ask(haproxy, &text);
    for line in &lex(&text)[1..] {
        let said = said.get(&line.number).map(String::as_str);
        if let Err(expected) = fits(line, said) {
            let source = &text[line.range.clone()];
            let report = format!("{source:?}\nread as {line:?}\nexpected {expected:?}\nHAProxy: {said:?}");
            return Err(TestCaseError::fail(report));
        }
    }
    Ok(())
}

fn tail() -> impl Strategy<Value = String> {
    // What quotes, escapes and ends words, often; everything else that means something, now and then.
    let often = prop::sample::select(vec!["a", " ", "\"", "'", "\\", "#"]);
    let rarely = prop::sample::select(vec![
        "é", "\t", "\u{b}", "\u{c}", "\r", "\\\\", "\\n", "\\r", "\\t", "\\x41", "\\xe9", "\\x4", "\\xg",
        "\\$", "\\1", "$", "$A", "${A}", "${A-b c}", "${A[*]}", "${", "{", "}", "[", "]", "-", "%", ",",
        "\u{1}", "\u{7f}", "\u{a0}",
    ]);
    let pieces = prop_oneof![3 => often, 2 => rarely];
    let tail = prop_oneof![
        8 => prop::collection::vec(pieces, 0..10).prop_map(|pieces| pieces.concat()),
        1 => "[ -~é\t]{0,20}",
        // White space after the 64th word is one word too many before 3.2 only.
        1 => (58usize..68, "(#[ \t]|\" ?|'')?").prop_map(|(words, end)| vec!["w"; words].join(" ") + &end),
    ];
    // HAProxy refuses `$.NAME` for all but three names; the lexer leaves it to HAProxy which they are.
    tail.prop_filter("no variable of HAProxy's own", |tail| !tail.contains("$.") && !tail.contains("${."))
}

#[test]
fn words_and_faults_are_haproxys() {
    let Some(haproxy) = binary() else { return };
    let config = ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(tails in prop::collection::vec(tail(), TAILS))| agree(&haproxy, &tails)?);
}

#[test]
fn a_backslash_at_the_end_of_a_line_does_not_continue_it() {
    let tails = ["a\\", "b", "\\", "c", "\"a\\", "'a\\", "a \\", "a\\\\", "a\\ ", "\"a\\\"", "a#\\"];
    assert_eq!(lex("a\\\nb\n").len(), 2);
    assert_eq!(lex("a\\\nb\n")[0].word(0), Some("a\\"));
    let Some(haproxy) = binary() else { return };
    agree(&haproxy, &tails.map(str::to_owned)).unwrap();
}

#[test]
fn a_nul_and_a_missing_line_feed_are_refused() {
    let Some(haproxy) = binary() else { return };
    for text in ["global\n daemon\0 x\n daemon\n", "global\n daemon"] {
        let fault = lex(text).remove(1).fault.expect("a fault");
        let said = ask(&haproxy, text);
        let is_refused = said.values().any(|said| refused(Some(said), fault.column, fault.kind).is_ok());
        assert!(is_refused, "{text:?}: {said:?}");
    }
}
