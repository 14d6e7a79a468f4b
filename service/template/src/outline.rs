//! A template's source as the text that it renders to, as far as that can be told without any answer.
//!
//! In: a source. Out: an [`Outline`]: the tags taken out, a [`HOLE`] for each value, and for every line where it stands in the
//! source and in which branch of the template's blocks. Nothing where the source has mistakes.

use handlebars::template::{HelperTemplate, TemplateElement};

use crate::lint;
use crate::lint::Place;

/// Stands for a printed value. Two of them stand for text that is there or not: a block in the midst of a line.
pub const HOLE: char = '\u{fffc}';
const SOMETIMES: &str = "\u{fffc}\u{fffc}";

/// What a source is, values and blocks aside. Lines of loops are there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The text.
    pub text: String,
    /// Of each line of the text, its line in the source, from 1.
    pub lines: Vec<usize>,
    /// Of each line of the text, the branch that it is in: 0 outside of all blocks; lines of the same branch are there
    /// together.
    pub branches: Vec<u32>,
}

/// The outline of a source; `None` where `Template::parse` reports mistakes.
pub fn outline(source: &str) -> Option<Outline> {
    let parsed = lint::parse(source).ok()?;
    lint::check(source, &parsed).ok()?;
    let mut walk = Walk {
        source,
        place: Place::new(source),
        at: 0,
        branches: 0,
        line: Line::default(),
        out: Outline::default(),
    };
    walk.template(&parsed, 0);
    walk.end_line(false);
    Some(walk.out)
}

struct Walk<'s> {
    source: &'s str,
    place: Place<'s>,
    /// How far the source has been read.
    at: usize,
    /// How many branches there are.
    branches: u32,
    line: Line,
    out: Outline,
}

/// A line in the making.
#[derive(Default)]
struct Line {
    text: String,
    /// Its line in the source, and its branch: those of the first thing on it that is seen.
    begins: Option<(usize, u32)>,
}

