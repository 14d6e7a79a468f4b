//! Commands on the stats socket: their text, what HAProxy answers, and which words may stand in them.
//!
//! The socket splits a line at white space and `;`, takes `\` for an escape and `<<` for the start of more lines. So only
//! characters from a list go into a command, which any usual option is made of.

/// The longest command, in bytes: below half of HAProxy's default `tune.bufsize` (16384). 3.2 refuses a line as long as
/// that; 2.6.12 never answers a command longer than it less `tune.maxrewrite` (at most half), and loses a connection.
pub const MAX_COMMAND: usize = 8_000;
/// HAProxy splits a line into 64 words at most.
const MAX_WORDS: usize = 60;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line, without line feed; free of `;`, so that the caller may join several.
    pub command: String,
    /// Why it is sent.
    pub why: String,
    /// What HAProxy answers when it worked.
    pub expects: Reply,
    /// Whether it is sent only if what it depends on worked.
    pub is_conditional: bool,
}

/// Commands that may have no effect for long: HAProxy keeps a server while connections last.
const REMOVAL: [&str; 3] = ["del server ", "shutdown sessions ", "disable agent "];

impl Step {
    /// Whether it takes a server away. HAProxy refuses that as long as it likes.
    pub(super) fn is_removal(&self) -> bool {
        REMOVAL.iter().any(|start| self.command.starts_with(start))
    }

    /// Whether it may have to be given for each of several servers that come one after the other.
    pub(super) fn is_for_all(&self) -> bool {
        self.command.starts_with("enable dynamic-cookie ")
    }

    /// Whether the step must not be sent where `other` did not work: what takes a server out of traffic depends on what
    /// brought another one into the same pool.
    pub fn depends_on(&self, other: &Self) -> bool {
        self.is_conditional
            && !other.is_conditional
            && !other.is_removal()
            && self.backend() == other.backend()
    }

    /// The server that the command is about, as `BACKEND/SERVER`.
    pub fn server(&self) -> Option<&str> {
        self.command.split(' ').find(|word| word.contains('/'))
    }

    /// The backend of that server.
    pub fn backend(&self) -> Option<&str> {
        self.server()?.split_once('/').map(|(backend, _)| backend)
    }
}

/// What HAProxy answers to a command that worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Empty,
    /// `New server registered.`, maybe after warnings.
    Registered,
    /// `Server deleted.`
    Deleted,
    /// What changed, or that nothing did.
    Changed,
}

impl Reply {
    /// Whether `reply` says that the command worked.
    pub fn accepts(self, reply: &str) -> bool {
        let ends_with = |end: &str| reply.lines().any(|line| line.trim_end().ends_with(end));
        match self {
            Self::Empty => reply.trim().is_empty(),
            Self::Registered => ends_with("New server registered."),
            Self::Deleted => ends_with("Server deleted."),
            Self::Changed => ["changed from", "no need to change", "nothing changed"]
                .iter()
                .any(|text| reply.contains(text)),
        }
    }
}

/// Whether a word may stand in a command.
fn is_sendable(word: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.:-/=+,~*@%()[]".contains(character);
    !word.is_empty() && word.chars().all(fits)
}

/// Whether HAProxy takes it for the name of a backend or a server.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.:-".contains(character);
    !name.is_empty() && name.chars().all(fits)
}

/// The command of these words; or the word, or the length, that does not fit.
pub(super) fn line(words: &[&str]) -> Result<String, String> {
    if let Some(word) = words.iter().find(|word| !is_sendable(word)) {
        return Err(format!("`{word}` has characters that do not fit a command"));
    }
    let line = words.join(" ");
    if line.len() > MAX_COMMAND || words.len() > MAX_WORDS {
        return Err("the options are too long for one command".to_owned());
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_or_extend_a_command_does_not_fit() {
        for word in ["a;b", "a\\", "a\nb", "<<", "a b", "", "é", "a|b", "a\"b", "a#b", "$a"] {
            assert!(line(&["add", word]).is_err(), "{word}");
            assert!(!is_name(word), "{word}");
        }
        let plain = ["[::1]:80", "sni", "req.hdr(host)", "%[src]", "10s", "a,b"];
        assert_eq!(line(&plain).unwrap(), "[::1]:80 sni req.hdr(host) %[src] 10s a,b");
        assert!(line(&["a"; 61]).is_err());
        assert!(line(&[&"a".repeat(MAX_COMMAND + 1)]).is_err());
    }

    #[test]
    fn replies_are_matched() {
        assert!(Reply::Empty.accepts("\n") && !Reply::Empty.accepts("No such server.\n"));
        assert!(Reply::Registered.accepts("a warning\nNew server registered.\n\n"));
        assert!(Reply::Deleted.accepts("Server deleted.\n\n"));
        assert!(!Reply::Deleted.accepts("Server still has connections attached to it, cannot remove it.\n"));
        let moved = "IP changed from '127.0.0.1' to '127.0.0.2', no need to change the port by 'stats socket command'";
        assert!(Reply::Changed.accepts(moved) && !Reply::Changed.accepts("No such server."));
    }
}
