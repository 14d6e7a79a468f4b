//! A file that is read again and again: cut at its section headers, so that a later text costs what changed in it.
//!
//! In: a text, and the parts of an earlier one. Out: [`Sections`]: parts that are equal are the same in memory, all others are
//! read anew. Never fails, like [`Document::parse`], whose sections they are (held by a property test).

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::document::Document;
use crate::lexer::lex;
use crate::line::is_space;
use crate::section::{Section, is_keyword};

/// One configuration file in parts. A clone costs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    text: Arc<str>,
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
    outline: Outline,
}

/// What is asked of every part for each change. It stands beside the others', where the documents lie all over the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outline {
    is_defaults: bool,
    has_conditions: bool,
    /// Of a pool, what stands for its name.
    pool: Option<u64>,
}

/// Names of pools to find the parts of.
#[derive(Debug, Default)]
pub struct PoolNames<'a> {
    names: BTreeSet<&'a str>,
    short: BTreeSet<u64>,
}

impl<'a> FromIterator<&'a str> for PoolNames<'a> {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let names: BTreeSet<&str> = names.into_iter().collect();
        Self { short: names.iter().map(|name| short(name)).collect(), names }
    }
}

impl<'a> PoolNames<'a> {
    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.names.iter().copied()
    }
}

/// What stands for a name. Two names may have the same.
fn short(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl Part {
    fn new(document: Arc<Document>, lines_before: usize, start: usize) -> Self {
        let section = document.sections().first();
        let pool = section.filter(|section| section.is_pool());
        let outline = Outline {
            is_defaults: section.is_some_and(|section| section.keyword == "defaults"),
            has_conditions: document.has_conditions(),
            pool: pool.map(|pool| short(pool.name.as_deref().unwrap_or_default())),
        };
        Self { document, lines_before, start, outline }
    }

    /// Whether it is a `defaults` section.
    pub fn is_defaults(&self) -> bool {
        self.outline.is_defaults
    }

    /// The name of the pool that it is, empty where it has none; `None` where it is no pool.
    pub fn pool(&self) -> Option<&str> {
        self.outline.pool?;
        self.section().map(|section| section.name.as_deref().unwrap_or_default())
    }

    /// Whether it is one of these pools.
    pub fn is_one_of(&self, pools: &PoolNames<'_>) -> bool {
        self.outline.pool.is_some_and(|short| pools.short.contains(&short))
            && self.pool().is_some_and(|name| pools.names.contains(name))
    }

    /// The section; `None` for what stands before the first one.
    pub fn section(&self) -> Option<&Section> {
        self.document.sections().first()
    }

    /// Whether `.if` or another command to the parser itself stands in it.
    pub fn has_conditions(&self) -> bool {
        self.outline.has_conditions
    }

    /// How many lines the file has up to the end of the part.
    fn lines_after(&self) -> usize {
        self.lines_before + self.document.lines().len()
    }

    /// Whether both are the same text, wherever they stand. The same part in memory costs nothing to compare.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.document, &other.document) || self.document.text() == other.document.text()
    }
}

impl Default for Sections {
    /// Those of an empty text.
    fn default() -> Self {
        Self { text: "".into(), parts: Arc::default() }
    }
}

impl Sections {
    /// Reads a file for the first time.
    pub fn parse(text: impl Into<Arc<str>>) -> Self {
        Self::default().parse_again(text)
    }

    /// Reads a later text of the same file. Costs a comparison of the texts, and a reading of what differs.
    #[must_use]
    pub fn parse_again(&self, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let (head, tail) = self.same_ends(&text);
        let mut parts = Vec::with_capacity(self.parts.len() + 1);
        parts.extend_from_slice(&self.parts[..head]);
        let stop = self.parts.get(tail).map_or(self.text.len(), |part| part.start);
        let stop = text.len() - (self.text.len() - stop);
        read_middle(&text[..stop], &self.parts[head..tail], &mut parts);
        if let Some(first) = self.parts.get(tail) {
            let before = parts.last().map_or(0, Part::lines_after);
            parts.extend(self.parts[tail..].iter().map(|part| Part {
                document: part.document.clone(),
                lines_before: part.lines_before - first.lines_before + before,
                start: part.start - first.start + stop,
                outline: part.outline,
            }));
        }
        Self { text, parts: parts.into() }
    }

