//! Changes carried out against a model of HAProxy's socket: maps with their versions, lists of certificates. Its answers are those
//! of HAProxy 2.6.12.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::crt_list::listed;
use super::*;
use crate::plan::Can;

const CAN: Can = Can { version: (2, 6, 12) };

/// A map or a list of patterns in HAProxy.
#[derive(Debug, Clone, Default)]
struct Patterns {
    current: u32,
    newest: u32,
    /// Every entry with its version.
    entries: Vec<(u32, Entry)>,
}

impl Patterns {
    fn holding(entries: &[Entry]) -> Self {
        Self { entries: entries.iter().map(|entry| (0, entry.clone())).collect(), ..Self::default() }
    }

    fn shown(&self) -> Vec<Entry> {
        let current = self.entries.iter().filter(|(version, _)| *version == self.current);
        current.map(|(_, entry)| entry.clone()).collect()
    }

    fn command(&mut self, line: &str, payload: Option<&str>) -> String {
        let mut words = words(line);
        let version = words.get(2).and_then(|word| word.strip_prefix('@')).map(|word| word.parse().unwrap());
        if version.is_some() {
            words.remove(2);
        }
        let version = version.unwrap_or(self.current);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (words.as_slice(), payload) {
            (["prepare", _, "/e"], None) => {
                self.newest += 1;
                return format!("New version created: {}\n", self.newest);
            }
            (["add", "map", "/e", "<<"], Some(payload)) => {
                self.entries.extend(pairs(payload).map(|entry| (version, entry)));
            }
            (["add", "acl", "/e", pattern], None) => {
                self.entries.push((version, Entry { key: (*pattern).to_owned(), value: None }));
            }
            (["set", "map", "/e", key, value], None) => {
                let current = self.current;
                let same = self
                    .entries
                    .iter_mut()
                    .filter(|(version, entry)| *version == current && entry.key == *key);
                same.for_each(|(_, entry)| entry.value = Some((*value).to_owned()));
            }
            (["del", _, "/e", key], None) => {
                self.entries.retain(|(version, entry)| *version != self.current || entry.key != *key);
            }
            (["commit", _, "/e"], None) => {
                self.current = version;
                self.entries.retain(|(of, _)| *of == version);
            }
            (["clear", _, "/e"], None) => self.entries.retain(|(of, _)| *of != version),
            _ => panic!("{line:?} {payload:?}"),
        }
        String::new()
    }

    /// Carries out the first `steps` steps; then what is sent when HAProxy refuses the next.
    fn carry_out(&mut self, change: &FileChange, steps: usize) {
        let mut version = None;
        for step in &change.steps[..steps] {
            let line = step.line(version);
            assert!(line.len() + step.payload.as_ref().map_or(0, String::len) + 2 <= MAX_COMMAND);
            let reply = self.command(&line, step.payload.as_deref());
            assert!(step.expects.accepts(&reply), "{line}: {reply}");
            version = FileReply::version(&reply).or(version);
        }
        if steps < change.steps.len() {
            change.undo(version).for_each(|line| drop(self.command(&line, None)));
        }
    }
}

