//! `server` and `server-template` lines. In: a line. Out: a view of it, or `None` where it is another line or one
//! that HAProxy refuses for want of words.

use crate::address::Address;
use crate::line::{Line, Word};

/// A `server` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server<'d> {
    /// The server's name.
    pub name: &'d str,
    /// The address word as HAProxy sees it.
    pub written: &'d str,
    /// The address word, read.
    pub address: Address,
    /// What follows the address.
    pub options: &'d [Word],
    /// The line's number in its document, from 1.
    pub line: usize,
}

impl<'d> Server<'d> {
    /// The server that `line` declares.
    pub fn read(line: &'d Line) -> Option<Self> {
        let [keyword, name, address, options @ ..] = line.words.as_slice() else { return None };
        (keyword.value == "server").then(|| Self {
            name: &name.value,
            written: &address.value,
            address: Address::parse(&address.value),
            options,
            line: line.number,
        })
    }

    /// The word after the option `name`, as `3` for `weight` in `weight 3`.
    pub fn option(&self, name: &str) -> Option<&'d str> {
        let at = self.options.iter().position(|word| word.value == name)?;
        self.options.get(at + 1).map(|word| word.value.as_str())
    }
}

/// A `server-template` line: servers `PREFIX1` to `PREFIXn`, which get their addresses while HAProxy runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTemplate<'d> {
    /// What the names of its servers begin with.
    pub prefix: &'d str,
    /// How many, as written: `N` or `FIRST-LAST`.
    pub count: &'d str,
    /// The address word, read.
    pub address: Address,
    /// What follows the address.
    pub options: &'d [Word],
    /// The line's number in its document, from 1.
    pub line: usize,
}

impl<'d> ServerTemplate<'d> {
    /// The servers that `line` declares.
    pub fn read(line: &'d Line) -> Option<Self> {
        let [keyword, prefix, count, address, options @ ..] = line.words.as_slice() else { return None };
        (keyword.value == "server-template").then(|| Self {
            prefix: &prefix.value,
            count: &count.value,
            address: Address::parse(&address.value),
            options,
            line: line.number,
        })
    }

    /// The numbers of its servers; `None` where the count is not one that HAProxy takes.
    pub fn numbers(&self) -> Option<std::ops::RangeInclusive<u32>> {
        let (first, last) = self.count.split_once('-').unwrap_or(("1", self.count));
        let range = first.parse().ok()?..=last.parse().ok()?;
        (!range.is_empty()).then_some(range)
    }

    /// Whether `name` is one of its servers.
    pub fn declares(&self, name: &str) -> bool {
        let number = name.strip_prefix(self.prefix).and_then(|number| number.parse().ok());
        number.is_some_and(|number: u32| self.numbers().is_some_and(|numbers| numbers.contains(&number)))
    }
}
