//! A file that is read again and again: cut at its section headers, so that a later text costs what changed in it.
//!
//! In: a text, and the parts of an earlier one. Out: [`Sections`]: parts that are equal are the same in memory, all others are
//! read anew. Never fails, like [`Document::parse`], whose sections they are (held by a property test).

use std::sync::Arc;

use crate::document::Document;
use crate::lexer::lex;
use crate::section::{Section, is_keyword};

/// One configuration file in parts. A clone costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sections {
    parts: Arc<[Part]>,
}

/// What stands before the first section, or one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The part, read by itself: its lines count from 1, its offsets from 0. It holds one section at most.
    pub document: Arc<Document>,
    /// How many lines stand before it in the file.
    pub lines_before: usize,
    /// Where it begins in the file, in bytes.
    pub start: usize,
}

impl Part {
    /// The section; `None` for what stands before the first one.
    pub fn section(&self) -> Option<&Section> {
        self.document.sections().first()
    }

    /// Whether `.if` or another command to the parser itself stands in it.
    pub fn has_conditions(&self) -> bool {
        self.document.lines().iter().any(crate::Line::is_directive)
    }

    /// Whether both are the same text, wherever they stand. The same part in memory costs nothing to compare.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.document, &other.document) || self.document.text() == other.document.text()
    }
}

impl Sections {
    /// Reads a file for the first time.
    pub fn parse(text: &str) -> Self {
        Self::default().parse_again(text)
    }

    /// Reads a later text of the same file. Costs a comparison of the texts, and a reading of what differs.
    #[must_use]
    pub fn parse_again(&self, text: &str) -> Self {
        let (mut parts, mut known) = (Vec::with_capacity(self.parts.len() + 1), &*self.parts);
        let (mut start, mut lines_before) = (0, 0);
        while start < text.len() {
            let document = known_first(&mut known, &text[start..])
                .unwrap_or_else(|| Arc::new(Document::parse(first_part(&text[start..]))));
            let (length, lines) = (document.text().len(), document.lines().len());
            parts.push(Part { document, lines_before, start });
            (start, lines_before) = (start + length, lines_before + lines);
        }
        Self { parts: parts.into() }
    }

    /// All parts, in order; printed one after the other they are the text.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part that the byte at `offset` is in.
    pub fn part_at(&self, offset: usize) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.start <= offset);
        self.parts[..after].last()
    }
}

/// The part that `text` begins with, where it is known. It is looked for by its first line, which names it; the known
/// ones before it are passed over, since sections keep their order.
fn known_first(known: &mut &[Part], text: &str) -> Option<Arc<Document>> {
    let at = known.iter().position(|part| text.starts_with(header(part)))?;
    let (part, next) = (&known[at], known.get(at + 1));
    *known = &known[at + 1..];
    let rest = text.strip_prefix(part.document.text())?;
    ends_before(part, next, rest).then(|| part.document.clone())
}

/// Whether `part`, followed by `rest`, ends where `rest` begins. `next` followed it before.
fn ends_before(part: &Part, next: Option<&Part>, rest: &str) -> bool {
    let header = next.map(header).filter(|header| header.ends_with('\n'));
    let as_before = header.is_some_and(|header| rest.starts_with(header));
    rest.is_empty() || as_before || (part.document.text().ends_with('\n') && opens(first_line(rest)))
}

/// The first line of a part.
fn header(part: &Part) -> &str {
    let line = part.document.lines().first();
    line.map(|line| part.document.source(line)).unwrap_or_default()
}

/// The text up to the second section header, or the first where something stands before it.
fn first_part(text: &str) -> &str {
    let mut end = first_line(text).len();
    while end < text.len() && !opens(first_line(&text[end..])) {
        end += first_line(&text[end..]).len();
    }
    &text[..end]
}

/// The first line, its line feed included.
fn first_line(text: &str) -> &str {
    text.split_inclusive('\n').next().unwrap_or_default()
}

/// Whether the line opens a section, mostly without reading all of it.
fn opens(line: &str) -> bool {
    let word = line.trim_start_matches(SPACE);
    let end = word.find(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    let (word, after) = word.split_at(end.unwrap_or(word.len()));
    if after.is_empty() || after.starts_with(SPACE) {
        return is_keyword(word);
    }
    // What is quoted or escaped may still spell a keyword.
    let doubtful = is_keyword(word) || after.starts_with(['"', '\'', '\\']);
    doubtful && lex(line).first().is_some_and(|line| Section::open(line, 0).is_some())
}

/// What separates words, and the line feed.
const SPACE: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(sections: &Sections) -> Vec<&str> {
        sections.parts().iter().map(|part| part.document.text()).collect()
    }

    #[test]
    fn what_did_not_change_is_not_read_again() {
        let before = Sections::parse("# top\nglobal\n daemon\nbackend a\n server s 10.0.0.1:80\nbackend b\n");
        let after = before.parse_again("# top\nglobal\n daemon\nbackend a\nbackend b\n");
        let same = |at: usize| Arc::ptr_eq(&before.parts[at].document, &after.parts[at].document);
        assert_eq!((same(0), same(1), same(2), same(3)), (true, true, false, true));
        assert_eq!((after.parts[3].lines_before, after.parts[3].start), (4, 31));
        let gone = before.parse_again("# top\nbackend b\n");
        assert!(Arc::ptr_eq(&gone.parts[1].document, &before.parts[3].document));
        let come = before.parse_again(&format!("global\nlisten new\n{}", before.parts[3].document.text()));
        assert!(Arc::ptr_eq(&come.parts[2].document, &before.parts[3].document));
    }

    fn line() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            "backend web from base",
            "\"backend\" x",
            "back\"end\" x",
            " \tlisten l",
            "global # top",
            "globals",
            "defaults",
            "  server a 10.0.0.1:80 check # c",
            "backend\\ x",
            ".if defined(X)",
            "",
        ]);
        prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[ -~\t\r\u{b}]{0,12}"]
    }

    fn text() -> impl Strategy<Value = String> {
        (prop::collection::vec(line(), 0..12), "\n?").prop_map(|(lines, end)| lines.join("\n") + &end)
    }

    proptest! {
        #[test]
        fn parts_are_the_sections_of_the_whole_text(first in text(), second in text(), third in text()) {
            let again = Sections::parse(&third).parse_again(&first).parse_again(&second);
            prop_assert_eq!(texts(&again).concat(), second.clone());
            prop_assert_eq!(&again, &Sections::parse(&second));
            let whole = Document::parse(second.clone());
            let named = |section: &Section| (section.keyword, section.name.clone(), section.defaults.clone());
            let expected: Vec<_> = whole.sections().iter().map(named).collect();
            let found: Vec<_> = again.parts().iter().filter_map(Part::section).map(named).collect();
            prop_assert_eq!(found, expected);
            for part in again.parts() {
                prop_assert!(part.document.sections().len() <= 1);
                prop_assert_eq!(whole.line_at(part.start).unwrap().number, part.lines_before + 1);
                prop_assert_eq!(again.part_at(part.start), Some(part));
            }
        }
    }
}