/// The words of a line, as the socket cuts it.
fn words(line: &str) -> Vec<String> {
    assert!(!line.contains(['\n', '\r']));
    let (mut words, mut characters) = (vec![String::new()], line.chars());
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' => words.push(String::new()),
            ';' => panic!("two commands: {line}"),
            '\\' => words.last_mut().unwrap().extend(characters.next()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Keys and values of a payload. A key ends at a blank only, even over a line feed.
fn pairs(payload: &str) -> impl Iterator<Item = Entry> {
    assert!(!payload.contains("\n\n") && !payload.starts_with('\n'));
    payload.split('\n').map(|line| {
        let (key, value) = line.split_once([' ', '\t']).unwrap();
        let value = value.trim_start_matches([' ', '\t']);
        Entry { key: key.to_owned(), value: Some(value.to_owned()) }
    })
}

fn text(is_map: bool) -> impl Strategy<Value = String> {
    let key = prop_oneof![4 => "[abc]", 1 => "[a-c;\\\\#0x<.]{1,4}"];
    let value = prop_oneof![3 => "[12]", 1 => "[1 \t;\\\\<]{0,4}"];
    let line =
        (key, value).prop_map(
            move |(key, value)| if is_map { format!("{key} {value}\n") } else { format!("{key}{value}\n") },
        );
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

fn change(is_map: bool, ordered: bool, have: &[Entry], want: &[Entry]) -> Result<Option<FileChange>, Why> {
    if is_map { map("/e", ordered, have, want, CAN) } else { acl("/e", have, want, CAN) }
}

proptest! {
    #[test]
    fn a_change_gives_the_new_files_content(
        (is_map, old, new) in any::<bool>().prop_flat_map(|is_map| (Just(is_map), text(is_map), text(is_map))),
        ordered in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let read = if is_map { map_entries } else { patterns };
        let (have, want) = (read(&old).unwrap(), read(&new).unwrap());
        match change(is_map, ordered, &have, &want) {
            Err(Why::Incomplete(_)) => prop_assert!(false),
            // Only what stands for something else on the socket.
            Err(Why::Reload(_)) => prop_assert!(!is_map && (new.contains("<<") || new.contains("#0x"))),
            Ok(None) => prop_assert!(same_entries(&have, &want, ordered || !is_map)),
            Ok(Some(change)) => {
                let mut haproxy = Patterns::holding(&have);
                haproxy.carry_out(&change, cut.index(change.steps.len()));
                prop_assert_eq!(haproxy.shown(), have, "what was not completed changed something");
                prop_assert!(haproxy.entries.iter().all(|(version, _)| *version == 0), "something was left behind");
                haproxy.carry_out(&change, change.steps.len());
                prop_assert!(same_entries(&haproxy.shown(), &want, ordered || !is_map), "{:?}", haproxy.shown());
            }
        }
    }
}

#[test]
fn what_one_command_can_do_is_one_command() {
    let lines = |old: &str, new: &str, ordered: bool| {
        let (have, want) = (map_entries(old).unwrap(), map_entries(new).unwrap());
        let change = map("/e", ordered, &have, &want, CAN).unwrap().unwrap();
        change.steps.iter().map(|step| step.line(Some(7))).collect::<Vec<_>>()
    };
    let anew = ["prepare map /e", "add map @7 /e <<", "commit map @7 /e"];
    assert_eq!(lines("a 1\nb 2\n", "a 1\nb 2\nc 3\n", true), ["add map /e <<"]);
    assert_eq!(lines("a 1\nc 3\n", "a 1\nb 2\nc 3\n", false), ["add map /e <<"]);
    assert_eq!(lines("a 1\nc 3\n", "a 1\nb 2\nc 3\n", true), anew);
    assert_eq!(lines("a 1\nb 2\nc 3\n", "a 1\nc 3\n", true), ["del map /e b"]);
    assert_eq!(lines("a 1\nb 2\n", "a 1\nb x y\n", true), ["set map /e b x\\ y"]);
    assert_eq!(lines("a 1\nb 2\nb 3\n", "a 1\nb 2\n", true), anew, "del would take both");
    assert_eq!(lines("a 1\nb 2\n", "a 2\nb 1\n", true), anew, "two commands are not one change");
    assert_eq!(lines("a 1\n", "", true), ["del map /e a"]);
    assert_eq!(lines("a 1\nb 1\n", "", true), ["prepare map /e", "commit map @7 /e"]);
    assert!(map("/e", true, &[], &map_entries("a 1\nb 2\n").unwrap(), Can { version: (2, 2, 9) }).is_err());
}

#[test]
fn a_large_map_goes_in_batches() {
    let entry =
        |number| Entry { key: format!("host-{number}.example"), value: Some(format!("backend-{number}")) };
    let want: Vec<Entry> = (0..5000).map(entry).collect();
    let change = map("/e", true, &[], &want, CAN).unwrap().unwrap();
    assert!(change.steps.len() < 40, "{}", change.steps.len());
    let mut haproxy = Patterns::default();
    haproxy.carry_out(&change, change.steps.len());
    assert_eq!(haproxy.shown(), want);
}

/// HAProxy's list of certificates.
#[derive(Debug, Clone, Default)]
struct List {
    lines: Vec<Listed>,
    count: u32,
}

impl List {
    fn load(text: &str) -> Self {
        let numbered = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        let show = |(at, line): (usize, &str)| line.replacen(".pem", &format!(".pem:{}", at + 1), 1) + "\n";
        let reply = "# /l\n".to_owned() + &numbered.map(show).collect::<String>();
        Self { lines: listed(&reply).unwrap(), count: u32::try_from(text.lines().count()).unwrap() }
    }

    fn carry_out(&mut self, change: &FileChange) {
        for step in &change.steps {
            let line = step.line(None);
            let words: Vec<&str> = line.split(' ').collect();
            match (words.as_slice(), &step.payload) {
                (["add", "ssl", "crt-list", "/l", "<<"], Some(payload)) => {
                    self.count += 1;
                    let line = CertificateList::read(&format!("{payload}\n"), None).unwrap().lines.remove(0);
                    self.lines.push(Listed { line, number: self.count });
                }
                (["del", "ssl", "crt-list", "/l", entry], None) => {
                    let (certificate, number) = entry.split_once(':').unwrap();
                    let number: u32 = number.parse().unwrap();
                    let before = self.lines.len();
                    self.lines
                        .retain(|listed| listed.number != number || listed.line.certificate != certificate);
                    assert_eq!(self.lines.len(), before - 1, "{line}");
                }
                (["del", "ssl", "cert", certificate], None) => {
                    assert!(
                        self.lines.iter().all(|listed| listed.line.certificate != *certificate),
                        "{line}"
                    );
                }
                _ => panic!("{step:?}"),
            }
        }
    }

    /// Which lines answer for a name, the first one first.
    fn answers(lines: impl Iterator<Item = Line>) -> BTreeMap<String, Vec<Line>> {
        let mut found: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for line in lines {
            let names = if line.filters.is_empty() {
                names()[&line.certificate].clone()
            } else {
                line.filters.clone()
            };
            for name in names {
                found.entry(name).or_default().push(line.clone());
            }
        }
        found
    }
}

fn names() -> BTreeMap<String, Vec<String>> {
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    [
        ("/a.pem", of(&["a"])),
        ("/b.pem", of(&["a", "b"])),
        ("/c.pem", of(&["c", "*.c"])),
        ("/d.pem", of(&["d"])),
    ]
    .map(|(path, names)| (path.to_owned(), names))
    .into()
}

fn crt_list() -> impl Strategy<Value = String> {
    let line = ("/[a-d]\\.pem", "( \\[(alpn h2|ssl-min-ver TLSv1\\.2 alpn h2)\\])?", "( [ad]){0,2}");
    let line = line.prop_map(|(certificate, options, filters)| format!("{certificate}{options}{filters}\n"));
    prop::collection::vec(prop_oneof![9 => line, 1 => Just("# comment\n".to_owned())], 0..7)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn a_list_of_certificates_answers_as_the_file_says(first in "/[a-d]\\.pem\n", old in crt_list(), new in crt_list()) {
        let mut haproxy = List::load(&(first.clone() + &old));
        let list = CertificateList::read(&(first + &new), None).unwrap();
        match list.change("/l", &haproxy.lines, &names()) {
            Err(Why::Incomplete(_)) => prop_assert!(false),
            Err(Why::Reload(why)) => prop_assert!(why.starts_with("the order"), "{why}"),
            Ok(change) => {
                if let Some(change) = change {
                    haproxy.carry_out(&change);
                }
                prop_assert_eq!(haproxy.lines[0].line.clone(), list.lines[0].clone());
                let now = List::answers(haproxy.lines.into_iter().map(|listed| listed.line));
                prop_assert_eq!(now, List::answers(list.lines.into_iter()));
            }
        }
    }
}

#[test]
fn lines_of_a_list_come_before_others_go() {
    let haproxy = List::load("/a.pem\n/b.pem [alpn h2] b\n/c.pem\n");
    let list = |text: &str| CertificateList::read(text, None).unwrap();
    let lines = |change: Option<FileChange>| -> Vec<String> {
        change.unwrap().steps.iter().map(|step| step.line(None)).collect()
    };
    let wanted = list("/a.pem\n# b\n  /b.pem [ssl-min-ver TLSv1.2  alpn h2] b\n");
    let steps = lines(wanted.change("/l", &haproxy.lines, &names()).unwrap());
    let expected = [
        "add ssl crt-list /l <<",
        "del ssl crt-list /l /b.pem:2",
        "del ssl crt-list /l /c.pem:3",
        "del ssl cert /c.pem",
    ];
    assert_eq!(steps, expected);
    let loaded: BTreeSet<String> = ["/a.pem".to_owned()].into();
    assert_eq!(wanted.missing(&loaded).into_iter().collect::<Vec<_>>(), ["/b.pem"]);
    assert!(
        list("/a.pem\n/b.pem [alpn h2] b\n/c.pem\n")
            .change("/l", &haproxy.lines, &names())
            .unwrap()
            .is_none()
    );
    for other in [
        "/b.pem [alpn h2] b\n/a.pem\n/c.pem\n",
        "",
        "/a.pem\n/x.pem\n/b.pem [alpn h2] b\n/c.pem\n",
        "/a.pem d\n/c.pem\n",
    ] {
        assert!(matches!(list(other).change("/l", &haproxy.lines, &names()), Err(Why::Reload(_))), "{other}");
    }
}

#[test]
fn what_of_a_list_is_not_understood_is_left_to_a_reload() {
    for text in [
        "/a.pem [sigalgs x]\n",
        "/a.pem [alpn h2\n",
        "/a.pem b [alpn h2]\n",
        "/a.pem [ca-file x.pem]\n",
        "/a.pem [alpn]\n",
    ] {
        assert!(matches!(CertificateList::read(text, None), Err(Why::Reload(_))), "{text}");
    }
    assert!(matches!(CertificateList::read("/a.pem\n/b.pe", None), Err(Why::Incomplete(_))));
    let based = CertificateList::read("a.pem\n/b.pem\n", Some("/e")).unwrap();
    assert_eq!(
        based.lines.iter().map(|line| line.certificate.as_str()).collect::<Vec<_>>(),
        ["/e/a.pem", "/b.pem"]
    );
    let directory = CertificateList::directory(
        "/d",
        &["b.pem", ".x", "a.pem", "a.pem.key", "a.pem.ocsp"].map(str::to_owned).into(),
    );
    assert_eq!(
        directory.lines.iter().map(|line| line.certificate.as_str()).collect::<Vec<_>>(),
        ["/d/a.pem", "/d/b.pem"]
    );
    assert!(listed("didn't find the specified filename\n").is_none());
}
