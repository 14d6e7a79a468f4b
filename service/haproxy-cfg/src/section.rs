//! Sections: what opens one, its name, and which lines belong to it.

use std::ops::Range;

use crate::line::Line;

/// The words that open a section, in HAProxy 2.6 to 3.2.
pub const KEYWORDS: [&str; 19] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
];

/// One section of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// One of [`KEYWORDS`].
    pub keyword: &'static str,
    /// The section's name; `None` where it has none, as `global`.
    pub name: Option<String>,
    /// The `defaults` section named after `from`.
    pub defaults: Option<String>,
    /// Which of the document's lines are the section's, by index; the first is its header.
    pub lines: Range<usize>,
}

impl Section {
    /// The section that `line`, the document's line `index`, opens, without any further lines.
    pub(crate) fn open(line: &Line, index: usize) -> Option<Self> {
        let keyword = keyword(line.keyword()?)?;
        let name = line.word(1).filter(|_| !is_nameless_defaults(line)).filter(|name| !name.is_empty());
        let from = if is_nameless_defaults(line) { 1 } else { 2 };
        let defaults = line.word(from).filter(|word| *word == "from").and_then(|_| line.word(from + 1));
        let [name, defaults] = [name, defaults].map(|word| word.map(str::to_owned));
        Some(Self { keyword, name, defaults, lines: index..index + 1 })
    }

    /// Whether servers for traffic stand in it.
    pub fn is_pool(&self) -> bool {
        matches!(self.keyword, "backend" | "listen")
    }
}

/// Whether the word opens a section where it is a line's first.
pub(crate) fn is_keyword(word: &str) -> bool {
    keyword(word).is_some()
}

fn keyword(word: &str) -> Option<&'static str> {
    KEYWORDS.binary_search(&word).ok().map(|index| KEYWORDS[index])
}

/// `defaults from NAME` has no name of its own.
fn is_nameless_defaults(line: &Line) -> bool {
    line.keyword() == Some("defaults") && line.word(1) == Some("from") && line.words.len() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(KEYWORDS.is_sorted());
    }
}
