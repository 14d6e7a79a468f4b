//! HCL text to checked blocks: every key against the key table, every value against its kind.
//!
//! In: one file's text. Out: a [`Section`] tree with the line of everything, and all problems at once.
//! A value that is wrong is reported and left out; the rest is still checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hcl_edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Block, Body, Structure};

use super::problem::{Problem, did_you_mean};
use super::schema::{BlockSpec, Kind, OptionSpec, REQUIRED};
use super::unclosed;

/// A block as written: its options and blocks, each with where it stands.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) label: Option<String>,
    options: BTreeMap<&'static str, (Value, Place)>,
    blocks: Vec<(&'static str, Section)>,
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Duration(Duration),
    Flag(bool),
    Number(u64),
}

impl Section {
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.value(name)? {
            Value::Texts(texts) => Some(texts.clone()),
            _ => None,
        }
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A [`Kind::Count`] or [`Kind::Perms`].
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Where an option stands; the block's own place where it is not given.
    pub(crate) fn place(&self, name: &str) -> Place {
        let block = || Place { file: self.file.clone(), line: self.line };
        self.options.get(name).map_or_else(block, |(_, place)| place.clone())
    }

    pub(crate) fn block(&self, name: &str) -> Option<&Self> {
        self.blocks(name).next()
    }

    pub(crate) fn blocks<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Self> {
        self.blocks.iter().filter(move |(kind, _)| *kind == name).map(|(_, section)| section)
    }

    /// Adds what another file holds; a later option wins, blocks add up.
    pub(crate) fn merge(&mut self, other: Self) {
        self.options.extend(other.options);
        self.blocks.extend(other.blocks);
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.options.get(name).map(|(value, _)| value)
    }
}

/// Reads one file's text against `spec`; nothing where it is not HCL.
pub(crate) fn parse(
    file: &Path,
    text: &str,
    spec: &'static BlockSpec,
    problems: &mut Vec<Problem>,
) -> Option<Section> {
    match hcl_edit::parser::parse_body(text) {
        Ok(body) => Some(Reader { file, text, problems }.section(&body, spec, 1, None)),
        Err(error) => {
            problems.push(not_hcl(file, text, &error));
            None
        }
    }
}

/// Where the parser stopped, and what was not closed before.
pub(crate) fn not_hcl(file: &Path, text: &str, error: &hcl_edit::parser::Error) -> Problem {
    let hint = unclosed::hint(text).map_or(String::new(), |hint| format!("; {hint}"));
    let message = format!("this is not HCL: {}{hint}", error.message().trim());
    Problem::new(file, error.location().line(), message)
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn section(
        &mut self,
        body: &Body,
        spec: &'static BlockSpec,
        line: usize,
        label: Option<String>,
    ) -> Section {
        let mut section = Section { file: self.file.to_owned(), line, label, ..Section::default() };
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => self.attribute(attribute, spec, &mut section),
                Structure::Block(block) => self.block(block, spec, &mut section),
            }
        }
        self.required(spec, &section);
        section
    }

    fn attribute(&mut self, attribute: &Attribute, spec: &'static BlockSpec, section: &mut Section) {
        let name = attribute.key.as_str();
        let line = self.line_of(attribute.span());
        let Some(option) = spec.options.iter().find(|option| option.name == name) else {
            return self.unknown(name, line, spec);
        };
        let raw = attribute.value.span().and_then(|span| self.text.get(span)).unwrap_or_default();
        match value(&attribute.value, option, raw.trim()) {
            Ok(value) => {
                let place = Place { file: self.file.to_owned(), line };
                section.options.insert(option.name, (value, place));
            }
            Err(message) => self.report(line, message),
        }
    }

    fn block(&mut self, block: &Block, spec: &'static BlockSpec, section: &mut Section) {
        let name = block.ident.as_str();
        let line = self.line_of(block.ident.span());
        let Some(child) = spec.blocks.iter().find(|child| child.name == name) else {
            return self.unknown(name, line, spec);
        };
        if !child.many && section.block(name).is_some() {
            self.report(line, format!("a second block `{name}`; there may be one only"));
        }
        if block.labels.len() > usize::from(child.label) {
            let most = if child.label { "one label at most" } else { "no label" };
            self.report(line, format!("block `{name}` takes {most}"));
        }
        let label = block.labels.first().map(|label| label.as_str().to_owned());
        let inner = self.section(&block.body, child, line, label);
        section.blocks.push((child.name, inner));
    }

    fn required(&mut self, spec: &BlockSpec, section: &Section) {
        for option in spec.options.iter().filter(|option| option.default == REQUIRED) {
            if section.value(option.name).is_none() {
                let message = format!("block `{}` needs `{}`: {}", spec.name, option.name, option.about);
                self.report(section.line, message);
            }
        }
    }

    fn unknown(&mut self, name: &str, line: usize, spec: &BlockSpec) {
        let known =
            spec.options.iter().map(|option| option.name).chain(spec.blocks.iter().map(|block| block.name));
        let place = if spec.name.is_empty() {
            "at the top level".into()
        } else {
            format!("in block `{}`", spec.name)
        };
        let message = format!("unknown key `{name}` {place}{}", did_you_mean(name, known));
        self.report(line, message);
    }

    fn report(&mut self, line: usize, message: String) {
        self.problems.push(Problem::new(self.file, line, message));
    }

    fn line_of(&self, span: Option<std::ops::Range<usize>>) -> usize {
        let start = span.map_or(0, |span| span.start);
        // A span may begin with the white space before the word.
        let start = start + self.text[start..].len() - self.text[start..].trim_start().len();
        1 + self.text[..start].matches('\n').count()
    }
}

