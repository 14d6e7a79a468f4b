//! Whether a request carries the cluster's secret.

use std::hint::black_box;

/// Whether both are the same, in a time that does not tell how much of them is.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let differing = |all: u8, (a, b): (&u8, &u8)| black_box(all | (a ^ b));
    black_box(one.iter().zip(other).fold(0, differing)) == 0
}

/// The secret in an `Authorization: Bearer SECRET`.
pub(crate) fn bearer(header: Option<&[u8]>) -> Option<&[u8]> {
    header?.strip_prefix(b"Bearer ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0u8..3, 0..5)
    }

    proptest! {
        #[test]
        fn it_is_equality(one in text(), other in text()) {
            prop_assert_eq!(same(&one, &other), one == other);
        }
    }

    #[test]
    fn only_a_bearer_is_one() {
        assert_eq!(bearer(Some(b"Bearer a b")), Some(&b"a b"[..]));
        assert_eq!(bearer(Some(b"Basic a")), None);
        assert_eq!(bearer(None), None);
    }
}
