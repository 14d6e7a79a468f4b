//! Values in a haproxy.cfg: finds each value's place, checks its characters, then the words it is part of.
//!
//! In: the text, the same text disarmed (see the parent module) with its lines, and the values. Out: the misfits, in no order.

use std::borrow::Cow;
use std::ops::Range;

use haproxy_cfg::{Line, Quote, Word, lex};

use super::{Misfit, Value, characters, words};

/// The misfits among `values`, which are in order; not those that are harmful anywhere, since these are known.
pub(super) fn check(text: &str, disarmed: &str, lines: &[Line], values: &[Value<'_>]) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    let mut rest = values;
    // What remains at the end is empty and stands behind the last line feed, on no line.
    for line in lines {
        let here = rest.partition_point(|value| value.span.start < line.range.end);
        let (on_line, after) = rest.split_at(here);
        if !on_line.is_empty() {
            check_line(text, disarmed, line, on_line, &mut misfits);
        }
        rest = after;
    }
    misfits
}

fn check_line(text: &str, disarmed: &str, line: &Line, values: &[Value<'_>], misfits: &mut Vec<Misfit>) {
    let mut nesting = Nesting::default();
    for parts in values.chunk_by(|a, b| word_of(line, a) == word_of(line, b)) {
        let mut fit = true;
        for value in parts {
            nesting.advance(disarmed, line, value);
            let misplaced = misplaced(disarmed, line, value, nesting.depth > 0);
            fit &= misplaced.is_none() && !value.is_harmful();
            misfits.extend(misplaced.map(|(place, reason)| value.misfit(place, reason)));
        }
        if fit {
            misfits.extend(check_word(text, line, parts));
        }
    }
}

/// Checks the word that `parts` are in, whose characters are known to fit.
fn check_word(text: &str, line: &Line, parts: &[Value<'_>]) -> Vec<Misfit> {
    let Some(index) = parts.first().and_then(|part| word_of(line, part)) else { return Vec::new() };
    let value = resolved(text, &line.words[index]);
    let misfit = words::Printed { line, index, value: &value, parts }.misfit();
    let (Some((place, reason)), parts) = (misfit, parts.iter()) else { return Vec::new() };
    parts.map(|part| part.misfit(place.clone(), reason.clone())).collect()
}

/// The word that a value is part of; `None` in a comment, between words, and behind a fault.
fn word_of(line: &Line, value: &Value<'_>) -> Option<usize> {
    let commented = line.comment.is_some_and(|start| value.span.start > start);
    if commented { None } else { line.word_at(value.span.start) }
}

/// The word's value in the real text.
fn resolved<'t>(text: &'t str, word: &Word) -> Cow<'t, str> {
    let source = &text[word.range.clone()];
    if word.is_plain() {
        return Cow::Borrowed(source);
    }
    let words = lex(source).into_iter().flat_map(|line| line.words);
    Cow::Owned(words.map(|word| word.value.into()).next().unwrap_or_default())
}

/// What is wrong with a value's characters at its place; `None` for a value that is known to be harmful.
fn misplaced(disarmed: &str, line: &Line, value: &Value<'_>, nested: bool) -> Option<(String, String)> {
    if value.is_harmful() {
        return None;
    }
    let quote = line.quote_at(value.span.start)?;
    let word = word_of(line, value).map(|index| &line.words[index]);
    if word.is_none() && value.text.is_empty() && line.fault.is_none() {
        return Some(("word".into(), "the value is empty, so that its word is missing".into()));
    }
    if let Some(sign) = completes(disarmed, quote, word, &value.span) {
        return Some((
            place(quote, nested).into(),
            format!("the value would become part of what `{sign}` begins"),
        ));
    }
    let unfit =
        characters::misplaced(value.text, quote, nested).map(|found| format!("`{found}` does not fit there"));
    let climbs = characters::climbs(value.text).then(|| "`..` leaves a directory".to_owned());
    unfit.or(climbs).map(|reason| (place(quote, nested).into(), reason))
}

fn place(quote: Quote, nested: bool) -> &'static str {
    match quote {
        _ if nested => "argument in parentheses or brackets",
        Quote::None => "unquoted word",
        Quote::Double => "word in double quotes",
        Quote::Single => "word in single quotes",
    }
}

/// The sign just before a value that gives the value's first characters another meaning.
fn completes(disarmed: &str, quote: Quote, word: Option<&Word>, span: &Range<usize>) -> Option<char> {
    let parts = word.map(Word::substitutions).unwrap_or_default();
    let cut = parts.iter().find(|part| part.start < span.start && span.start < part.end);
    let cut = cut.or_else(|| parts.iter().find(|part| part.start < span.end && span.start < part.end));
    if let Some(part) = cut {
        return disarmed[part.start..].chars().next();
    }
    let before = &disarmed.as_bytes()[..span.start];
    let whole = parts.iter().any(|part| part.end == span.start);
    match before.last() {
        Some(b'\\') if quote != Quote::Single && !whole => Some('\\'),
        Some(b'$') if quote == Quote::Double && !whole => Some('$'),
        Some(b'%') if before.iter().rev().take_while(|byte| **byte == b'%').count() % 2 == 1 => Some('%'),
        _ => None,
    }
}

/// How deep in parentheses and brackets of the template a place is, counted from the start of its word.
#[derive(Default)]
struct Nesting {
    word: Option<usize>,
    at: usize,
    depth: usize,
}

impl Nesting {
    fn advance(&mut self, disarmed: &str, line: &Line, value: &Value<'_>) {
        let index = word_of(line, value);
        if self.word != index || index.is_none() {
            let start = index.map_or(value.span.start, |index| line.words[index].range.start);
            *self = Self { word: index, at: start, depth: 0 };
        }
        for byte in disarmed.get(self.at..value.span.start).unwrap_or_default().bytes() {
            match byte {
                b'(' | b'[' => self.depth += 1,
                b')' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.at = value.span.end;
    }
}
