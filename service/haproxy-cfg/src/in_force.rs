//! What is in force in each section: its own lines and those of the `defaults` it starts from.
//!
//! In: documents in load order, with what is not certain in them. Out: [`InForce`]. Nothing here fails, and nothing is guessed:
//! a line in an `.if` block, one that depends on the environment and one that may open a section are noted as such, so that
//! "it is not set" is only said where it is so.

mod reader;

use crate::document::Document;
use crate::line::{Line, Word};
use crate::section::Section;
use reader::Reader;

/// A document, with what is known of its lines.
#[derive(Debug, Clone, Copy)]
pub struct Source<'d> {
    /// The document.
    pub document: &'d Document,
    /// For each line, in which branch of something that decides whether it is there: 0 is none; two lines in the same branch
    /// are there together. Lines beyond its end are in none. `.if` blocks are found without it.
    pub branches: &'d [u32],
    /// A character that stands for a text that is not known. Two of them stand for one that may also not be there, or be
    /// several words.
    pub hole: Option<char>,
}

/// All sections of a configuration.
#[derive(Debug, Clone, Default)]
pub struct InForce<'d> {
    /// In load order.
    pub sections: Vec<Holding<'d>>,
    /// Whether all lines are known. If not, there may be sections that are not here.
    pub is_complete: bool,
}

/// A section with what holds in it.
#[derive(Debug, Clone)]
pub struct Holding<'d> {
    /// Which source it stands in, from 0.
    pub file: usize,
    /// The section.
    pub section: &'d Section,
    /// Its header.
    pub header: &'d Line,
    /// Whether it depends on an `.if` block that it is there.
    pub is_conditional: bool,
    /// The `defaults` section that it starts from, as an index; `None` where there is none or it is not known.
    pub defaults: Option<usize>,
    /// All that holds: the lines of `defaults` first. A later line changes what an earlier one says.
    pub settings: Vec<Setting<'d>>,
    /// Whether all lines that hold are among the settings.
    pub is_complete: bool,
    /// How many of the settings are those of `defaults`.
    inherited: usize,
    hole: Option<char>,
}

/// A line in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<'d> {
    /// Which source it stands in, from 0.
    pub file: usize,
    /// The line.
    pub line: &'d Line,
    /// It is there wherever its section is, and its words are what they look like.
    pub is_certain: bool,
    /// It stands in a branch of the source or has a hole: what is not known decides whether it is there, how often, and
    /// what it says.
    pub is_open: bool,
    hole: Option<char>,
}

/// What is known of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'d> {
    /// No line sets it.
    Unset,
    /// This line does.
    Set(Setting<'d>),
    /// A line undoes it: `no option …`.
    Undone,
    /// It depends on what cannot be seen here.
    Unknown,
}

/// The branch of the source and of `.if` blocks that a line is in.
type Branch = (u32, u32);

impl<'d> Source<'d> {
    /// A document of which all is known, as far as HAProxy's language goes.
    pub fn plain(document: &'d Document) -> Self {
        Self { document, branches: &[], hole: None }
    }

    fn branch(&self, index: usize) -> u32 {
        self.branches.get(index).copied().unwrap_or(0)
    }

    /// Whether nothing can be said of `line`: it may be any other, or several, section headers among them.
    fn may_be_anything(&self, line: &Line) -> bool {
        let first = line.words.first();
        first.map_or(line.fault.is_some(), |first| is_unknown(first, self.hole))
    }

