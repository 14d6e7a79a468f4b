//! What the lexer yields: a line, its words, and what is wrong with it.
//!
//! All offsets are in bytes from the start of the whole text.

use std::ops::Range;

use smol_str::SmolStr;
use thiserror::Error;

/// The most words that HAProxy takes on a line (`MAX_LINE_ARGS`; measured on 2.6.12: the 65th is an error, and so is
/// white space after the 64th, which 3.2 lets pass).
pub const MAX_WORDS: usize = 64;

/// One line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1, as HAProxy's messages do.
    pub number: usize,
    /// Where the line stands in the text, its line feed included.
    pub range: Range<usize>,
    /// The words, up to the fault where there is one.
    pub words: Vec<Word>,
    /// Where the part begins that HAProxy does not read: a comment, or what follows a carriage return.
    pub comment: Option<usize>,
    /// What makes HAProxy refuse the line.
    pub fault: Option<Fault>,
    /// The line is its words and white space, and nothing of it is quoted or escaped: the text alone says what it says.
    pub(crate) is_plain: bool,
}

impl Line {
    /// The first word, which says what the line is; `None` for a line that HAProxy takes for empty (one that
    /// begins with `""` is).
    pub fn keyword(&self) -> Option<&str> {
        self.word(0).filter(|word| !word.is_empty())
    }

    /// The value of word `index`, the keyword being 0.
    pub fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(|word| word.value.as_str())
    }

    /// Whether the line is `.if`, `.elif`, `.else`, `.endif`, `.notice` or another command to the parser itself.
    pub fn is_directive(&self) -> bool {
        self.keyword().is_some_and(|keyword| keyword.starts_with('.'))
    }

    /// The index of the word that `offset` is in, or at the edge of.
    pub fn word_at(&self, offset: usize) -> Option<usize> {
        let index = self.words.partition_point(|word| word.range.end < offset);
        self.words.get(index).filter(|word| word.range.start <= offset).map(|_| index)
    }

    /// The quoting that a character inserted at `offset` would be under; `None` in a comment.
    pub fn quote_at(&self, offset: usize) -> Option<Quote> {
        if self.comment.is_some_and(|start| offset > start) {
            return None;
        }
        let word = self.word_at(offset).map(|index| &self.words[index]);
        Some(word.map_or(Quote::None, |word| word.quote_at(offset)))
    }
}

/// The words of a plain line, as pieces of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainWords<'t> {
    rest: &'t str,
}

impl<'t> PlainWords<'t> {
    pub(crate) fn new(line: &'t str) -> Self {
        let bytes = line.as_bytes();
        let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
        let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(start, |last| last + 1);
        Self { rest: &line[start..end] }
    }

    /// What is left, from the next word to the last.
    pub fn as_str(&self) -> &'t str {
        self.rest
    }
}

impl<'t> Iterator for PlainWords<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.rest.as_bytes();
        let end = bytes.iter().position(|byte| is_space(*byte)).unwrap_or(bytes.len());
        let space = bytes[end..].iter().take_while(|byte| is_space(**byte)).count();
        let word = &self.rest[..end];
        self.rest = &self.rest[end + space..];
        (!word.is_empty()).then_some(word)
    }
}

/// What separates words, and the line feed: C's `isspace`.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where the word stands in the text, quotes and escapes included.
    pub range: Range<usize>,
    /// The word as HAProxy sees it, quotes and escapes resolved. Environment variables stand as they are written;
    /// bytes that are not UTF-8 are replaced; `\x00` ends the value, as it ends a C string.
    pub value: SmolStr,
    /// The value holds an environment variable, so that what HAProxy sees may be anything, more words included.
    pub environment: bool,
    /// What does not stand for itself. Most words are plain, and there are tens of thousands of them.
    pub(crate) marks: Option<Box<Marks>>,
}

/// What of a word does not stand for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) quoted: Vec<Quoted>,
    pub(crate) substitutions: Vec<Range<usize>>,
}

impl Word {
    /// Whether all of it stands for itself: the value is what is written.
    pub fn is_plain(&self) -> bool {
        self.marks.is_none()
    }

    /// The quoted parts, in order.
    pub fn quoted(&self) -> &[Quoted] {
        self.marks.as_ref().map_or(&[], |marks| &marks.quoted)
    }

    /// Escapes such as `\n` and variables such as `${HOME}`, in order: what does not stand for itself.
    pub fn substitutions(&self) -> &[Range<usize>] {
        self.marks.as_ref().map_or(&[], |marks| &marks.substitutions)
    }

    /// The quoting that a character inserted at `offset` would be under.
    pub fn quote_at(&self, offset: usize) -> Quote {
        let index = self.quoted().partition_point(|part| part.inner.end < offset);
        let part = self.quoted().get(index).filter(|part| part.inner.start <= offset);
        part.map_or(Quote::None, |part| part.quote)
    }
}

/// A quoted part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// What is between the quotes.
    pub inner: Range<usize>,
    /// Which quotes.
    pub quote: Quote,
}

/// How a character is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// Not at all: white space ends the word, `#` the line, `\` escapes.
    None,
    /// In double quotes: `\` escapes, environment variables are put in.
    Double,
    /// In single quotes: everything stands for itself.
    Single,
}

/// What makes HAProxy refuse a line, whatever its words mean.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// The ways in which a line cannot be cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FaultKind {
    /// A quote is not closed before the end of the line.
    #[error(
        "the quote that is opened here is not closed on the same line; close it, or escape it with a backslash"
    )]
    UnclosedQuote,
    /// More words than HAProxy takes.
    #[error("more than {MAX_WORDS} words (white space after the last also counts); split the line")]
    TooManyWords,
    /// `\x` without two hexadecimal digits.
    #[error("`\\x` wants two hexadecimal digits")]
    BadHexEscape,
    /// `$` in double quotes without a variable's name.
    #[error("`$` in double quotes wants a variable's name; write `\\$` for a dollar sign")]
    BadVariable,
    /// `${` without `}`.
    #[error("the `{{` of this variable is not closed")]
    UnclosedVariable,
    /// A NUL character.
    #[error("a NUL character; HAProxy takes the file for truncated")]
    Nul,
    /// The file's last line has no line feed.
    #[error("the last line has no line feed; HAProxy takes the file for truncated")]
    MissingLineFeed,
}
