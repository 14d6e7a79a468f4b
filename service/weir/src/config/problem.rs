//! A mistake in a file that a person wrote: where it is, what it is, and what to do.

use std::fmt;
use std::path::PathBuf;

/// One mistake. Problems are collected, so that a person sees all of them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) file: PathBuf,
    /// Line, from 1; 0 where the problem is the file's as a whole.
    pub(crate) line: usize,
    /// Column in characters, from 1, where it is known.
    pub(crate) column: Option<usize>,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(file: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, column: None, message: message.into() }
    }

    /// The same, with the column in its line.
    pub(crate) fn at_column(self, column: usize) -> Self {
        Self { column: Some(column), ..self }
    }

    /// As a warning: `FILE:LINE: warning: …`, with the column after the line where it is known.
    pub(crate) fn as_warning(&self) -> String {
        format!("{}: warning: {}", self.place(), self.message)
    }

    /// As what is good to know: `FILE:LINE: note: …`.
    pub(crate) fn as_note(&self) -> String {
        format!("{}: note: {}", self.place(), self.message)
    }

    fn place(&self) -> String {
        let file = self.file.display();
        match (self.line, self.column) {
            (0, _) => file.to_string(),
            (line, None) => format!("{file}:{line}"),
            (line, Some(column)) => format!("{file}:{line}:{column}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)
    }
}

/// `; did you mean "x"?` where a known name is near, else nothing.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The known name that is nearest to what was written, if any is near.
fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(did_you_mean("adress", ["address", "token"]), "; did you mean `address`?");
        assert_eq!(did_you_mean("colour", ["address", "token"]), "");
    }
}
