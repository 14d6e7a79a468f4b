//! What a text that is not HCL opens and does not close: the parser knows only where it stopped, which may be far away.
//!
//! In: the text. Out: words for a person, with line and column, where it can be told. By brackets and quotes alone; of
//! several blocks the one whose `}` stands further left than it.

/// Something that wants to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opener {
    at: usize,
    /// `"`, `{`, `[`, `(`, or `$` for what begins within a quote.
    sign: char,
}

impl Opener {
    fn closing(self) -> char {
        match self.sign {
            '[' => ']',
            '(' => ')',
            '"' => '"',
            _ => '}',
        }
    }
}

/// What is not as it should be.
enum Slip<'a> {
    Open(Opener),
    Heredoc { at: usize, mark: &'a str },
    Comment(usize),
    Closes { at: usize, sign: char },
}

/// What is not closed, or closes nothing, and what to do; nothing where all that is opened is closed.
pub(super) fn hint(text: &str) -> Option<String> {
    let mut scan = Scan { text, at: 0, open: Vec::new(), suspect: None };
    let slip = loop {
        match scan.step() {
            Ok(true) => {}
            Ok(false) => break Slip::Open(scan.suspect.or(scan.open.pop())?),
            Err(slip) => break slip,
        }
    };
    Some(words(text, &slip))
}

fn words(text: &str, slip: &Slip<'_>) -> String {
    match slip {
        Slip::Open(opener) if opener.sign == '"' => {
            format!("the quote at {} is not closed on its line", place(text, opener.at))
        }
        Slip::Open(opener) => format!(
            "`{}` at line {} is not closed: a `{}` is missing",
            head(text, opener.at),
            line(text, opener.at),
            opener.closing()
        ),
        Slip::Heredoc { at, mark } => {
            format!("the text at {} has no end: a line with {mark} alone is missing", place(text, *at))
        }
        Slip::Comment(at) => format!("the comment at {} has no end: a `*/` is missing", place(text, *at)),
        Slip::Closes { at, sign } => format!("the `{sign}` at {} closes nothing", place(text, *at)),
    }
}

/// A walk through the text.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Opener>,
    /// A block whose `}` stands further left than it: that may be another block's.
    suspect: Option<Opener>,
}

impl<'a> Scan<'a> {
    /// Whether there was more to read.
    fn step(&mut self) -> Result<bool, Slip<'a>> {
        let Some(next) = self.rest().chars().next() else { return Ok(false) };
        match self.open.last() {
            Some(quote) if quote.sign == '"' => self.in_quote(*quote, next)?,
            _ => self.in_code(next)?,
        }
        Ok(true)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn in_quote(&mut self, quote: Opener, next: char) -> Result<(), Slip<'a>> {
        let rest = self.rest();
        match next {
            '\n' => return Err(Slip::Open(quote)),
            '"' => self.close(),
            // The sign after it means nothing, were it a quote.
            '\\' => self.at += 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            _ if rest.starts_with("$${") || rest.starts_with("%%{") => self.at += 3,
            _ if rest.starts_with("${") || rest.starts_with("%{") => self.open('$', 2),
            _ => self.at += next.len_utf8(),
        }
        Ok(())
    }

    fn in_code(&mut self, next: char) -> Result<(), Slip<'a>> {
        let rest = self.rest();
        match next {
            '"' | '{' | '[' | '(' => self.open(next, 1),
            '}' | ']' | ')' => self.closing(next)?,
            '#' => self.at += rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("//") => self.at += rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => self.at += 2 + rest.find("*/").ok_or(Slip::Comment(self.at))?,
            _ if rest.starts_with("<<") => self.heredoc()?,
            _ => self.at += next.len_utf8(),
        }
        Ok(())
    }

    fn open(&mut self, sign: char, length: usize) {
        self.open.push(Opener { at: self.at, sign });
        self.at += length;
    }

    fn close(&mut self) {
        self.open.pop();
        self.at += 1;
    }

    fn closing(&mut self, sign: char) -> Result<(), Slip<'a>> {
        let Some(opener) = self.open.last().copied() else {
            return Err(Slip::Closes { at: self.at, sign });
        };
        if opener.closing() != sign {
            return Err(Slip::Open(opener));
        }
        if begins_line(self.text, self.at) && indent(self.text, self.at) < indent(self.text, opener.at) {
            self.suspect.get_or_insert(opener);
        }
        self.close();
        Ok(())
    }

    /// `<<MARK` or `<<-MARK`, up to a line that holds the mark alone.
    fn heredoc(&mut self) -> Result<(), Slip<'a>> {
        let first = self.rest().lines().next().unwrap_or_default();
        let mark = first.trim_start_matches(['<', '-']).trim();
        let Some(length) = heredoc_length(self.rest(), mark) else {
            return Err(Slip::Heredoc { at: self.at, mark });
        };
        self.at += length;
        Ok(())
    }
}

