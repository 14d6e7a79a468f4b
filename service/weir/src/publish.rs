//! Publishing on a watch channel only what is news.

/// Puts `now` in the place of `before`. Returns whether they differ: what `send_if_modified` wants to know.
pub(crate) fn replace<T: PartialEq>(before: &mut T, now: T) -> bool {
    let changed = *before != now;
    if changed {
        *before = now;
    }
    changed
}
