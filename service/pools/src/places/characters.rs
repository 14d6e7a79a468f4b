//! Which characters a value may hold, by the quoting at its place.
//!
//! The sets name what is allowed, never what is forbidden. Unquoted, that is what addresses, names, host names,
//! paths, numbers, durations and lists of them are made of. Left out are: white space, `#`, quotes and the
//! backslash (they end or change words); `$` and `%` (variables, `%[env(HOME)]`); `(`, `)`, `[`, `]` (arguments and
//! converters of expressions); `{`, `}`, `|`, `!` (conditions); `@` (`unix@`, `fd@`); `<`, `>`, `;`, `&`, `?`, `^`
//! and whatever is not ASCII, since no usual template wants them there: they belong in quotes.

use haproxy_cfg::Quote;

/// Fits an unquoted word.
pub(super) fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || matches!(character, '_' | '.' | ':' | '/' | '=' | '+' | ',' | '~' | '*' | '-')
}

/// Fits between quotes of either kind.
fn is_quotable(character: char) -> bool {
    is_plain(character)
        || matches!(
            character,
            ' ' | '#' | ';' | '(' | ')' | '[' | ']' | '<' | '>' | '?' | '&' | '@' | '!' | '^' | '|' | '`'
        )
}

/// Fits the name of a server, a proxy or an ACL, as HAProxy checks it.
pub(super) fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | ':' | '-')
}

/// The first character of `value` that is not allowed under `quote`; `nested` is within parentheses or brackets,
/// where a comma begins another argument or converter.
pub(super) fn misplaced(value: &str, quote: Quote, nested: bool) -> Option<char> {
    let allowed = |character: char| match quote {
        _ if nested => is_plain(character) && character != ',',
        Quote::None => is_plain(character),
        Quote::Double => is_quotable(character) || character == '\'',
        Quote::Single => is_quotable(character),
    };
    value.chars().find(|character| !allowed(*character))
}

/// Whether a path in `value` leaves its directory.
pub(super) fn climbs(value: &str) -> bool {
    value.split('/').any(|part| part == "..")
}
