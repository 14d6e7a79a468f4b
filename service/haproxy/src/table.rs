//! HAProxy's tables: a line of column names, then rows. Columns are found by name, never by place.
//!
//! In: the CSV of `show stat`, or the blank-separated lines of `show servers state`. Out: rows to ask by column
//! name. A column that is not there is empty; a table without a header line is `None`.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use memchr::{memchr, memchr2};

/// Tells one kind of table from another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    BlankSeparated,
}

/// A table whose header line began with `# `. Of thousands of rows with a hundred columns only those cells are kept that
/// somebody asks for, one row at a time.
pub(crate) struct Table<'a> {
    layout: Arc<Layout>,
    body: &'a str,
}

/// Where the columns are.
struct Layout {
    form: Form,
    header: Box<str>,
    /// The columns that are asked for, and where each is.
    wanted: &'static [&'static str],
    places: Vec<Option<usize>>,
    /// For each column up to the last one that is asked for, which of the wanted ones it is.
    slots: Vec<Option<usize>>,
}

/// The layouts of late, the newest last. A process prints the same header every time, and reading it costs more than reading a
/// dozen rows.
static KNOWN: Mutex<Vec<Arc<Layout>>> = Mutex::new(Vec::new());
/// Two kinds of tables, from a few processes of different versions.
const REMEMBERED: usize = 8;

impl Layout {
    /// That of a table with this header.
    fn of(form: Form, header: &str, wanted: &'static [&'static str]) -> Arc<Self> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            |layout: &&Arc<Self>| *layout.header == *header && layout.form == form && layout.wanted == wanted;
        if let Some(layout) = known.iter().rev().find(same) {
            return layout.clone();
        }
        let layout = Arc::new(Self::read(form, header, wanted));
        if known.len() >= REMEMBERED {
            known.remove(0);
        }
        known.push(layout.clone());
        layout
    }

    fn read(form: Form, header: &str, wanted: &'static [&'static str]) -> Self {
        let names: Vec<&str> = match form {
            Form::Csv => header.split(',').collect(),
            Form::BlankSeparated => header.split_ascii_whitespace().collect(),
        };
        let places: Vec<Option<usize>> =
            wanted.iter().map(|wanted| names.iter().position(|name| name == wanted)).collect();
        let columns = places.iter().flatten().max().map_or(0, |last| last + 1);
        let slot = |column| places.iter().position(|place| *place == Some(column));
        Self { form, header: header.into(), wanted, slots: (0..columns).map(slot).collect(), places }
    }
}

/// One row of a [`Table`].
pub(crate) struct Row<'a> {
    wanted: &'static [&'static str],
    cells: Vec<Cow<'a, str>>,
}

