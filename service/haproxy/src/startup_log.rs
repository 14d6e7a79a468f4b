//! The reply to `reload` on the master socket.
//!
//! In: the reply. Out: whether it says how the reload ended, with HAProxy's words. Up to 2.6 the reply is empty and
//! comes at once; from 2.7 on it is `Success=0|1`, `--`, and what HAProxy printed while it started.

/// What the master answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReloadReply {
    /// It begins and says no more: 2.6 and older.
    Begun,
    /// The new worker is ready.
    Ready,
    /// It failed; the words of the new process.
    Failed(String),
    /// The master did not even begin: no such command, no permission, another reload under way.
    NotBegun(String),
}

/// What a master says that reloads just now: alone, or as the log of a reload that failed (seen on 3.2.26).
const BUSY: &str = "Another reload is still in progress";

impl ReloadReply {
    /// Reads the reply.
    pub(crate) fn parse(reply: &str) -> Self {
        let text = reply.trim();
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let log = rest.trim_start_matches("--").trim();
        match first.trim() {
            "" => Self::Begun,
            "Success=1" => Self::Ready,
            "Success=0" if log.starts_with(BUSY) => Self::NotBegun(log.to_owned()),
            "Success=0" => Self::Failed(log.to_owned()),
            _ => Self::NotBegun(text.chars().take(400).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_generations() {
        assert_eq!(ReloadReply::parse("\n"), ReloadReply::Begun);
        assert_eq!(ReloadReply::parse("Success=1\n--\n[NOTICE] (1) : ok\n"), ReloadReply::Ready);
        let failed = "Success=0\n--\n[ALERT]    (9) : config : parsing [/a:1] : unknown keyword 'x'\n\n";
        assert_eq!(
            ReloadReply::parse(failed),
            ReloadReply::Failed("[ALERT]    (9) : config : parsing [/a:1] : unknown keyword 'x'".into())
        );
        for busy in
            ["Another reload is still in progress\n", "Success=0\n--\nAnother reload is still in progress.\n"]
        {
            let reply = ReloadReply::parse(busy);
            assert!(matches!(&reply, ReloadReply::NotBegun(text) if text.starts_with(BUSY)), "{reply:?}");
        }
    }
}
