//! One line's characters, taken in order into words, as HAProxy's `parse_line` does. In: a text and the line's
//! range in it. Out: the words, where a comment begins, and the first fault.

use std::ops::Range;

use smol_str::SmolStr;

use crate::line::{FaultKind, MAX_WORDS, Marks, Quote, Quoted, Word, is_space};

/// What was found on one line.
#[derive(Default)]
pub(crate) struct Scanned {
    pub(crate) words: Vec<Word>,
    pub(crate) comment: Option<usize>,
    pub(crate) fault: Option<(usize, FaultKind)>,
}

/// The state between two characters.
pub(crate) struct Scan<'t> {
    bytes: &'t [u8],
    at: usize,
    stop: usize,
    word: Option<Draft>,
    /// The buffer of the words that are read, empty between them.
    value: Vec<u8>,
    quote: Quote,
    separators: usize,
    out: Scanned,
}

/// A word that is being read.
struct Draft {
    start: usize,
    value: Vec<u8>,
    environment: bool,
    marks: Marks,
}

impl<'t> Scan<'t> {
    /// Before the first character of the line at `range`, its line feed left out.
    pub(crate) fn new(text: &'t str, range: Range<usize>) -> Self {
        let mut scan = Self {
            bytes: text.as_bytes(),
            at: range.start,
            stop: range.end,
            word: None,
            value: Vec::new(),
            quote: Quote::None,
            separators: 0,
            out: Scanned::default(),
        };
        scan.out.words.reserve_exact(likely_words(&scan.bytes[scan.at..scan.stop]));
        scan.skip_space();
        scan
    }

    /// Reads the line to its end, or to what ends it.
    pub(crate) fn run(mut self) -> Scanned {
        while self.at < self.stop && self.out.comment.is_none() && self.out.fault.is_none() {
            self.step(self.bytes[self.at]);
        }
        let open =
            self.word.as_ref().and_then(|word| word.marks.quoted.last()).map(|part| part.inner.start - 1);
        if let (Some(open), true, None) = (open, self.quote != Quote::None, self.out.fault) {
            self.out.fault = Some((open, FaultKind::UnclosedQuote));
        }
        self.end_word();
        // A document lives long, and there are thousands of lines in it.
        self.out.words.shrink_to_fit();
        self.out
    }

    fn step(&mut self, byte: u8) {
        match (byte, self.quote) {
            (0, _) => self.out.fault = Some((self.at, FaultKind::Nul)),
            (b'\r', _) => self.carriage_return(),
            (b'#', Quote::None) => self.out.comment = Some(self.at),
            (b'"', Quote::None | Quote::Double) => self.toggle(Quote::Double),
            (b'\'', Quote::None | Quote::Single) => self.toggle(Quote::Single),
            (b'\\', Quote::None | Quote::Double) => self.escape(),
            (b'$', Quote::Double) => self.variable(),
            (_, Quote::None) if is_space(byte) => self.separator(),
            _ => self.literal(),
        }
    }

    /// A CR ends the line, unless it follows white space, which [`Self::separator`] has then taken it with.
    fn carriage_return(&mut self) {
        if self.at + 1 < self.stop {
            self.out.comment = Some(self.at);
        }
        self.stop = self.at;
    }

    fn separator(&mut self) {
        let start = self.at;
        self.end_word();
        self.skip_space();
        self.separators += 1;
        if self.separators >= MAX_WORDS {
            self.out.fault = Some((start, FaultKind::TooManyWords));
        }
    }

    fn skip_space(&mut self) {
        let space = self.bytes[self.at..self.stop].iter().take_while(|byte| is_space(**byte)).count();
        self.at += space;
    }

    fn toggle(&mut self, quote: Quote) {
        let inner = self.at + 1;
        let opens = self.quote == Quote::None;
        let at = self.at;
        let word = self.word();
        if opens {
            word.marks.quoted.push(Quoted { inner: inner..inner, quote });
        } else if let Some(part) = word.marks.quoted.last_mut() {
            part.inner.end = at;
        }
        self.quote = if opens { quote } else { Quote::None };
        self.at += 1;
    }

    fn escape(&mut self) {
        let next = self.bytes[..self.stop].get(self.at + 1).copied();
        match next {
            Some(byte @ (b' ' | b'\\' | b'#' | b'\'' | b'"')) => self.substitute(2, byte),
            Some(b't') => self.substitute(2, b'\t'),
            Some(b'n') => self.substitute(2, b'\n'),
            Some(b'r') => self.substitute(2, b'\r'),
            Some(b'$') if self.quote == Quote::Double => self.substitute(2, b'$'),
            Some(b'x') => self.hex_escape(),
            _ => self.literal(),
        }
    }

