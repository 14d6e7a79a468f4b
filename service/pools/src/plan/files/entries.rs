//! The text of a map or of a list of patterns, read as HAProxy reads it.
//!
//! In: a text. Out: its entries, in order. What HAProxy would read in a way that this does not follow, or that does not fit a
//! command, is a [`Why`].

use super::Why;

/// One entry of a map, or one pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// What is looked for.
    pub key: String,
    /// What is found; `None` in a list of patterns, empty where a map gives none.
    pub value: Option<String>,
}

/// The longest line, in bytes: HAProxy reads so many at once (`tune.bufsize` less what a command needs around it).
const LONGEST: usize = 14_000;

/// The entries of a map's text.
pub fn map_entries(text: &str) -> Result<Vec<Entry>, Why> {
    lines(text, |line| {
        let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        Entry { key: key.to_owned(), value: Some(value.trim_matches([' ', '\t']).to_owned()) }
    })
}

/// The patterns of a list. White space at a line's end is a part of the pattern, as it is for HAProxy.
pub fn patterns(text: &str) -> Result<Vec<Entry>, Why> {
    lines(text, |line| Entry { key: line.to_owned(), value: None })
}

/// Comments and empty lines are passed over; white space at a line's beginning and what follows a carriage return is not read.
fn lines(text: &str, entry: impl Fn(&str) -> Entry) -> Result<Vec<Entry>, Why> {
    let read = |(at, line): (usize, &str)| {
        let line = line.split('\r').next().unwrap_or_default();
        if line.starts_with('#') {
            return None;
        }
        let line = line.trim_start_matches([' ', '\t']);
        (!line.is_empty())
            .then(|| sendable(line).map(&entry).map_err(|why| Why::Reload(format!("line {}: {why}", at + 1))))
    };
    text.split('\n').enumerate().filter_map(read).collect()
}

fn sendable(line: &str) -> Result<&str, &'static str> {
    if line.len() > LONGEST {
        Err("it is too long for a command")
    } else if line.chars().any(|character| character.is_control() && character != '\t') {
        Err("it holds a control character")
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        map_entries(text).unwrap().into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    #[test]
    fn a_map_is_read_as_haproxy_reads_it() {
        let text = "# c\n  a.example \t one  two \nb 2\r\n\n  \nnone\n #no comment\na.example 3";
        let some = |value: &str| Some(value.to_owned());
        let expected =
            [("a.example", "one  two"), ("b", "2"), ("none", ""), ("#no", "comment"), ("a.example", "3")];
        assert_eq!(read(text), expected.map(|(key, value)| (key.to_owned(), some(value))));
        assert!(read("\r\n#\n").is_empty());
    }

    #[test]
    fn a_pattern_is_the_whole_line() {
        let found = patterns("# c\n /a b \n10.0.0.0/8\r\n").unwrap();
        assert_eq!(found.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["/a b ", "10.0.0.0/8"]);
    }

    #[test]
    fn what_cannot_be_sent_is_said_with_its_line() {
        let why = map_entries("a 1\nb \u{1}\n").unwrap_err();
        assert_eq!(why, Why::Reload("line 2: it holds a control character".into()));
        assert!(patterns(&format!("{}\n", "a".repeat(LONGEST + 1))).is_err());
        assert!(map_entries("a\0b 1\n").is_err());
    }
}