/// How long a heredoc is, without the line break after it.
fn heredoc_length(text: &str, mark: &str) -> Option<usize> {
    let lines = text.split_inclusive('\n').scan(0, |end, line| {
        *end += line.len();
        Some((*end, line))
    });
    let mut after_first = lines.skip(1);
    after_first
        .find(|(_, line)| line.trim() == mark)
        .map(|(end, line)| end - line.len() + line.trim_end().len())
}

/// The line that `at` is in, up to there.
fn before(text: &str, at: usize) -> &str {
    text[..at].rsplit('\n').next().unwrap_or_default()
}

fn begins_line(text: &str, at: usize) -> bool {
    before(text, at).trim().is_empty()
}

fn indent(text: &str, at: usize) -> usize {
    let line = text[at - before(text, at).len()..].lines().next().unwrap_or_default();
    line.len() - line.trim_start().len()
}

/// How much of the line of an opener is shown.
const SHOWN: usize = 40;

/// What stands before an opener on its line, and itself.
fn head(text: &str, at: usize) -> String {
    let line = before(text, at).trim_start();
    let skipped = line.chars().count().saturating_sub(SHOWN);
    line.chars().skip(skipped).chain(text[at..].chars().take(1)).collect()
}

fn line(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

fn place(text: &str, at: usize) -> String {
    format!("line {}, column {}", line(text, at), 1 + before(text, at).chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        hint(text).unwrap_or_default()
    }

    #[test]
    fn a_block_that_is_not_closed_is_named_where_it_begins() {
        let rest = "template {\n  source = \"a\"\n}\n";
        assert_eq!(
            said(&format!("\nconsul {{\n  address = \"b\"\n\n{rest}")),
            "`consul {` at line 2 is not closed: a `}` is missing"
        );
        assert_eq!(
            said(&format!("consul {{\n  ssl {{\n    verify = false\n}}\n{rest}")),
            "`ssl {` at line 2 is not closed: a `}` is missing"
        );
        assert_eq!(
            said("haproxy \"edge\" {\n  config = [\"/a\"\n}\n"),
            "`config = [` at line 2 is not closed: a `]` is missing"
        );
        assert_eq!(said("consul {\n}\n}\n"), "the `}` at line 3, column 1 closes nothing");
    }

    #[test]
    fn a_quote_or_a_text_that_is_not_closed_is_named_where_it_begins() {
        let text = "a = \"1\"\nb = \"zwölf\nc = \"3\"\n";
        assert_eq!(said(text), "the quote at line 2, column 5 is not closed on its line");
        let text = "contents = <<EOF\n{{#each x}} \"\n EOFF\n";
        assert_eq!(said(text), "the text at line 1, column 12 has no end: a line with EOF alone is missing");
        assert_eq!(said("a = 1 /* {\n"), "the comment at line 1, column 7 has no end: a `*/` is missing");
    }

    #[test]
    fn what_stands_in_quotes_texts_and_comments_opens_nothing() {
        let text = "a = \"{ \\\" [ $${ ${x[\"{\"]} ü\" # {\n// \"\n/* ( */ b = [1, (2)]\nc = <<-EOT\n  {{ \"\n  EOT\nd {}\n";
        assert_eq!(hint(text), None);
    }
}
