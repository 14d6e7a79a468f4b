//! Which bytes of a rendered text came out of expressions.
//!
//! Every printed value is put between two marker characters while handlebars renders; afterwards the markers
//! are taken out again and the ranges between them noted. Inside values the markers are replaced, so that
//! nobody who controls a value controls the ranges.

use std::ops::Range;

/// Noncharacters: legal in a string, and nothing that text contains.
const START: char = '\u{FDD0}';
const END: char = '\u{FDD1}';

/// Whether the text holds one of the marker characters, and where.
pub(crate) fn find_marker(text: &str) -> Option<usize> {
    text.find([START, END])
}

/// A value without marker characters.
pub(crate) fn unmarked(value: &str) -> String {
    value.replace([START, END], "\u{FFFD}")
}

/// A value between markers.
pub(crate) fn marked(value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    format!("{START}{}{END}", unmarked(value))
}

/// Takes the markers out. Returns the text and the ranges that were between them.
pub(crate) fn strip(text: &str) -> (String, Vec<Range<usize>>) {
    let mut plain = String::with_capacity(text.len());
    let mut ranges = Vec::new();
    let mut pieces = text.split(START);
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (value, rest) = piece.split_once(END).unwrap_or((piece, ""));
        let start = plain.len();
        plain.push_str(value);
        ranges.push(start..plain.len());
        plain.push_str(rest);
    }
    (plain, ranges)
}