    /// The line in force, with whether its words are what they look like.
    fn setting(&self, file: usize, line: &'d Line, branch: Branch) -> Setting<'d> {
        let hole = self.hole;
        let has_hole = |word: &Word| hole.is_some_and(|hole| word.value.contains(hole));
        let is_certain = line.fault.is_none() && !line.words.iter().any(|word| is_unknown(word, hole));
        let is_open = branch.0 != 0 || line.words.iter().any(has_hole);
        Setting { file, line, is_certain, is_open, hole }
    }
}

/// Whether the word is not what it looks like.
fn is_unknown(word: &Word, hole: Option<char>) -> bool {
    word.environment || hole.is_some_and(|hole| word.value.contains(hole))
}

impl<'d> InForce<'d> {
    /// Reads sources as HAProxy does, one after the other.
    pub fn read(sources: &[Source<'d>]) -> Self {
        Reader::read(sources)
    }

    /// The sections of that kind, in load order.
    pub fn of<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a Holding<'d>> {
        self.sections.iter().filter(move |holding| holding.section.keyword == keyword)
    }
}

impl<'d> Holding<'d> {
    /// The lines that stand in the section itself.
    pub fn own(&self) -> &[Setting<'d>] {
        &self.settings[self.inherited..]
    }

    /// What the last line with this keyword says.
    pub fn known(&self, keyword: &str) -> Known<'d> {
        let lines = self.settings.iter().filter(|setting| setting.line.keyword() == Some(keyword));
        self.end(lines.map(|setting| (Known::Set(*setting), *setting)))
    }

    /// Whether `option NAME` is in force.
    pub fn option(&self, name: &str) -> Known<'d> {
        let says = |setting: &Setting<'d>| Some((setting.says_of_option(name)?, *setting));
        self.end(self.settings.iter().filter_map(says))
    }

    /// What lines leave, one after the other.
    fn end(&self, lines: impl Iterator<Item = (Known<'d>, Setting<'d>)>) -> Known<'d> {
        let start = if self.is_complete { Known::Unset } else { Known::Unknown };
        lines.fold(start, |_, (known, setting)| if setting.is_certain { known } else { Known::Unknown })
    }

    /// The section as messages call it, with `…` for what is not known of its name.
    pub fn title(&self) -> String {
        let words = [Some(self.section.keyword), self.section.name.as_deref()];
        let title = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        self.hole.map_or(title.clone(), |hole| title.replace(hole, "…"))
    }
}

impl<'d> Setting<'d> {
    /// Whether word `index` is not what it looks like.
    pub fn is_unknown(&self, index: usize) -> bool {
        self.line.words.get(index).is_some_and(|word| is_unknown(word, self.hole))
    }

    /// Whether there may be more or fewer words than it looks like.
    pub fn may_have_other_words(&self) -> bool {
        let twice = self.hole.map(|hole| String::from_iter([hole; 2]));
        let is_open = |word: &Word| twice.as_ref().is_some_and(|twice| word.value.contains(twice));
        self.line.fault.is_some() || self.line.words.iter().any(|word| word.environment || is_open(word))
    }

