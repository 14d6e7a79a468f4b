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
    pieces: Arc<[Piece]>,
}

#[derive(Debug)]
struct Piece {
    /// Where it begins, in bytes.
    start: usize,
    /// How many line feeds of the template stand before it.
    feeds_before: usize,
    look: Arc<Look>,
}

/// What was seen in a piece, counted from where it begins.
#[derive(Debug)]
struct Look {
    /// The section that it is; `None` where it is more than one, or where there are no sections.
    section: Option<Arc<Document>>,
    printed: Box<[Range<usize>]>,
    misfits: Box<[Misfit]>,
    /// Line feeds of the template.
    feeds: usize,
}

/// A piece that is not checked yet.
struct Cut<'a> {
    section: Option<&'a Arc<Document>>,
    range: Range<usize>,
    printed: &'a [Range<usize>],
}

impl Checked {
    /// Checks a later text, as [`check`](super::check) does. `sections` are the text's own where it is a configuration of HAProxy,
    /// else there are none.
    #[must_use]
    pub fn again(&self, text: &str, sections: &Sections, printed: &[Range<usize>], kind: OutputKind) -> Self {
        let cuts = cut(text, sections, printed);
        let (mut known, mut feeds_before) = (&*self.pieces, 0);
        let mut pieces = Vec::with_capacity(cuts.len());
        for cut in cuts {
            let look = known_look(&mut known, &cut).unwrap_or_else(|| Arc::new(Look::at(text, &cut, kind)));
            let feeds = look.feeds;
            pieces.push(Piece { start: cut.range.start, feeds_before, look });
            feeds_before += feeds;
        }
        Self { pieces: pieces.into() }
    }

    /// The values that do not fit their places, in order.
    pub fn misfits(&self) -> Vec<Misfit> {
        let found = |piece: &'_ Piece| {
            let (start, feeds) = (piece.start, piece.feeds_before);
            let misfits = piece.look.misfits.iter().cloned();
            misfits
                .map(|misfit| Misfit {
                    span: shifted(&misfit.span, start),
                    line: misfit.line + feeds,
                    ..misfit
                })
                .collect::<Vec<_>>()
        };
        self.pieces.iter().flat_map(found).collect()
    }

    /// Whether every value fits its place.
    pub fn fits(&self) -> bool {
        self.pieces.iter().all(|piece| piece.look.misfits.is_empty())
    }

    /// Where values were printed, in order.
    pub fn printed(&self) -> impl Iterator<Item = Range<usize>> {
        self.pieces.iter().flat_map(|piece| piece.look.printed.iter().map(|span| shifted(span, piece.start)))
    }
}

fn shifted(span: &Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

/// The pieces of a text: its sections, those together between which a printed value ends the line.
fn cut<'a>(text: &str, sections: &'a Sections, printed: &'a [Range<usize>]) -> Vec<Cut<'a>> {
    let parts = sections.parts();
    let ends = parts.iter().skip(1).map(|part| part.start).chain([text.len()]);
    let mut cuts = Vec::with_capacity(parts.len());
    let (mut first, mut start, mut rest) = (0, 0, printed);
    for (index, end) in ends.enumerate() {
        let last = index + 1 >= parts.len();
        let inside = rest.iter().take_while(|span| last || span.start < end).count();
        let (here, after) = rest.split_at(inside);
        if !last && here.last().is_some_and(|span| span.end >= end) {
            continue;
        }
        let section = parts.get(index).filter(|_| first == index).map(|part| &part.document);
        cuts.push(Cut { section, range: start..end, printed: here });
        (first, start, rest) = (index + 1, end, after);
    }
    cuts
}

/// What was seen of the very same piece. Those before it are passed over: sections keep their order.
fn known_look(known: &mut &[Piece], cut: &Cut<'_>) -> Option<Arc<Look>> {
    let section = cut.section?;
    let same = |piece: &Piece| piece.look.section.as_ref().is_some_and(|known| Arc::ptr_eq(known, section));
    let at = known.iter().position(same)?;
    let look = &known[at].look;
    *known = &known[at + 1..];
    let as_before = look.printed.len() == cut.printed.len()
        && look.printed.iter().zip(cut.printed).all(|(known, span)| shifted(known, cut.range.start) == *span);
    as_before.then(|| look.clone())
}

impl Look {
    fn at(text: &str, cut: &Cut<'_>, kind: OutputKind) -> Self {
        let start = cut.range.start;
        let text = text.get(cut.range.clone()).unwrap_or_default();
        let printed: Box<[Range<usize>]> =
            cut.printed.iter().map(|span| span.start - start..span.end - start).collect();
        let misfits = match (kind, cut.section) {
            (OutputKind::Haproxy, None) => check_lines(text, &lex(text), &printed, kind),
            (_, section) => check_lines(text, section.map_or(&[], |section| section.lines()), &printed, kind),
        };
        let feeds = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        let values = printed.iter().map(|span| text.get(span.clone()).map_or(0, feeds));
        let feeds = feeds(text) - values.sum::<usize>();
        Self { section: cut.section.cloned(), printed, misfits: misfits.into(), feeds }
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
                sections = sections.parse_again(if kind == OutputKind::Haproxy { text } else { "" });
                checked = checked.again(text, &sections, printed, kind);
                let expected = check(text, printed, kind);
                prop_assert_eq!(checked.misfits(), expected.clone(), "{:?} {:?}", text, printed);
                prop_assert_eq!(checked.fits(), expected.is_empty());
                prop_assert_eq!(&checked.printed().collect::<Vec<_>>(), printed);
            }
        }
    }
}