    fn hex_escape(&mut self) {
        let digits = self.bytes[..self.stop].get(self.at + 2..self.at + 4);
        match digits.and_then(|digits| Some(hex(digits[0])? << 4 | hex(digits[1])?)) {
            Some(byte) => self.substitute(4, byte),
            None => self.refuse(4, FaultKind::BadHexEscape),
        }
    }

    fn variable(&mut self) {
        let rest = &self.bytes[self.at..self.stop];
        match variable_length(rest) {
            Ok(length) => {
                let word = self.word();
                word.environment = true;
                word.value.extend_from_slice(&rest[..length]);
                self.mark(length);
            }
            Err((length, kind)) => self.refuse(length, kind),
        }
    }

    /// Takes one character that stands for itself, and the plain ones after it.
    fn literal(&mut self) {
        let rest = &self.bytes[self.at + 1..self.stop];
        let end = self.at + 1 + rest.iter().take_while(|byte| is_plain(**byte)).count();
        let run = &self.bytes[self.at..end];
        self.word().value.extend_from_slice(run);
        self.at = end;
    }

    fn substitute(&mut self, length: usize, byte: u8) {
        self.word().value.push(byte);
        self.mark(length);
    }

    /// Notes a fault whose cause may be anywhere in the next `length` bytes, and in the character that they end in.
    fn refuse(&mut self, length: usize, kind: FaultKind) {
        self.out.fault = Some((self.at, kind));
        let end = self.whole_character((self.at + length).min(self.stop));
        self.mark(end - self.at);
    }

    fn mark(&mut self, length: usize) {
        let range = self.at..self.at + length;
        self.at = range.end;
        self.word_from(range.start).marks.substitutions.push(range);
    }

    fn word(&mut self) -> &mut Draft {
        self.word_from(self.at)
    }

    fn word_from(&mut self, start: usize) -> &mut Draft {
        self.word.get_or_insert_with(|| {
            let value = std::mem::take(&mut self.value);
            Draft { start, value, environment: false, marks: Marks::default() }
        })
    }

    fn end_word(&mut self) {
        let Some(mut draft) = self.word.take() else { return };
        if let (Some(part), true) = (draft.marks.quoted.last_mut(), self.quote != Quote::None) {
            part.inner.end = self.at;
        }
        let range = draft.start..self.at;
        let Draft { mut value, environment, marks, .. } = draft;
        let is_plain = marks.quoted.is_empty() && marks.substitutions.is_empty();
        let marks = (!is_plain).then(|| Box::new(marks));
        self.out.words.push(Word { range, value: decode(&value), environment, marks });
        value.clear();
        self.value = value;
    }

    /// The end of the character that a fault was found in the middle of.
    fn whole_character(&self, at: usize) -> usize {
        let rest = self.bytes[at..self.stop].iter();
        at + rest.take_while(|byte| (0x80..0xc0).contains(*byte)).count()
    }
}

/// How many words it has if nothing is quoted, escaped or a comment, as on most lines: one allocation for all of them.
fn likely_words(line: &[u8]) -> usize {
    line.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()).count()
}

/// The value as a C string.
fn decode(value: &[u8]) -> SmolStr {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into()
}

/// How long the variable is that `rest` begins with: `$NAME`, `${NAME}`, `${NAME[*]}`, `${NAME-default}`, and with
/// a dot before the name. Or how far it was read, and what is wrong.
fn variable_length(rest: &[u8]) -> Result<usize, (usize, FaultKind)> {
    let braced = rest.get(1) == Some(&b'{');
    let start = if braced { 2 } else { 1 };
    let named = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.');
    if !rest.get(start).is_some_and(named) {
        return Err((start + 1, FaultKind::BadVariable));
    }
    let name = rest[start + 1..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    let mut end = start + 1 + name.count();
    if rest[start..end] == *b"." {
        return Err((end, FaultKind::BadVariable));
    }
    if !braced {
        return Ok(end);
    }
    if rest[end..].starts_with(b"[*]") {
        end += 3;
    }
    let default =
        if rest.get(end) == Some(&b'-') { rest[end..].iter().position(|byte| *byte == b'}') } else { None };
    end += default.unwrap_or(0);
    if rest.get(end) == Some(&b'}') { Ok(end + 1) } else { Err((end + 1, FaultKind::UnclosedVariable)) }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Stands for itself under any quoting.
fn is_plain(byte: u8) -> bool {
    !matches!(byte, 0 | b'#' | b'"' | b'\'' | b'\\' | b'$') && !is_space(byte)
}
