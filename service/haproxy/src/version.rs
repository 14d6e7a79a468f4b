//! HAProxy's version number.
//!
//! In: what HAProxy prints ("2.6.12-1+deb12u4", "3.4-dev3"). Out: an ordered [`Version`]. A text without
//! `MAJOR.MINOR` at its start gives `None`.

use std::cmp::Ordering;
use std::fmt;

/// A version as HAProxy prints it. Ordered by its numbers; a development version comes before the release.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// 2 in 2.6.12.
    pub major: u32,
    /// 6 in 2.6.12. An even minor number is a branch with long support.
    pub minor: u32,
    /// 12 in 2.6.12; 0 where none is printed.
    pub patch: u32,
    /// What follows the numbers: the packager's revision, "-dev3", or nothing.
    pub suffix: String,
}

impl Version {
    /// Reads what HAProxy prints.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (numbers, suffix) = text.split_at(end_of_numbers(text));
        let mut parts = numbers.split('.').map(str::parse::<u32>);
        let major = parts.next()?.ok()?;
        let minor = parts.next()?.ok()?;
        let patch = parts.next().and_then(Result::ok).unwrap_or(0);
        Some(Self { major, minor, patch, suffix: suffix.to_owned() })
    }

    /// Whether it is `major.minor` or later, development versions of that branch included.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    fn rank(&self) -> (u32, u32, u32, Option<u32>) {
        (self.major, self.minor, self.patch, self.development().or(Some(u32::MAX)))
    }

    fn development(&self) -> Option<u32> {
        let number = self.suffix.strip_prefix("-dev")?;
        Some(number.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0))
    }
}

/// Where the leading "1.2.3" ends: a dot counts only when a digit follows.
fn end_of_numbers(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    (0..bytes.len()).find(|&at| !(digit(at) || (bytes[at] == b'.' && digit(at + 1)))).unwrap_or(bytes.len())
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}{}", self.major, self.minor, self.patch, self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_packages_print() {
        let debian = Version::parse("2.6.12-1+deb12u4").unwrap();
        assert_eq!((debian.major, debian.minor, debian.patch), (2, 6, 12));
        assert_eq!(debian.suffix, "-1+deb12u4");
        assert_eq!(Version::parse("3.2.26-3ee2fcb\n").unwrap().patch, 26);
        assert_eq!(Version::parse("3.4-dev3-abc").unwrap().suffix, "-dev3-abc");
        for not in ["", "HAProxy", "2", "v2.6", "2.x"] {
            assert_eq!(Version::parse(not), None, "{not}");
        }
    }

    #[test]
    fn is_ordered_as_releases_are() {
        let order =
            ["2.4.0", "2.6.2", "2.6.12-1+deb12u4", "2.8.0", "3.0-dev9", "3.0-dev10", "3.0.0", "3.2.26"];
        let parsed: Vec<_> = order.iter().map(|text| Version::parse(text).unwrap()).collect();
        assert!(parsed.is_sorted());
        assert!(parsed[4].at_least(3, 0) && !parsed[3].at_least(3, 0));
    }
}
