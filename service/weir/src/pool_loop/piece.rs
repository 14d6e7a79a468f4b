//! Sections of a text that HAProxy refuses, each of which can be left as it is in the text in force.
//!
//! In: the sections in force and those refused. Out: [`Piece`]s, what differs between the two, and texts in which some of them are as
//! before. Pure. A section is told by its header and by how many of that header stand before it.

use std::sync::Arc;

use haproxy_cfg::{Part, Sections};

/// One section that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Which of the outputs it stands in.
    pub(super) output: usize,
    key: Key,
    /// Behind which section it stood before.
    after: Option<Key>,
    before: Option<Arc<str>>,
    refused: Option<Arc<str>>,
}

/// A section's keyword and name, and how many of those stand before it. Without a name: what stands before the first section, too.
type Key = (String, usize);

impl Piece {
    /// The section as people call it.
    pub(super) fn title(&self) -> &str {
        if self.key.0.is_empty() { "what stands before the first section" } else { &self.key.0 }
    }

    /// Whether both are about the same section.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        (self.output, &self.key) == (other.output, &other.key)
    }

    /// Whether the text has it as it was refused.
    pub(super) fn stands(&self, sections: &Sections) -> bool {
        let found = keyed(sections).into_iter().find(|(key, _)| *key == self.key);
        found.map(|(_, part)| part.document.text()) == self.refused.as_deref()
    }
}

/// What differs in two texts of one output, in the later one's order, then what is gone from it.
pub(super) fn pieces(output: usize, before: &Sections, refused: &Sections) -> Vec<Piece> {
    let (old, new) = (keyed(before), keyed(refused));
    let text = |part: Option<&&Part>| part.map(|part| Arc::from(part.document.text()));
    let find = |all: &[(Key, &Part)], key: &Key| all.iter().position(|(other, _)| other == key);
    let piece = |key: &Key| {
        let at = find(&old, key);
        let after = at.and_then(|at| Some(old.get(at.checked_sub(1)?)?.0.clone()));
        let was = text(at.map(|at| &old[at].1));
        let is = text(find(&new, key).map(|at| &new[at].1));
        Piece { output, key: key.clone(), after, before: was, refused: is }
    };
    let gone = old.iter().filter(|(key, _)| find(&new, key).is_none());
    let all = new.iter().chain(gone).map(|(key, _)| piece(key));
    all.filter(|piece| piece.before != piece.refused).collect()
}

/// The text with these pieces as they were before.
pub(super) fn with_before(sections: &Sections, pieces: &[&Piece]) -> String {
    let mut texts: Vec<(Key, Arc<str>)> = Vec::new();
    for (key, part) in keyed(sections) {
        match pieces.iter().find(|piece| piece.key == key) {
            None => texts.push((key, part.document.text().into())),
            Some(piece) => texts.extend(piece.before.clone().map(|before| (key, before))),
        }
    }
    for piece in pieces.iter().filter(|piece| piece.refused.is_none()) {
        let Some(before) = &piece.before else { continue };
        let at = piece.after.as_ref().and_then(|after| texts.iter().position(|(key, _)| key == after));
        texts.insert(at.map_or(texts.len(), |at| at + 1), (piece.key.clone(), before.clone()));
    }
    texts.iter().fold(String::new(), |text, (_, next)| joined(text, next))
}

fn joined(mut text: String, next: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + next
}

/// The parts with their keys.
fn keyed(sections: &Sections) -> Vec<(Key, &Part)> {
    let mut seen = std::collections::HashMap::new();
    let parts = sections.parts().iter();
    parts
        .map(|part| {
            let title = title(part);
            let count = seen.entry(title.clone()).or_insert(0);
            *count += 1;
            ((title, *count - 1), part)
        })
        .collect()
}

fn title(part: &Part) -> String {
    let Some(section) = part.section() else { return String::new() };
    let name = section.name.as_deref().map_or(String::new(), |name| format!(" {name}"));
    format!("{}{name}", section.keyword)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(sections: &[(u8, u8)]) -> Sections {
        let section = |(name, line): &(u8, u8)| format!("backend b{name}\n  # {line}\n");
        Sections::parse(sections.iter().map(section).collect::<String>())
    }

    fn sections() -> impl Strategy<Value = Vec<(u8, u8)>> {
        prop::collection::vec((0_u8..6, 0_u8..3), 0..8)
    }

    fn sorted(text: &str) -> Vec<String> {
        let sections = Sections::parse(text);
        let mut parts: Vec<String> =
            sections.parts().iter().map(|part| part.document.text().to_owned()).collect();
        parts.sort();
        parts
    }

    proptest! {
        /// With nothing left as it was it is the refused text; with all of it, the sections in force and no others.
        #[test]
        fn from_none_to_all(before in sections(), refused in sections()) {
            let (old, new) = (text(&before), text(&refused));
            let pieces = pieces(0, &old, &new);
            prop_assert!(pieces.iter().all(|piece| piece.stands(&new) && !piece.stands(&old)));
            prop_assert_eq!(with_before(&new, &[]), text_of(&new));
            let all = with_before(&new, &pieces.iter().collect::<Vec<_>>());
            prop_assert_eq!(sorted(&all), sorted(&text_of(&old)));
        }
    }

    fn text_of(sections: &Sections) -> String {
        sections.parts().iter().map(|part| part.document.text()).collect()
    }

    #[test]
    fn a_section_that_is_kept_stands_where_it_stood() {
        let old = text(&[(1, 0), (2, 0), (3, 0)]);
        let new = text(&[(1, 1), (3, 0), (4, 0)]);
        let pieces = pieces(0, &old, &new);
        let titles: Vec<&str> = pieces.iter().map(Piece::title).collect();
        assert_eq!(titles, ["backend b1", "backend b4", "backend b2"]);
        assert_eq!(with_before(&new, &[&pieces[2]]), text_of(&text(&[(1, 1), (2, 0), (3, 0), (4, 0)])));
        assert_eq!(with_before(&new, &[&pieces[1]]), text_of(&text(&[(1, 1), (3, 0)])));
    }
}
