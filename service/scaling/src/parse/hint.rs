//! What somebody who misspelt a name may have meant.

/// The known name nearest to a misspelt one, where one is near; otherwise all that are known.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    match nearest {
        Some((distance, key)) if distance <= 1 + name.len() / 4 => format!("; did you mean {key:?}?"),
        _ => format!("; known are {}", known.join(", ")),
    }
}