impl Walk<'_> {
    fn template(&mut self, template: &handlebars::Template, branch: u32) {
        for (index, element) in template.elements.iter().enumerate() {
            match template.mapping.get(index) {
                Some(tag) => self.place.enter(tag.0, tag.1),
                None => self.place.enter_else(),
            }
            self.at = self.at.max(self.place.offset());
            match element {
                TemplateElement::RawString(text) => self.raw(text, branch),
                TemplateElement::HelperBlock(call) => self.block(call, branch),
                TemplateElement::Comment(_) => {}
                _ => self.seen(HOLE, branch),
            }
        }
    }

    fn block(&mut self, call: &HelperTemplate, branch: u32) {
        // `{{{{raw}}}} … {{{{/raw}}}}` is text, whatever happens.
        let is_text = call.name.as_name() == Some("raw");
        for inner in [&call.template, &call.inverse].into_iter().flatten() {
            self.branches += u32::from(!is_text);
            let inside = if is_text { branch } else { self.branches };
            self.template(inner, inside);
        }
    }

    /// Text as it stands in the source, but for white space that tags take away and for `\` before `{{`. The place that
    /// handlebars gives is before its white space or behind it.
    fn raw(&mut self, text: &str, branch: u32) {
        let (before, rest) = text.split_at(text.len() - text.trim_start().len());
        for character in before.chars() {
            self.character(character, branch);
        }
        let blank = self.source.get(self.at..).unwrap_or_default();
        self.at += blank.len() - blank.trim_start().len();
        for character in rest.chars() {
            self.character(character, branch);
            self.at += character.len_utf8();
        }
    }

    fn character(&mut self, character: char, branch: u32) {
        match character {
            '\n' => self.end_line(true),
            character if character.is_whitespace() => self.blank(character, branch),
            character => self.seen(character, branch),
        }
    }

    fn blank(&mut self, character: char, branch: u32) {
        if self.line.begins.is_none_or(|(_, begun)| begun == branch) {
            self.line.text.push(character);
        }
    }

    fn seen(&mut self, character: char, branch: u32) {
        let begins = (self.place.line(self.at), branch);
        if self.line.begins.get_or_insert(begins).1 == branch {
            self.line.text.push(character);
        } else if !self.line.text.ends_with(SOMETIMES) {
            self.line.text.push_str(SOMETIMES);
        }
    }

    fn end_line(&mut self, has_end: bool) {
        let line = std::mem::take(&mut self.line);
        if !has_end && line.text.is_empty() {
            return;
        }
        let (number, branch) = line.begins.unwrap_or((self.place.line(self.at), 0));
        self.out.lines.push(number);
        self.out.branches.push(branch);
        self.out.text.push_str(&line.text);
        self.out.text.extend(has_end.then_some('\n'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line that is not blank as `SOURCE LINE/BRANCH TEXT`, with `?` for a hole.
    fn shown(source: &str) -> Vec<String> {
        let outline = outline(source).unwrap();
        let places = outline.lines.iter().zip(&outline.branches);
        assert_eq!(outline.text.lines().count(), places.len());
        let lines = outline.text.lines().zip(places).filter(|(text, _)| !text.trim().is_empty());
        lines.map(|(text, (line, branch))| format!("{line}/{branch} {}", text.replace(HOLE, "?"))).collect()
    }

    #[test]
    fn values_are_holes_and_lines_have_their_places() {
        let source = "{{!-- a\ncomment --}}\nbackend web\n balance {{key \"b\"}}\n\
                      {{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} check\n{{/each}}\n\n# end\n";
        assert_eq!(
            shown(source),
            ["3/0 backend web", "4/0  balance ?", "5/1     server ? ?:? check", "8/0 # end"]
        );
    }

    #[test]
    fn branches_of_a_block_are_told_apart() {
        let source = "{{#if (env \"A\")}}\n a\n{{else if (env \"B\")}}\n b\n{{else}}\n c\n{{#each (services)}}\n d\n\
                      {{/each}}\n e\n{{/if}}\nf\n";
        let lines = shown(source);
        let branch = |text: &str| {
            let line = lines.iter().find(|line| line.ends_with(text)).unwrap();
            line.split(['/', ' ']).nth(1).unwrap().to_owned()
        };
        assert_eq!(
            lines.iter().map(|line| line.split('/').next().unwrap()).collect::<Vec<_>>(),
            ["2", "4", "6", "8", "10", "12"]
        );
        assert_eq!((branch(" c"), branch("f")), (branch(" e"), "0".to_owned()));
        let four: std::collections::BTreeSet<_> = [" a", " b", " c", " d", "f"].map(branch).into();
        assert_eq!(four.len(), 5);
    }

    #[test]
    fn a_block_inside_a_line_is_two_holes() {
        let source = "server a b{{#if (env \"A\")}} check{{/if}} id 1\n{{#if (env \"A\")}}mode http{{else}}mode tcp{{/if}}\n";
        assert_eq!(shown(source), ["1/0 server a b?? id 1", "2/2 mode http??"]);
    }

    #[test]
    fn white_space_that_a_tag_takes_away_is_gone() {
        let source = "a {{~env \"A\"}}\n{{~env \"A\"~}}\n b\n{{#each (service \"web\")~}}\n  c {{Server}}  \n{{~/each}}\nd\n";
        assert_eq!(shown(source), ["1/0 a??b", "5/1 c ???"]);
    }

    #[test]
    fn an_outline_without_tags_is_the_source() {
        let source = "a\n\n  b\tc # é\nd";
        assert_eq!(
            outline(source),
            Some(Outline { text: source.to_owned(), lines: vec![1, 2, 3, 4], branches: vec![0; 4] })
        );
        assert_eq!(outline(""), Some(Outline::default()));
    }

    #[test]
    fn text_that_is_not_read_stays() {
        assert_eq!(
            shown("\\{{x}} y\n{{{{raw}}}}{{z}}\n{{{{/raw}}}}\nend"),
            ["1/0 {{x}} y", "2/0 {{z}}", "4/0 end"]
        );
        assert_eq!(outline("{{#each}}\n"), None);
        assert_eq!(outline("{{Adress}}"), None);
    }
}
