//! Which bytes of a rendered text came out of expressions.
//!
//! Every printed value is put between two marker characters while handlebars renders; afterwards the markers
//! are taken out again and the ranges between them noted. A third marks where the text of a loop goes, which is kept
//! by itself. Inside values the markers are replaced, so that nobody who controls a value controls the ranges.

use std::ops::Range;

/// Noncharacters: legal in a string, and nothing that text contains.
const START: char = '\u{FDD0}';
const END: char = '\u{FDD1}';
/// Where the text of a loop goes.
pub(crate) const HOLE: &str = "\u{FDD2}";
const MARKERS: [char; 3] = [START, END, '\u{FDD2}'];

/// A text with its markers taken out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stripped {
    pub(crate) text: String,
    /// What was between the markers.
    pub(crate) printed: Vec<Range<usize>>,
    /// Where the text of a loop goes.
    pub(crate) holes: Vec<usize>,
}

/// Whether the text holds one of the marker characters, and where.
pub(crate) fn find_marker(text: &str) -> Option<usize> {
    text.find(MARKERS)
}

/// A value without marker characters.
pub(crate) fn unmarked(value: &str) -> String {
    value.replace(MARKERS, "\u{FFFD}")
}

/// A value between markers.
pub(crate) fn marked(value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    format!("{START}{}{END}", unmarked(value))
}

/// Takes the markers out.
pub(crate) fn strip(marked: &str) -> Stripped {
    let mut stripped = Stripped { text: String::with_capacity(marked.len()), ..Stripped::default() };
    let (mut rest, mut start) = (marked, 0);
    while let Some(at) = find_marker(rest) {
        let (before, after) = rest.split_at(at);
        stripped.text.push_str(before);
        let here = stripped.text.len();
        match after.chars().next() {
            Some(START) => start = here,
            Some(END) => stripped.printed.push(start..here),
            _ => stripped.holes.push(here),
        }
        rest = &after[HOLE.len()..];
    }
    stripped.text.push_str(rest);
    stripped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_leave_ranges_and_holes_behind() {
        let marked = format!("é{}{HOLE}b{}", marked("x\u{FDD0}y"), marked("z"));
        let stripped = strip(&marked);
        assert_eq!(stripped.text, "éx\u{FFFD}ybz");
        assert_eq!((stripped.printed, stripped.holes), (vec![2..7, 8..9], vec![7]));
        assert_eq!(strip(""), Stripped::default());
    }
}