    /// How many parts at the beginning are the beginning of `text` too, and from which on they are its end.
    fn same_ends(&self, text: &str) -> (usize, usize) {
        let (known, text) = (self.text.as_bytes(), text.as_bytes());
        let same = same_head(known, text);
        // A part ends where the next one begins: the last of those that are there as a whole is not certain.
        let head = self.parts.partition_point(|part| part.start <= same).saturating_sub(2);
        let (known, text) = (&known[same..], &text[same..]);
        let end = self.text.len() - same_tail(known, text);
        // The line feed before a part counts too: it makes the part's first line a line.
        let tail = self.parts.partition_point(|part| part.start <= end);
        (head, tail.max(head))
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

/// Reads what `text` holds behind the `parts` that are there already; `known` are those that stood there before.
fn read_middle(text: &str, mut known: &[Part], parts: &mut Vec<Part>) {
    let last = parts.last();
    let mut start = last.map_or(0, |part| part.start + part.document.text().len());
    let mut lines_before = last.map_or(0, Part::lines_after);
    while start < text.len() {
        let document = known_first(&mut known, &text[start..])
            .unwrap_or_else(|| Arc::new(Document::parse(first_part(&text[start..]))));
        let part = Part::new(document, lines_before, start);
        (start, lines_before) = (start + part.document.text().len(), part.lines_after());
        parts.push(part);
    }
}

/// How much is compared at once: most of a text is the same. (The tests' texts are short.)
const BLOCK: usize = if cfg!(test) { 8 } else { 1024 };

/// How many bytes both begin with.
fn same_head(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK)).take_while(|(a, b)| a == b).count() * BLOCK;
    blocks + a[blocks..].iter().zip(&b[blocks..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes both end with.
fn same_tail(a: &[u8], b: &[u8]) -> usize {
    let blocks =
        a.rchunks_exact(BLOCK).zip(b.rchunks_exact(BLOCK)).take_while(|(a, b)| a == b).count() * BLOCK;
    let (a, b) = (&a[..a.len() - blocks], &b[..b.len() - blocks]);
    blocks + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
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
    let is_space = |character: char| u8::try_from(character).is_ok_and(is_space);
    let word = line.trim_start_matches(is_space);
    let end = word.find(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    let (word, after) = word.split_at(end.unwrap_or(word.len()));
    if after.is_empty() || after.starts_with(is_space) {
        return is_keyword(word);
    }
    // What is quoted or escaped may still spell a keyword.
    let doubtful = is_keyword(word) || after.starts_with(['"', '\'', '\\']);
    doubtful && lex(line).first().is_some_and(|line| Section::open(line, 0).is_some())
}

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
        let come = before.parse_again(format!("global\nlisten new\n{}", before.parts[3].document.text()));
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
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn parts_are_the_sections_of_the_whole_text(first in text(), second in text(), third in text(), cut in (0..150_usize, 0..150_usize)) {
            // One that shares its beginning and its end with the one before, and one that shares nothing.
            let near = |at: usize| first.char_indices().nth(at).map_or(first.len(), |(at, _)| at);
            let (from, to) = (near(cut.0.min(cut.1)), near(cut.0.max(cut.1)));
            let between = format!("{}{second}{}", &first[..from], &first[to..]);
            let known = Sections::parse(third).parse_again(first.as_str());
            prop_assert_eq!(&known.parse_again(between.as_str()), &Sections::parse(between));
            let again = known.parse_again(second.as_str());
            prop_assert_eq!(texts(&again).concat(), second.clone());
            prop_assert_eq!(&again, &Sections::parse(second.as_str()));
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