impl<'a> Table<'a> {
    /// Reads CSV: commas, values with commas, quotes or line breaks in double quotes, quotes doubled.
    pub(crate) fn csv(text: &'a str, wanted: &'static [&'static str]) -> Option<Self> {
        Self::new(Form::Csv, text, wanted)
    }

    /// Reads values separated by blanks, as HAProxy writes its server state.
    pub(crate) fn blank_separated(text: &'a str, wanted: &'static [&'static str]) -> Option<Self> {
        Self::new(Form::BlankSeparated, text, wanted)
    }

    fn new(form: Form, text: &'a str, wanted: &'static [&'static str]) -> Option<Self> {
        let (header, body) = header_and_body(text)?;
        Some(Self { layout: Layout::of(form, header, wanted), body })
    }

    /// Whether all these columns are there.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        let layout = &self.layout;
        let slot = |name: &&str| layout.wanted.iter().position(|wanted| wanted == name);
        names.iter().all(|name| slot(name).is_some_and(|slot| layout.places[slot].is_some()))
    }

    /// Shows each row, in order.
    pub(crate) fn each(&self, visit: impl FnMut(&Row<'a>)) {
        match self.layout.form {
            Form::Csv => self.each_record(visit),
            Form::BlankSeparated => self.each_line(visit),
        }
    }

    fn each_record(&self, mut visit: impl FnMut(&Row<'a>)) {
        let mut records = Records { rest: self.body };
        let mut row = self.empty_row();
        while !records.rest.is_empty() {
            row.cells.fill(Cow::Borrowed(""));
            let has_value = match records.plain_line() {
                Some(line) => self.plain_record(line, &mut row),
                None => self.record(&mut records, &mut row),
            };
            if has_value {
                visit(&row);
            }
        }
    }

    /// Takes a record that is a line without quotes; false where all of it is empty. Nearly all are, and thousands come twice a
    /// second: no more than the cells that are asked for is looked at closely.
    fn plain_record(&self, line: &'a str, row: &mut Row<'a>) -> bool {
        let (mut slots, mut begin) = (self.layout.slots.iter(), 0);
        for (end, byte) in line.bytes().enumerate() {
            if byte == b',' {
                let Some(slot) = slots.next() else { break };
                if let Some(slot) = slot {
                    row.cells[*slot] = Cow::Borrowed(&line[begin..end]);
                }
                begin = end + 1;
            }
        }
        if let Some(Some(slot)) = slots.next() {
            row.cells[*slot] = Cow::Borrowed(&line[begin..]);
        }
        line.bytes().any(|byte| byte != b',')
    }

    /// Takes one record; false where all of it is empty.
    fn record(&self, records: &mut Records<'a>, row: &mut Row<'a>) -> bool {
        let (mut goes_on, mut has_value) = (true, false);
        for column in 0.. {
            if !goes_on {
                break;
            }
            let cell;
            (cell, goes_on) = records.cell();
            has_value |= !cell.is_empty();
            if let Some(slot) = self.layout.slots.get(column).copied().flatten() {
                row.cells[slot] = cell;
            }
        }
        has_value
    }

    fn each_line(&self, mut visit: impl FnMut(&Row<'a>)) {
        let mut row = self.empty_row();
        for line in self.body.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace().peekable();
            if words.peek().is_none() {
                continue;
            }
            row.cells.fill(Cow::Borrowed(""));
            for (slot, word) in self.layout.slots.iter().zip(words) {
                if let Some(slot) = slot {
                    row.cells[*slot] = Cow::Borrowed(word);
                }
            }
            visit(&row);
        }
    }

    fn empty_row(&self) -> Row<'a> {
        let wanted = self.layout.wanted;
        Row { wanted, cells: vec![Cow::Borrowed(""); wanted.len()] }
    }
}

impl Row<'_> {
    /// The value of a column that was asked for; empty where the column or the value is missing.
    pub(crate) fn text(&self, column: &str) -> &str {
        let slot = self.wanted.iter().position(|wanted| *wanted == column);
        slot.and_then(|slot| self.cells.get(slot)).map_or("", |cell| cell)
    }

    /// The value as a number; `None` where it is empty or none.
    pub(crate) fn number(&self, column: &str) -> Option<u64> {
        self.text(column).parse().ok()
    }

    /// The value as a count, where nothing printed means none.
    pub(crate) fn count(&self, column: &str) -> u64 {
        self.number(column).unwrap_or(0)
    }
}

/// The first line that begins with `# `, without it, and everything behind it.
fn header_and_body(text: &str) -> Option<(&str, &str)> {
    let at = if text.starts_with("# ") { 0 } else { text.find("\n# ")? + 1 };
    let text = &text[at + 2..];
    let (header, body) = text.split_at(memchr(b'\n', text.as_bytes()).unwrap_or(text.len()));
    Some((header.trim_end(), body.get(1..).unwrap_or("")))
}

/// The records of a CSV text.
struct Records<'a> {
    rest: &'a str,
}

impl<'a> Records<'a> {
    /// Takes the next line, if no quote is in it: it is a whole record then.
    fn plain_line(&mut self) -> Option<&'a str> {
        let end = match memchr2(b'\n', b'"', self.rest.as_bytes()) {
            Some(at) if self.rest.as_bytes()[at] == b'"' => return None,
            end => end.unwrap_or(self.rest.len()),
        };
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or("");
        Some(line.trim_end_matches('\r'))
    }

