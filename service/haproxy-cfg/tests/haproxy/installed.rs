//! What HAProxy's packages install: example configurations, and manuals with hundreds of snippets. Every one prints as it was,
//! byte for byte.
//!
//! Debian's `haproxy` has examples and manuals in text, `haproxy-doc` the same manuals in HTML, where snippets have
//! a tag of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use haproxy_cfg::{Document, Sections};

use super::skipped;

/// Where packages put them: Debian's, and FreeBSD's port.
const PLACES: [&str; 4] = [
    "/usr/share/doc/haproxy",
    "/etc/haproxy",
    "/usr/local/share/doc/haproxy",
    "/usr/local/share/examples/haproxy",
];
/// What a snippet stands between in HAProxy's manuals in HTML.
const SNIPPET: (&str, &str) = ("<pre class=\"prettyprint\">", "</pre>");

/// All files below the places.
fn files() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = PLACES.map(PathBuf::from).into();
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

/// The files of that kind, compressed or not, with their texts.
fn texts(suffix: &str) -> Vec<(PathBuf, String)> {
    let named = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.strip_suffix(".gz").unwrap_or(&name).ends_with(suffix)
    };
    let read = |path: PathBuf| {
        let text = String::from_utf8(content(&path)?).ok();
        text.map(|text| (path, text))
    };
    files().into_iter().filter(named).filter_map(read).collect()
}

fn content(path: &Path) -> Option<Vec<u8>> {
    if path.extension().is_none_or(|suffix| suffix != "gz") {
        return Some(std::fs::read(path).unwrap());
    }
    let Ok(output) = Command::new("gzip").arg("-dc").arg(path).output() else {
        skipped("gzip");
        return None;
    };
    assert!(output.status.success(), "{}: {output:?}", path.display());
    Some(output.stdout)
}

/// Prints as it was, whole and in parts, also when it is read after another text.
fn round_trips(before: &str, text: &str, what: &str) {
    assert_eq!(Document::parse(text).to_string(), text, "{what}");
    let sections = Sections::parse(text);
    let parts: String = sections.parts().iter().map(|part| part.document.to_string()).collect();
    assert_eq!(parts, text, "{what}");
    assert_eq!(Sections::parse(before).parse_again(text), sections, "{what}");
}

#[test]
fn example_configurations_print_as_they_were() {
    let found = texts(".cfg");
    if found.is_empty() {
        skipped("example configurations of HAProxy (Debian: in the package haproxy)");
    }
    let mut before = "";
    for (path, text) in &found {
        let what = path.display().to_string();
        round_trips(before, text, &what);
        let document = Document::parse(text.as_str());
        assert_eq!(document.faults().next(), None, "{what}");
        assert!(!document.sections().is_empty(), "{what}");
        before = text;
    }
}

#[test]
fn manuals_print_as_they_were() {
    let found = texts(".txt");
    if found.is_empty() {
        skipped("manuals of HAProxy (Debian: in the package haproxy)");
    }
    let mut before = "";
    for (path, text) in &found {
        round_trips(before, text, &path.display().to_string());
        before = text;
    }
}

#[test]
fn snippets_of_the_manuals_print_as_they_were() {
    let found = texts(".html");
    let snippets: Vec<String> = found.iter().flat_map(|(_, text)| snippets(text)).collect();
    if snippets.is_empty() {
        skipped("manuals of HAProxy in HTML (`make tools`; Debian: the package haproxy-doc)");
    }
    let mut before = "";
    for text in &snippets {
        round_trips(before, text, text);
        // Some are commands for a shell; one that opens a section is a configuration.
        let document = Document::parse(text.as_str());
        let fault = document.faults().next();
        assert!(document.sections().is_empty() || fault.is_none(), "{fault:?} in\n{text}");
        before = text;
    }
}

/// The snippets of a manual in HTML, as text.
fn snippets(html: &str) -> impl Iterator<Item = String> {
    let inner = html.split(SNIPPET.0).skip(1).filter_map(|rest| rest.split_once(SNIPPET.1));
    inner.map(|(inner, _)| plain(inner) + "\n")
}

fn plain(html: &str) -> String {
    let (start, tags) = html.split_once('<').unwrap_or((html, ""));
    let after = tags.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text);
    let text: String = std::iter::once(start).chain(after).collect();
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}
