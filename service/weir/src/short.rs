//! Names in text for people: one of hundreds of characters is cut.

use std::borrow::Cow;

/// How many characters of a name are shown.
const SHOWN: usize = 80;

/// The name, or its beginning and `…`.
pub(crate) fn short(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(SHOWN) {
        None => Cow::Borrowed(name),
        Some(_) => Cow::Owned(name.chars().take(SHOWN - 1).chain(['…']).collect()),
    }
}

/// A sentence that may quote such a name: its long words are cut.
pub(crate) fn short_words(text: &str) -> String {
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// Several names, with commas.
pub(crate) fn list(names: &[String]) -> String {
    names.iter().map(|name| short(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_cut() {
        assert_eq!(short(&"ü".repeat(80)), "ü".repeat(80));
        assert_eq!(short(&"ü".repeat(81)), format!("{}…", "ü".repeat(79)));
        assert_eq!(list(&["a".into(), "b".into()]), "a, b");
    }
}
