//! A text that is checked again and again: what did not change is not looked at a second time.
//!
//! In: a text with its sections and what was printed in it, and an earlier check. Out: [`Checked`], whose misfits are those of
//! [`check`](super::check) over the whole text (held by a property test). What is looked at by itself is one section,
//! since lines know nothing of one another; only where the line feed before a section is itself a printed value, the sections
//! around it are one piece: in the template they are one line.

use std::ops::Range;
use std::sync::Arc;

use haproxy_cfg::{Document, Sections, lex};

use super::{Misfit, OutputKind, check_lines};

/// A text, checked piece by piece. A clone costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    sections: Sections,
    /// Where values were printed.
    printed: Arc<[Range<usize>]>,
    pieces: Arc<[Piece]>,
}

/// What was seen in a piece.
#[derive(Debug)]
struct Piece {
    /// Its sections.
    parts: Range<usize>,
    /// Where it stands, in bytes.
    range: Range<usize>,
    /// Which of the printed values are its own.
    printed: Range<usize>,
    /// Line feeds of the template: before it, and in it.
    feeds_before: usize,
    feeds: usize,
    /// Counted from where it begins.
    misfits: Arc<[Misfit]>,
}

impl Checked {
    /// Checks a later text, as [`check`](super::check) does. `sections` are the text's own where it is a configuration of
    /// HAProxy, else there are none.
    #[must_use]
    pub fn again(
        &self,
        text: &str,
        sections: &Sections,
        printed: &Arc<[Range<usize>]>,
        kind: OutputKind,
    ) -> Self {
        let mut pieces = cut(text.len(), sections, printed);
        let (mut known, mut feeds_before) = (&*self.pieces, 0);
        for piece in &mut pieces {
            piece.feeds_before = feeds_before;
            if let Some(before) = self.known(&mut known, piece, sections, printed) {
                (piece.feeds, piece.misfits) = (before.feeds, before.misfits.clone());
            } else {
                piece.look(text, sections, printed, kind);
            }
            feeds_before += piece.feeds;
        }
        Self { sections: sections.clone(), printed: printed.clone(), pieces: pieces.into() }
    }

    /// The very same piece as it was seen before, with the same values in it. Those before it are passed over: sections keep
    /// their order.
    fn known<'a>(
        &self,
        known: &mut &'a [Piece],
        piece: &Piece,
        sections: &Sections,
        printed: &[Range<usize>],
    ) -> Option<&'a Piece> {
        let section = piece.section(sections)?;
        let same = |before: &Piece| {
            before.section(&self.sections).is_some_and(|before| Arc::ptr_eq(before, section))
        };
        let at = known.iter().position(same)?;
        let before = &known[at];
        *known = &known[at + 1..];
        let (now, then) = (&printed[piece.printed.clone()], &self.printed[before.printed.clone()]);
        let moved = piece.range.start.wrapping_sub(before.range.start);
        are_moved(then, now, moved).then_some(before)
    }

    /// The values that do not fit their places, in order.
    pub fn misfits(&self) -> Vec<Misfit> {
        let found = |piece: &'_ Piece| {
            let (start, feeds) = (piece.range.start, piece.feeds_before);
            let misfits = piece.misfits.iter().cloned();
            let moved = |misfit: Misfit| Misfit {
                span: misfit.span.start + start..misfit.span.end + start,
                line: misfit.line + feeds,
                ..misfit
            };
            misfits.map(moved).collect::<Vec<_>>()
        };
        self.pieces.iter().filter(|piece| !piece.misfits.is_empty()).flat_map(found).collect()
    }

    /// Whether every value fits its place.
    pub fn fits(&self) -> bool {
        self.pieces.iter().all(|piece| piece.misfits.is_empty())
    }

    /// Where values were printed, in order.
    pub fn printed(&self) -> &[Range<usize>] {
        &self.printed
    }
}

/// Whether the ranges are the same, so many bytes further on. (Each is compared, as there is seldom a difference: so the compiler
/// compares many at once.)
fn are_moved(before: &[Range<usize>], now: &[Range<usize>], by: usize) -> bool {
    let differ = |(before, now): (&Range<usize>, &Range<usize>)| {
        (before.start.wrapping_add(by) ^ now.start) | (before.end.wrapping_add(by) ^ now.end)
    };
    before.len() == now.len() && before.iter().zip(now).map(differ).fold(0, std::ops::BitOr::bitor) == 0
}

