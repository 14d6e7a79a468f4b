//! Where in a job file something stands.

use std::ops::Range;

/// A place in the text, in bytes from its beginning.
pub(super) type Span = Range<usize>;

/// The line of a place, from 1.
pub(super) fn line(text: &str, at: &Span) -> usize {
    1 + text.get(..at.start).unwrap_or_default().matches('\n').count()
}

/// Where the key or label stands that a message begins with (`key = value …`) or names in quotes, within
/// `inside`; its beginning where there is none.
pub(super) fn named(text: &str, inside: &Span, message: &str) -> Span {
    let within = text.get(inside.clone()).unwrap_or_default();
    let key = message.split_once(" = ").map(|(key, _)| key).filter(|key| !key.contains(' '));
    let quoted = message.split(['`', '"']).skip(1).step_by(2);
    let found =
        key.into_iter().chain(quoted).filter(|name| !name.is_empty()).find_map(|name| word(within, name));
    let at = inside.start + found.unwrap_or(0);
    at..at
}

/// Where `name` stands in `text` as a whole word.
fn word(text: &str, name: &str) -> Option<usize> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back().is_some_and(inside);
        let after = text[at + name.len()..].chars().next().is_some_and(inside);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_word_is_found_within_its_block() {
        let text = "cool = 1\npolicy {\n  cooldown = 2\n  cool = 3\n}\n";
        let at = named(text, &(9..text.len()), "unknown key \"cool\"; did you mean \"cooldown\"?");
        assert_eq!(line(text, &at), 4);
        assert_eq!(line(text, &named(text, &(9..text.len()), "nothing is named")), 2);
        let value = named(text, &(9..text.len()), "cooldown = \"cool\" is no duration");
        assert_eq!(line(text, &value), 3);
        assert_eq!(line(text, &named(text, &(9..text.len()), "unknown key \"é\"")), 2);
    }
}