    /// Takes one cell; true when the record goes on behind it.
    fn cell(&mut self) -> (Cow<'a, str>, bool) {
        let is_quoted = self.rest.as_bytes().first() == Some(&b'"');
        let (value, rest) = if is_quoted { quoted(&self.rest[1..]) } else { plain(self.rest) };
        let goes_on = rest.as_bytes().first() == Some(&b',');
        self.rest = rest.get(1..).unwrap_or("");
        (value, goes_on)
    }
}

fn plain(text: &str) -> (Cow<'_, str>, &str) {
    let end = text.bytes().position(|byte| byte == b',' || byte == b'\n');
    let (value, rest) = text.split_at(end.unwrap_or(text.len()));
    (Cow::Borrowed(value.trim_end_matches('\r')), rest)
}

/// The value behind an opening quote; what stands between the closing quote and the separator is dropped.
fn quoted(text: &str) -> (Cow<'_, str>, &str) {
    let mut end = 0;
    while let Some(at) = text[end..].find('"') {
        end += at;
        if !text[end + 1..].starts_with('"') {
            break;
        }
        end += 2;
    }
    let end = if text[end..].starts_with('"') { end } else { text.len() };
    let value = &text[..end];
    let value =
        if value.contains('"') { Cow::Owned(value.replace("\"\"", "\"")) } else { Cow::Borrowed(value) };
    (value, plain(text.get(end + 1..).unwrap_or("")).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn enquote(value: &str) -> String {
        if value.contains([',', '"', '\n']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.to_owned()
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(rows in prop::collection::vec(prop::collection::vec("[a-c,\"\n ]{0,5}", 3), 0..5)) {
            let mut text = String::from("# x,y,z,\n");
            for row in &rows {
                text += &row.iter().map(|value| enquote(value) + ",").collect::<String>();
                text.push('\n');
            }
            let some: Vec<Vec<String>> = rows.into_iter().filter(|row| row.iter().any(|value| !value.is_empty())).collect();
            for wanted in [&["x", "y", "z"][..], &["z", "x"], &["x"], &["y", "w"]] {
                let at = |name: &str| ["x", "y", "z"].iter().position(|column| *column == name);
                let cell = |row: &Vec<String>, name: &str| at(name).map_or(String::new(), |at| row[at].clone());
                let expected: Vec<Vec<String>> =
                    some.iter().map(|row| wanted.iter().map(|name| cell(row, name)).collect()).collect();
                let table = Table::csv(&text, wanted).unwrap();
                let mut read: Vec<Vec<String>> = Vec::new();
                table.each(|row| read.push(wanted.iter().map(|name| row.text(name).to_owned()).collect()));
                prop_assert_eq!(read, expected);
            }
        }

        #[test]
        fn no_text_breaks_it(text in "[# a,\"\n-]{0,40}") {
            for table in [Table::csv(&text, &["a"]), Table::blank_separated(&text, &["a"])].into_iter().flatten() {
                table.each(|row| assert_eq!(row.count("b"), 0));
            }
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let table = Table::blank_separated("1\n# a b\n1 x\n\n", &["b", "a", "c"]).unwrap();
        assert!(table.has(&["a", "b"]) && !table.has(&["c"]));
        let mut rows = 0;
        table.each(|row| {
            rows += 1;
            let cells = (row.number("a"), row.text("b"), row.number("b"), row.text("c"));
            assert_eq!(cells, (Some(1), "x", None, ""));
        });
        assert_eq!(rows, 1);
        assert!(Table::csv("Permission denied\n", &["a"]).is_none());
    }
}