/// Reads a value of an option's kind. `raw` is its source text.
fn value(expression: &Expression, option: &OptionSpec, raw: &str) -> Result<Value, String> {
    let wrong = || format!("`{}` must be {}, not {raw}", option.name, option.kind.describe());
    if matches!(expression, Expression::StringTemplate(_) | Expression::HeredocTemplate(_)) {
        return Err(format!("`{}` holds ${{…}}; configuration files have no variables", option.name));
    }
    let text = expression.as_str();
    match option.kind {
        Kind::Text => text.map(|text| Value::Text(text.to_owned())),
        Kind::Texts => texts(expression).map(Value::Texts),
        Kind::Duration => text.and_then(weir_scaling::parse_duration).map(Value::Duration),
        Kind::Flag => expression.as_bool().map(Value::Flag),
        Kind::Count => expression.as_number().and_then(hcl_edit::Number::as_u64).map(Value::Number),
        Kind::Perms => perms(text.unwrap_or(raw)).map(Value::Number),
    }
    .ok_or_else(wrong)
}

fn texts(expression: &Expression) -> Option<Vec<String>> {
    if let Some(text) = expression.as_str() {
        return Some(vec![text.to_owned()]);
    }
    expression.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn perms(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::ROOT;

    fn read(text: &str) -> (Section, Vec<String>) {
        let mut problems = Vec::new();
        let section = parse(Path::new("weir.hcl"), text, &ROOT, &mut problems).unwrap_or_default();
        (section, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let (root, problems) = read(
            "cluster = \"a\"\nmax_stale = \"1m30s\"\ncontrol_perms = 0600\n\
             template {\n  destination = \"/x\"\n  source = \"/y\"\n  perms = \"0640\"\n}\n\
             haproxy \"edge\" {\n config = \"/etc/h.cfg\"\n max_old_workers = 3\n}\n\
             consul {\n  ssl {\n    verify = false\n  }\n}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(root.duration("max_stale"), Some(Duration::from_secs(90)));
        assert_eq!(root.number("control_perms"), Some(0o600));
        let template = root.block("template").unwrap();
        assert_eq!((template.line, template.number("perms")), (4, Some(0o640)));
        let haproxy = root.block("haproxy").unwrap();
        assert_eq!(haproxy.label.as_deref(), Some("edge"));
        assert_eq!(haproxy.texts("config").unwrap(), ["/etc/h.cfg"]);
        assert_eq!(haproxy.number("max_old_workers"), Some(3));
        assert_eq!(root.block("consul").unwrap().block("ssl").unwrap().flag("verify"), Some(false));
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let (_, problems) = read(
            "max_stale = 5\nconsul {\n  adress = \"x\"\n}\ntemplate {\n  source = \"/y\"\n}\n\
             consul {\n}\nhttpd {\n}\nlog_level = \"${x}\"\n",
        );
        assert_eq!(
            problems,
            [
                "weir.hcl:1: `max_stale` must be a duration in quotes, such as \"500ms\", \"10s\" or \"5m\", up to \"366d\", not 5",
                "weir.hcl:3: unknown key `adress` in block `consul`; did you mean `address`?",
                "weir.hcl:5: block `template` needs `destination`: File to write.",
                "weir.hcl:8: a second block `consul`; there may be one only",
                "weir.hcl:10: unknown key `httpd` at the top level; did you mean `http`?",
                "weir.hcl:12: `log_level` holds ${…}; configuration files have no variables",
            ]
        );
    }

    #[test]
    fn a_file_that_is_not_hcl_names_the_line() {
        let (_, problems) = read("consul {\n  address = \n}\n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("weir.hcl:2: this is not HCL"), "{problems:?}");
    }

    #[test]
    fn what_is_not_closed_is_named_where_it_begins() {
        let (_, problems) = read("consul {\n  address = \"a\"\n\nhttp {\n}\n");
        assert!(problems.len() == 1 && problems[0].contains("`consul {` at line 1 is not"), "{problems:?}");
        let (_, problems) = read("cluster = \"a\nstate_dir = \"b\"\n");
        assert!(problems.len() == 1 && problems[0].contains("quote at line 1, column 11"), "{problems:?}");
    }
}
