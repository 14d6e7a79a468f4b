//! One configuration file: its text, its lines and the sections they form. In: any text. Out: a document that
//! prints as that text. Never fails; see [`Document::faults`].

use std::fmt;

use crate::lexer::lex;
use crate::line::{Fault, Line, PlainWords};
use crate::pool::Pool;
use crate::section::Section;

/// One configuration file, every byte of it kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    text: String,
    lines: Vec<Line>,
    sections: Vec<Section>,
    has_conditions: bool,
}

impl Document {
    /// Reads `text`.
    pub fn parse(text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = lex(&text);
        let mut sections: Vec<Section> = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if let Some(section) = Section::open(line, index) {
                sections.push(section);
            } else if let Some(section) = sections.last_mut() {
                section.lines.end = index + 1;
            }
        }
        let has_conditions = lines.iter().any(Line::is_directive);
        Self { text, lines, sections, has_conditions }
    }

    /// Whether `.if` or another command to the parser itself stands in it.
    pub fn has_conditions(&self) -> bool {
        self.has_conditions
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// All sections, in order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The lines before the first section.
    pub fn preamble(&self) -> &[Line] {
        let end = self.sections.first().map_or(self.lines.len(), |section| section.lines.start);
        &self.lines[..end]
    }

    /// The header of one of this document's sections.
    pub fn header(&self, section: &Section) -> &Line {
        &self.lines[section.lines.start]
    }

    /// The lines of one of this document's sections, without its header.
    pub fn body(&self, section: &Section) -> &[Line] {
        &self.lines[section.lines.start + 1..section.lines.end]
    }

    /// A line as it is written, its line feed included.
    pub fn source(&self, line: &Line) -> &str {
        &self.text[line.range.clone()]
    }

    /// The words of a line, if the text alone says them. Whoever goes through thousands of lines finds them closer together
    /// there than in [`Line::words`].
    pub fn plain_words(&self, line: &Line) -> Option<PlainWords<'_>> {
        line.is_plain.then(|| PlainWords::new(self.source(line)))
    }

    /// Every `backend` and `listen` section with its servers, in order.
    pub fn pools(&self) -> impl Iterator<Item = Pool<'_>> {
        self.sections.iter().filter(|section| section.is_pool()).map(|section| Pool::read(self, section))
    }

    /// What HAProxy would refuse without even looking at what the words mean.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.lines.iter().filter_map(|line| line.fault.as_ref())
    }

    /// The line that the byte at `offset` is on.
    pub fn line_at(&self, offset: usize) -> Option<&Line> {
        let index = self.lines.partition_point(|line| line.range.end <= offset);
        self.lines.get(index)
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| f.write_str(self.source(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sections_have_names_and_lines() {
        let text = "# top\n\nglobal\n  daemon\ndefaults base from other\n mode http\ndefaults from base\n\
                    backend web from base # c\n  .if defined(X)\n  wholly unknown\n  .endif\n";
        let document = Document::parse(text);
        let sections: Vec<_> = document
            .sections()
            .iter()
            .map(|s| (s.keyword, s.name.as_deref(), s.defaults.as_deref(), s.lines.clone()))
            .collect();
        assert_eq!(
            sections,
            [
                ("global", None, None, 2..4),
                ("defaults", Some("base"), Some("other"), 4..6),
                ("defaults", None, Some("base"), 6..7),
                ("backend", Some("web"), Some("base"), 7..11),
            ]
        );
        assert_eq!(document.preamble().len(), 2);
        let web = &document.sections()[3];
        assert_eq!(document.header(web).number, 8);
        assert!(document.body(web)[0].is_directive());
        assert_eq!(document.source(&document.body(web)[1]), "  wholly unknown\n");
        assert_eq!(document.line_at(text.len() - 1).unwrap().number, 11);
    }

    fn line() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            "backend web from base",
            "listen 'a b'",
            "  server a 10.0.0.1:80 check # c",
            "\tserver-template s 1-3 _http._tcp.x:80",
            "global",
            ".if defined(X)",
            "  balance \"${ALGO-round robin}\"",
            "",
            "[scope]",
        ]);
        prop_oneof![known.prop_map(str::to_owned), "[ -~é\t\r\u{b}]{0,30}", "[\"'\\\\$#{} x]{0,12}"]
    }

    proptest! {
        #[test]
        fn printing_gives_the_same_text_back(lines in prop::collection::vec(line(), 0..20), end in "\n?") {
            let text = lines.join("\n") + &end;
            let document = Document::parse(text.clone());
            prop_assert_eq!(document.to_string(), text);
            prop_assert!(document.pools().all(|pool| pool.section.is_pool()));
            for line in document.lines() {
                let words: Vec<&str> = line.words.iter().map(|word| word.value.as_str()).collect();
                let plain = document.plain_words(line).map(Iterator::collect::<Vec<_>>);
                prop_assert!(plain.as_ref().is_none_or(|plain| *plain == words), "{:?}, {:?}", plain, words);
            }
        }

        #[test]
        fn arbitrary_text_prints_as_it_was(text in any::<String>()) {
            prop_assert_eq!(Document::parse(text.clone()).to_string(), text);
        }
    }
}