    /// What the line says of `option NAME`: `no` and `default` may stand before it.
    fn says_of_option(&self, name: &str) -> Option<Known<'d>> {
        let before = self.line.keyword().filter(|word| matches!(*word, "no" | "default"));
        let at = usize::from(before.is_some());
        let names_it = self.line.word(at + 1) == Some(name) || self.is_unknown(at + 1);
        (names_it && self.line.word(at) == Some("option")).then_some(match before {
            Some("no") => Known::Undone,
            Some(_) => Known::Unset,
            None => Known::Set(*self),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known in each section, as `TITLE: …`.
    fn known(texts: &[&str], ask: impl Fn(&Holding<'_>) -> String) -> Vec<String> {
        let documents: Vec<Document> = texts.iter().map(|text| Document::parse(*text)).collect();
        let sources: Vec<Source<'_>> = documents.iter().map(Source::plain).collect();
        let all = InForce::read(&sources);
        all.sections.iter().map(|holding| format!("{}: {}", holding.title(), ask(holding))).collect()
    }

    fn mode(holding: &Holding<'_>) -> String {
        said(holding.known("mode"))
    }

    fn redispatch(holding: &Holding<'_>) -> String {
        said(holding.option("redispatch"))
    }

    fn said(known: Known<'_>) -> String {
        match known {
            Known::Unset => "unset".to_owned(),
            Known::Undone => "undone".to_owned(),
            Known::Unknown => "unknown".to_owned(),
            Known::Set(setting) => format!("{}:{}", setting.file, setting.line.number),
        }
    }

    #[test]
    fn sections_start_from_the_last_defaults_or_from_those_they_name() {
        let first = "defaults a\n mode http\nbackend x\ndefaults b from a\n log global\n";
        let second = "backend y\ndefaults\nlisten z\nlisten w from a\n mode tcp\nfrontend v from gone\n                      peers p\nglobal\n";
        assert_eq!(
            known(&[first, second], mode),
            [
                "defaults a: 0:2",
                "backend x: 0:2",
                "defaults b: 0:2",
                "backend y: 0:2",
                "defaults: unset",
                "listen z: unset",
                "listen w: 1:5",
                "frontend v: unknown",
                "peers p: unset",
                "global: unset",
            ]
        );
    }

    #[test]
    fn an_option_is_set_undone_and_left_to_its_default() {
        let text = "defaults\n option redispatch 1\nbackend a\nbackend b\n no option redispatch\n                    backend c\n default option redispatch\nbackend d\n option httpchk\n option redispatch # x\n                    backend e\n option \"${A}\"\nbackend f\n option redispatch\n no option \"$A\"\n";
        assert_eq!(
            known(&[text], redispatch),
            [
                "defaults: 0:2",
                "backend a: 0:2",
                "backend b: undone",
                "backend c: unset",
                "backend d: 0:10",
                "backend e: unknown",
                "backend f: unknown",
            ]
        );
    }

    #[test]
    fn what_depends_on_a_block_or_on_the_environment_is_not_known() {
        let text = "defaults\n mode \"$MODE\"\nbackend a\nbackend b\n mode tcp\n.if defined(X)\ndefaults\n mode http\n                    backend c\n.endif\n mode tcp\nbackend d\nbackend e\n.if defined(X)\n mode tcp\n.else\n mode http\n                    .endif\n mode tcp\n";
        assert_eq!(
            known(&[text], mode),
            [
                "defaults: unknown",
                "backend a: unknown",
                // Its last line may be the one after `.endif`.
                "backend b: unknown",
                "defaults: 0:8",
                "backend c: unknown",
                "backend d: unknown",
                "backend e: 0:19",
            ]
        );
    }

    #[test]
    fn a_line_that_may_be_any_may_set_anything_and_open_a_section() {
        let text =
            "defaults\n mode http\nbackend a\n \"$ANY\"\nbackend b\ndefaults c\nbackend d\nbackend e 'x\n";
        assert_eq!(
            known(&[text], redispatch),
            [
                "defaults: unset",
                "backend a: unknown",
                "backend b: unknown",
                "defaults c: unset",
                "backend d: unset",
                "backend e: unset",
            ]
        );
        let document = Document::parse(text);
        assert!(!InForce::read(&[Source::plain(&document)]).is_complete);
    }

    #[test]
    fn branches_and_holes_of_a_source_are_not_known() {
        let document = Document::parse(
            "defaults\n mode ?\nbackend a\n option ?\n server ? ?:80\nbackend ?\n retries 3\n",
        );
        let all = InForce::read(&[Source {
            document: &document,
            branches: &[0, 0, 0, 0, 1, 2, 2],
            hole: Some('?'),
        }]);
        let [_, a, b] = all.sections.as_slice() else { panic!() };
        assert_eq!((mode(a), redispatch(a)), ("unknown".into(), "unknown".into()));
        let open: Vec<_> = a.settings.iter().map(|setting| (setting.is_open, setting.is_certain)).collect();
        assert_eq!(open, [(true, false), (true, false), (true, false)]);
        assert_eq!((said(b.known("retries")), b.is_complete, all.is_complete), ("0:7".into(), true, true));
    }
}
