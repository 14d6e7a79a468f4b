//! The allow-list for values from the catalogue: does what a template printed stay within the place it is put in?
//!
//! Anybody who may register a service chooses the values that templates print. A value that could add a directive,
//! a word or an argument with a meaning of its own is a [`Misfit`]; the caller leaves its instance out.
//!
//! In: a rendered text and the byte ranges of it that were printed from the catalogue. Out: every value that does
//! not fit, with its place and the reason. The places are those of the *template*: before the text is read, each
//! hostile character in a value is replaced by a harmless one, so that one value cannot change what is thought of
//! the place of another. Nothing is resolved, sanitised or cut: a value fits as it is, or not at all.

mod characters;
mod haproxy;
pub(crate) mod options;
mod words;

use std::ops::Range;

/// What kind of file a template renders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// A configuration file of HAProxy.
    Haproxy,
    /// A map, a crt-list or a list of patterns: a value must stay one word on its line.
    Lines,
    /// Anything else: a value holds no control characters.
    Text,
}

/// A value that does not fit its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where the value stands in the text.
    pub span: Range<usize>,
    /// The value.
    pub value: String,
    /// The line it was printed on, from 1, line feeds in values not counted.
    pub line: usize,
    /// The place, such as "address of a server".
    pub place: String,
    /// Why it does not fit there.
    pub reason: String,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {:?} as {}: {}", self.line, self.value, self.place, self.reason)
    }
}

/// The values among `printed` that do not fit their place in `text`, in order. `printed` are ranges of whole
/// characters of `text`, in order and not overlapping; they may be empty.
///
/// A word that several values make up together (`{{Address}}:{{Port}}`) and that does not fit is reported for each.
pub fn check(text: &str, printed: &[Range<usize>], kind: OutputKind) -> Vec<Misfit> {
    let lines = if kind == OutputKind::Haproxy { haproxy_cfg::lex(text) } else { Vec::new() };
    check_lines(text, &lines, printed, kind)
}

/// [`check`], where the text's lines are there already. (They count only for a [`OutputKind::Haproxy`].)
pub fn check_lines(
    text: &str,
    lines: &[haproxy_cfg::Line],
    printed: &[Range<usize>],
    kind: OutputKind,
) -> Vec<Misfit> {
    let values = values(text, printed);
    let control = "control characters, line feeds included, fit nowhere";
    let harmful = values.iter().filter(|value| value.is_harmful());
    let mut misfits: Vec<Misfit> = harmful.map(|value| value.misfit("any output", control)).collect();
    match kind {
        OutputKind::Haproxy => {
            // Nearly always nothing has to be disarmed, and the text's own lines will do.
            if values.iter().all(Value::is_plain) {
                misfits.extend(haproxy::check(text, text, lines, &values));
            } else {
                let disarmed = disarmed(text, printed);
                misfits.extend(haproxy::check(text, &disarmed, &haproxy_cfg::lex(&disarmed), &values));
            }
        }
        OutputKind::Lines => misfits.extend(values.iter().filter_map(|value| line_misfit(text, value))),
        OutputKind::Text => {}
    }
    misfits.sort_by_key(|misfit| (misfit.span.start, misfit.span.end));
    misfits
}

/// One printed value.
struct Value<'t> {
    span: Range<usize>,
    text: &'t str,
    line: usize,
}

impl Value<'_> {
    /// Fits no place at all.
    fn is_harmful(&self) -> bool {
        self.text.contains(char::is_control)
    }

    /// Means nothing to HAProxy's lexer.
    fn is_plain(&self) -> bool {
        self.text.bytes().map(char::from).all(characters::is_plain)
    }

    fn misfit(&self, place: impl Into<String>, reason: impl Into<String>) -> Misfit {
        let (place, reason) = (place.into(), reason.into());
        Misfit { span: self.span.clone(), value: self.text.to_owned(), line: self.line, place, reason }
    }
}

fn values<'t>(text: &'t str, printed: &[Range<usize>]) -> Vec<Value<'t>> {
    let (mut line, mut at) = (1, 0);
    let value = |span: &Range<usize>| {
        let between = text.get(at..span.start).unwrap_or_default();
        line += between.bytes().filter(|byte| *byte == b'\n').count();
        at = span.end;
        Value { span: span.clone(), text: text.get(span.clone()).unwrap_or_default(), line }
    };
    printed.iter().map(value).collect()
}

/// The text with an `x` for each byte of a value that might mean something to HAProxy's lexer. Offsets stay.
fn disarmed(text: &str, printed: &[Range<usize>]) -> String {
    let mut disarmed = String::with_capacity(text.len());
    let mut at = 0;
    for span in printed {
        disarmed.push_str(text.get(at..span.start).unwrap_or_default());
        let bytes = text.get(span.clone()).unwrap_or_default().bytes().map(char::from);
        disarmed.extend(bytes.map(|byte| if characters::is_plain(byte) { byte } else { 'x' }));
        at = span.end;
    }
    disarmed.push_str(text.get(at..).unwrap_or_default());
    disarmed
}

/// In a map or a list, white space ends the key, and a line that begins with `#` is none. `[` opens the options of
/// a line in a crt-list.
fn line_misfit(text: &str, value: &Value<'_>) -> Option<Misfit> {
    let before = text[..value.span.start].chars().next_back().is_none_or(char::is_whitespace);
    let after = text[value.span.end..].chars().next().is_none_or(char::is_whitespace);
    let reason = if value.is_harmful() {
        return None;
    } else if value.text.contains(char::is_whitespace) {
        "a value with white space is more than one word"
    } else if value.text.is_empty() && before && after {
        "the value is empty, so that its word is missing"
    } else if before && value.text.starts_with(['#', '[', '!']) {
        "`#`, `[` and `!` have a meaning at the start of a word"
    } else {
        return None;
    };
    Some(value.misfit("word of a map or list", reason))
}

#[cfg(test)]
mod tests;
