//! From a source to handlebars' tree, or to what is wrong with its syntax.

use handlebars::{TemplateError, TemplateErrorReason};

use super::pieces;
use super::place::Place;
use crate::printed::find_marker;
use crate::problem::Problem;

/// Parses a source.
pub(crate) fn parse(source: &str) -> Result<handlebars::Template, Vec<Problem>> {
    if let Some(at) = find_marker(source) {
        let message = "U+FDD0 to U+FDD2 are not characters; a template cannot hold them".to_owned();
        return Err(vec![problem(Place::new(source).position(at), message, None)]);
    }
    if let Some(at) = too_deep(source) {
        let message =
            format!("more than {DEEPEST} blocks, `else if` branches or parentheses inside each other");
        return Err(vec![problem(Place::new(source).position(at), message, None)]);
    }
    match pieces::parse(source) {
        Some(parsed) => Ok(parsed),
        None => handlebars::Template::compile(source).map_err(|error| vec![syntax_problem(source, &error)]),
    }
}

/// handlebars works by recursion; ten times this depth overflows a thread's stack, which ends the process.
const DEEPEST: usize = 100;

/// Where the source nests deeper than handlebars can follow.
fn too_deep(source: &str) -> Option<usize> {
    let mut blocks: Vec<usize> = Vec::new();
    for (at, _) in source.match_indices("{{") {
        let tag = source[at + 2..].trim_start_matches(['~', '{', ' ']);
        if tag.starts_with('#') {
            blocks.push(1);
        } else if tag.starts_with('/') {
            blocks.pop();
        } else if tag.starts_with("else") || tag.starts_with('^') {
            blocks.iter_mut().next_back().into_iter().for_each(|depth| *depth += 1);
        }
        if blocks.iter().sum::<usize>() > DEEPEST || brackets(tag) > DEEPEST {
            return Some(at);
        }
    }
    None
}

/// How deep the brackets of a tag go, at most.
fn brackets(tag: &str) -> usize {
    let inside = tag.split("}}").next().unwrap_or_default();
    let depths = inside.chars().scan(0_usize, |depth, c| {
        match c {
            '(' | '[' | '{' => *depth += 1,
            ')' | ']' | '}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    depths.max().unwrap_or(0)
}

fn problem((line, column): (usize, usize), message: String, hint: Option<String>) -> Problem {
    Problem { line, column, message, hint }
}

fn syntax_problem(source: &str, error: &TemplateError) -> Problem {
    let place = Place::new(source);
    let (position, message) = match error.reason() {
        TemplateErrorReason::MismatchingClosedHelper(open, close) => {
            let message = format!("`{{{{#{}}}}}` is closed by `{{{{/{}}}}}`", bare(open), bare(close));
            (error.pos(), message)
        }
        TemplateErrorReason::InvalidParam(param) => {
            (Some(place.of(param)), format!("`{param}` is not a parameter"))
        }
        TemplateErrorReason::InvalidSyntax(_) => return unreadable(source, &place, error.pos()),
        other => (error.pos(), other.to_string()),
    };
    let (line, column) = position.unwrap_or((1, 1));
    let text = source.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    problem((line, column), message, hint(text))
}

/// handlebars' own message lists the rules of its grammar; where it stopped reading says more.
fn unreadable(source: &str, place: &Place<'_>, position: Option<(usize, usize)>) -> Problem {
    let (line, column) = position.unwrap_or((1, 1));
    let text = source.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let rest: String = text.chars().skip(column.saturating_sub(1)).take(SHOWN).collect();
    if let (true, Some((at, name))) = (hint(text).is_none(), pieces::closes_nothing(source)) {
        let message = format!("`{{{{/{name}}}}}` closes nothing: no block is open there");
        let hint = format!("leave it out, or write `{{{{#{name} …}}}}` before it");
        return problem(place.position(at), message, Some(hint));
    }
    if let (true, Some((at, name))) = (hint(text).is_none(), unclosed(source)) {
        let message = format!("`{{{{#{name}}}}}` is not closed");
        return problem(place.position(at), message, Some(format!("`{{{{/{name}}}}}`")));
    }
    problem((line, column), format!("not handlebars from here on: `{rest}`"), hint(text))
}

/// How much of the rest of a line is shown.
const SHOWN: usize = 30;

/// The innermost block that is opened and not closed, and where.
fn unclosed(source: &str) -> Option<(usize, &str)> {
    let mut open = Vec::new();
    for (at, _) in source.match_indices("{{") {
        let tag = source[at + 2..].trim_start_matches('~');
        if let Some(block) = tag.strip_prefix('#') {
            open.push((
                at,
                block.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
            ));
        } else if tag.starts_with('/') {
            open.pop();
        }
    }
    open.pop()
}

/// handlebars quotes names as Rust does.
fn bare(name: &str) -> &str {
    name.trim_matches('"')
}

/// The words and signs of Consul Template's language, and how they are written here.
const ELSEWHERE: [(&str, &str); 10] = [
    ("range", "`{{range service \"web\"}} … {{end}}` is written `{{#each (service \"web\")}} … {{/each}}`"),
    ("end", "`{{end}}` is written `{{/each}}`, `{{/if}}`, `{{/with}}`"),
    ("if", "`{{if .X}} … {{end}}` is written `{{#if X}} … {{/if}}`"),
    ("with", "`{{with X}} … {{end}}` is written `{{#with X}} … {{/with}}`"),
    (
        "file",
        "no file can be read from a template: keep its text in a key of Consul, `{{key \"path\"}}`, or write it into the template",
    ),
    ("define", "there are no named templates here"),
    ("-", "`{{- X -}}` is written `{{~X~}}`"),
    (".", "`{{.Address}}` is written `{{Address}}`"),
    ("$", "there are no variables here; `{{#with VALUE as |name|}}` names a value"),
    ("/*", "`{{/* … */}}` is written `{{!-- … --}}`"),
];

/// Whether a line looks like Consul Template's language, and what to write instead.
pub(crate) fn hint(line: &str) -> Option<String> {
    let tags = || line.split("{{").skip(1).map(|tag| tag.split("}}").next().unwrap_or_default());
    let known = tags().find_map(|tag| {
        let tag = tag.trim_start();
        let word = tag.split([' ', '}']).next().unwrap_or_default();
        ELSEWHERE
            .iter()
            .find(|(theirs, _)| if is_sign(theirs) { tag.starts_with(theirs) } else { word == *theirs })
    });
    let pipe = || tags().any(|tag| tag.contains(" | ")).then(|| PIPE.to_owned());
    known.map(|(_, ours)| (*ours).to_owned()).or_else(pipe)
}

const PIPE: &str = "`{{.X | toLower}}` is written `{{lower X}}`";

fn is_sign(word: &str) -> bool {
    !word.starts_with(char::is_alphabetic)
}