/// The pieces of a text, not looked at yet: its sections, those together between which a printed value ends the line.
fn cut(length: usize, sections: &Sections, printed: &[Range<usize>]) -> Vec<Piece> {
    let parts = sections.parts();
    let ends = parts.iter().skip(1).map(|part| part.start).chain([length]);
    let mut pieces: Vec<Piece> = Vec::with_capacity(parts.len());
    let (mut first, mut start, mut from) = (0, 0, 0);
    for (index, end) in ends.enumerate() {
        let last = index + 1 >= parts.len();
        let here = printed[from..].iter().take_while(|span| last || span.start < end).count();
        if !last && printed[from..from + here].last().is_some_and(|span| span.end >= end) {
            continue;
        }
        pieces.push(Piece {
            parts: first..index + 1,
            range: start..end,
            printed: from..from + here,
            feeds_before: 0,
            feeds: 0,
            misfits: Arc::default(),
        });
        (first, start, from) = (index + 1, end, from + here);
    }
    pieces
}

impl Piece {
    /// The section that it is; `None` where it is more than one, or where there are no sections.
    fn section<'a>(&self, sections: &'a Sections) -> Option<&'a Arc<Document>> {
        let one = self.parts.len() == 1;
        sections.parts().get(self.parts.start).filter(|_| one).map(|part| &part.document)
    }

    fn look(&mut self, text: &str, sections: &Sections, printed: &[Range<usize>], kind: OutputKind) {
        let start = self.range.start;
        let text = text.get(self.range.clone()).unwrap_or_default();
        let own = printed[self.printed.clone()].iter();
        let printed: Vec<Range<usize>> = own.map(|span| span.start - start..span.end - start).collect();
        let feeds = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        let values = printed.iter().map(|span| text.get(span.clone()).map_or(0, feeds));
        self.feeds = feeds(text) - values.sum::<usize>();
        self.misfits = match (kind, self.section(sections)) {
            (OutputKind::Haproxy, None) => check_lines(text, &lex(text), &printed, kind),
            (_, section) => check_lines(text, section.map_or(&[], |section| section.lines()), &printed, kind),
        }
        .into();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::places::check;

    /// Text of the template, and values with or without harm in them.
    fn text() -> impl Strategy<Value = (String, Vec<Range<usize>>)> {
        let template = prop::sample::select(vec![
            "\n",
            "\n",
            "backend b ",
            "backend ",
            "\n  server s ",
            " ",
            "global\n",
            "\n  mode ",
            "\"",
            " # ",
        ]);
        let value = prop::sample::select(vec![
            "10.0.0.1:80",
            "s",
            "",
            "\n",
            "a b",
            "\nbackend evil\n",
            "x\n",
            "global\n  daemon",
            "é\n",
            "#",
            "\"",
        ]);
        let piece = prop_oneof![
            template.prop_map(|text| (text.to_owned(), false)),
            value.prop_map(|text| (text.to_owned(), true)),
        ];
        let build = |pieces: Vec<(String, bool)>| {
            let (mut text, mut printed) = (String::new(), Vec::new());
            for (piece, value) in pieces {
                if value {
                    printed.push(text.len()..text.len() + piece.len());
                }
                text += &piece;
            }
            (text, printed)
        };
        prop::collection::vec(piece, 0..24).prop_map(build)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_text_checked_again_is_as_one_checked_as_a_whole(
            texts in prop::collection::vec(text(), 1..4),
            kind in prop::sample::select(vec![OutputKind::Haproxy, OutputKind::Lines, OutputKind::Text]),
        ) {
            let (mut sections, mut checked) = (Sections::default(), Checked::default());
            // Each twice, so that all is there already the second time.
            for (text, printed) in texts.iter().flat_map(|one| [one, one]) {
                sections = sections.parse_again(if kind == OutputKind::Haproxy { text.as_str() } else { "" });
                checked = checked.again(text, &sections, &printed.as_slice().into(), kind);
                let expected = check(text, printed, kind);
                prop_assert_eq!(checked.misfits(), expected.clone(), "{:?} {:?}", text, printed);
                prop_assert_eq!(checked.fits(), expected.is_empty());
                prop_assert_eq!(checked.printed(), printed.as_slice());
            }
        }
    }
}
