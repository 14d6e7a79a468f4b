//! HAProxy's tables: a line of column names, then rows. Columns are found by name, never by place.
//!
//! In: the CSV of `show stat`, or the blank-separated lines of `show servers state`. Out: rows to ask by column
//! name. A column that is not there is empty; a table without a header line is `None`.

use std::borrow::Cow;
use std::collections::HashMap;

/// A table whose header line began with `# `.
pub(crate) struct Table<'a> {
    columns: HashMap<&'a str, usize>,
    rows: Vec<Vec<Cow<'a, str>>>,
}

/// One row of a [`Table`].
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    columns: &'a HashMap<&'a str, usize>,
    cells: &'a [Cow<'a, str>],
}

impl<'a> Table<'a> {
    /// Reads CSV: commas, values with commas, quotes or line breaks in double quotes, quotes doubled.
    pub(crate) fn csv(text: &'a str) -> Option<Self> {
        let (header, body) = header_and_body(text)?;
        let rows = Records { rest: body }.filter(|cells| cells.iter().any(|cell| !cell.is_empty())).collect();
        Some(Self { columns: named(header.split(',')), rows })
    }

    /// Reads values separated by blanks, as HAProxy writes its server state.
    pub(crate) fn blank_separated(text: &'a str) -> Option<Self> {
        let (header, body) = header_and_body(text)?;
        let cells = |line: &'a str| line.split_ascii_whitespace().map(Cow::Borrowed).collect::<Vec<_>>();
        let rows = body.lines().filter(|line| !line.starts_with('#')).map(cells);
        Some(Self {
            columns: named(header.split_ascii_whitespace()),
            rows: rows.filter(|c| !c.is_empty()).collect(),
        })
    }

    /// Whether all these columns are there.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.columns.contains_key(name))
    }

    /// The rows in their order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { columns: &self.columns, cells })
    }
}

impl Row<'_> {
    /// The value of a column; empty where the column or the value is missing.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.columns.get(column).and_then(|&at| self.cells.get(at)).map_or("", |cell| cell)
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
    let (header, body) = text[at + 2..].split_once('\n').unwrap_or((&text[at + 2..], ""));
    Some((header.trim_end(), body))
}

fn named<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    names.enumerate().filter(|(_, name)| !name.is_empty()).map(|(at, name)| (name, at)).collect()
}

/// The records of a CSV text.
struct Records<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Records<'a> {
    type Item = Vec<Cow<'a, str>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut cells = Vec::new();
        while self.cell(&mut cells) {}
        Some(cells)
    }
}

impl<'a> Records<'a> {
    /// Takes one cell; true when the record goes on behind it.
    fn cell(&mut self, cells: &mut Vec<Cow<'a, str>>) -> bool {
        let (value, rest) = self.rest.strip_prefix('"').map_or_else(|| plain(self.rest), quoted);
        cells.push(value);
        let mut behind = rest.chars();
        let separator = behind.next();
        self.rest = behind.as_str();
        separator == Some(',')
    }
}

fn plain(text: &str) -> (Cow<'_, str>, &str) {
    let (value, rest) = text.split_at(text.find([',', '\n']).unwrap_or(text.len()));
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
            let table = Table::csv(&text).unwrap();
            let read: Vec<Vec<_>> = table.rows().map(|row| ["x", "y", "z"].map(|c| row.text(c).to_owned()).to_vec()).collect();
            let some: Vec<Vec<_>> = rows.into_iter().filter(|row| row.iter().any(|value| !value.is_empty())).collect();
            prop_assert_eq!(read, some);
        }

        #[test]
        fn no_text_breaks_it(text in "[# a,\"\n-]{0,40}") {
            if let Some(table) = Table::csv(&text) {
                let _ = table.rows().map(|row| row.count("a")).sum::<u64>();
            }
            let _ = Table::blank_separated(&text);
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let table = Table::blank_separated("1\n# a b\n1 x\n\n").unwrap();
        assert!(table.has(&["a", "b"]) && !table.has(&["c"]));
        let row = table.rows().next().unwrap();
        assert_eq!(
            (row.number("a"), row.text("b"), row.number("b"), row.text("c")),
            (Some(1), "x", None, "")
        );
        assert!(Table::csv("Permission denied\n").is_none());
    }
}
