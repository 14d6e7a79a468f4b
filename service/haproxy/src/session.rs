//! A conversation with one worker over one connection of the stats socket: what is said next may depend on the answer before.
//!
//! In: lines, some with a payload. Out: HAProxy's answer to each. All of it goes to the process that took the connection, also where a
//! reload comes between. To be short: an open conversation keeps an old worker alive.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::exchange::{Limits, SocketError};
use crate::stats_socket::StatsSocket;

/// What HAProxy prints when it waits for the next line.
const PROMPT: &[u8] = b"\n> ";
/// What it prints, up to 3.0, for each line of a payload that it has read.
const CONTINUED: &str = "+ ";

/// An open conversation.
pub(crate) struct Session<'a> {
    path: &'a Path,
    limits: Limits,
    stream: UnixStream,
    received: Vec<u8>,
}

impl StatsSocket {
    /// Begins a conversation.
    pub(crate) async fn session(&self) -> Result<Session<'_>, SocketError> {
        let (path, limits) = (self.path(), self.limits());
        let connecting = timeout(limits.connect, UnixStream::connect(path));
        let connected =
            connecting.await.map_err(|_| SocketError::timed_out(path, "prompt", limits.connect))?;
        let stream = connected.map_err(|error| SocketError::failed(path, error))?;
        let mut session = Session { path, limits, stream, received: Vec::new() };
        session.say("prompt", None).await?;
        Ok(session)
    }
}

impl Session<'_> {
    /// Sends a line, with its payload where it ends in `<<`, and gives the answer.
    pub(crate) async fn say(&mut self, line: &str, payload: Option<&str>) -> Result<String, SocketError> {
        let text = match payload {
            // The first empty line ends a payload: what follows would be commands.
            Some(payload) if payload.split('\n').any(|line| line.trim_end_matches('\r').is_empty()) => {
                return Err(SocketError::NotOneLine { command: line.to_owned() });
            }
            Some(payload) => format!("{line}\n{payload}\n\n"),
            None => format!("{line}\n"),
        };
        let mut answers = self.exchange(&[line], text).await?;
        let answer = answers.pop().unwrap_or_default();
        Ok(if payload.is_some() { answer.trim_start_matches(CONTINUED).to_owned() } else { answer })
    }

    /// Sends lines without waiting for the answers between them.
    pub(crate) async fn say_all(&mut self, lines: &[String]) -> Result<Vec<String>, SocketError> {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        self.exchange(&lines.iter().map(String::as_str).collect::<Vec<_>>(), text).await
    }

    async fn exchange(&mut self, lines: &[&str], text: String) -> Result<Vec<String>, SocketError> {
        if let Some(line) = lines.iter().find(|line| line.contains(['\n', '\r', '\0'])) {
            return Err(SocketError::NotOneLine { command: (*line).to_owned() });
        }
        let command = lines.first().copied().unwrap_or_default().to_owned();
        let (path, total) = (self.path, self.limits.total);
        let talk = async {
            self.stream.write_all(text.as_bytes()).await.map_err(|error| SocketError::failed(path, error))?;
            let mut answers = Vec::with_capacity(lines.len());
            while answers.len() < lines.len() {
                answers.push(self.answer(&command).await?);
            }
            Ok(answers)
        };
        timeout(total, talk).await.map_err(|_| SocketError::timed_out(path, &command, total))?
    }

    /// Reads up to the next prompt.
    async fn answer(&mut self, command: &str) -> Result<String, SocketError> {
        let mut searched = 0;
        loop {
            let from = searched.min(self.received.len());
            if let Some(at) = self.received[from..].windows(PROMPT.len()).position(|part| part == PROMPT) {
                let answer = String::from_utf8_lossy(&self.received[..from + at]).into_owned();
                self.received.drain(..from + at + PROMPT.len());
                return Ok(answer);
            }
            searched = self.received.len().saturating_sub(PROMPT.len() - 1);
            self.receive(command).await?;
        }
    }

    async fn receive(&mut self, command: &str) -> Result<(), SocketError> {
        let read = timeout(self.limits.silence, self.stream.read_buf(&mut self.received)).await;
        let read = read.map_err(|_| SocketError::timed_out(self.path, command, self.limits.silence))?;
        if read.map_err(|error| SocketError::failed(self.path, error))? == 0 {
            return Err(SocketError::Empty { path: self.path.to_owned(), command: command.to_owned() });
        }
        if self.received.len() > self.limits.reply_bytes {
            let (path, limit) = (self.path.to_owned(), self.limits.reply_bytes);
            return Err(SocketError::TooLong { path, command: command.to_owned(), limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::scripted;

    #[tokio::test]
    async fn answers_are_told_apart_however_they_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let script = &[
            ("prompt\n", "\n> "),
            ("add map /m <<\na b\nc d\n\n", "+ + + \n> "),
            ("one\ntwo\n", "first\n\n> \n> "),
            ("three\n", "a > b\n>c\n\n> "),
        ];
        let haproxy = scripted(&path, script);
        let socket = StatsSocket::new(&path);
        let mut session = socket.session().await.unwrap();
        assert_eq!(session.say("add map /m <<", Some("a b\nc d")).await.unwrap(), "");
        assert_eq!(session.say_all(&["one".into(), "two".into()]).await.unwrap(), ["first\n", ""]);
        assert_eq!(session.say("three", None).await.unwrap(), "a > b\n>c\n");
        let ended = session.say("four", None).await.unwrap_err();
        assert!(matches!(ended, SocketError::Empty { .. }), "{ended}");
        drop(session);
        assert_eq!(haproxy.await.unwrap(), "four\n");
    }

    #[tokio::test]
    async fn what_would_be_another_command_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _haproxy = scripted(&path, &[("prompt\n", "\n> ")]);
        let socket = StatsSocket::new(&path);
        let mut session = socket.session().await.unwrap();
        for (line, payload) in
            [("a\nb", None), ("a <<", Some("b\n\nshutdown")), ("a <<", Some("")), ("a <<", Some("b\n\r\nc"))]
        {
            let refused = session.say(line, payload).await.unwrap_err();
            assert!(matches!(refused, SocketError::NotOneLine { .. }), "{refused}");
        }
    }
}
