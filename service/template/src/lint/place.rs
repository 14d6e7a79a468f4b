//! Where in the source something stands.
//!
//! handlebars knows where a tag begins, not where a word in it stands; the words are looked for from there on.

/// A source and how far it has been read.
pub(crate) struct Place<'a> {
    source: &'a str,
    line_starts: Vec<usize>,
    /// Byte offset of the tag that is being looked at.
    tag: usize,
}

impl<'a> Place<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let after_newlines = source.match_indices('\n').map(|(at, _)| at + 1);
        Self { source, line_starts: std::iter::once(0).chain(after_newlines).collect(), tag: 0 }
    }

    /// A tag begins at this line and column, both from 1 and in characters.
    pub(crate) fn enter(&mut self, line: usize, column: usize) {
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(self.source.len());
        let rest = &self.source[start..];
        let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        self.tag = start + within;
    }

    /// Where the tag begins, in bytes.
    pub(crate) fn offset(&self) -> usize {
        self.tag
    }

    /// Goes on to the next `{{else`, where handlebars does not know the tag's place.
    pub(crate) fn enter_else(&mut self) {
        if let Some(found) = self.source[self.tag..].find("else ") {
            self.tag += found;
        }
    }

    /// Line and column of a word, looked for from the beginning of the tag; of the tag where it is not found.
    pub(crate) fn of(&self, word: &str) -> (usize, usize) {
        self.position(self.find(word).unwrap_or(self.tag))
    }

    fn find(&self, word: &str) -> Option<usize> {
        let rest = &self.source[self.tag..];
        let alone = |at: &usize| {
            let before = rest[..*at].chars().next_back();
            let after = rest[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        };
        rest.match_indices(word).map(|(at, _)| at).find(alone).map(|at| self.tag + at)
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Line and column of a byte offset.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        (line, self.source[start..offset].chars().count() + 1)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | ':')
}
