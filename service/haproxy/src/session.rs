//! A conversation with one worker over one connection of the stats socket: what is said next may depend on the answer before.
//!
//! In: lines, some with a payload. Out: HAProxy's answer to each. All of it goes to the process that took the connection, also where a
//! reload comes between. To be short: an open conversation keeps an old worker alive.

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::ReadHalf;
use tokio::time::timeout;

use crate::exchange::{FIRST_READ, SocketError, text};
use crate::pacing::{PART, Pacing};
use crate::stats_socket::StatsSocket;

/// What HAProxy prints when it waits for the next line.
const PROMPT: &[u8] = b"\n> ";
/// What it prints, up to 3.0, for each line of a payload that it has read.
const CONTINUED: &str = "+ ";

/// An open conversation.
#[derive(Debug)]
pub(crate) struct Session {
    socket: StatsSocket,
    stream: UnixStream,
    received: Received,
}

impl StatsSocket {
    /// Begins a conversation.
    pub(crate) async fn session(&self) -> Result<Session, SocketError> {
        Ok(self.session_with(&[]).await?.0)
    }

    /// Begins a conversation with these lines. HAProxy prompts for each, so that an empty answer can be told from none.
    pub(crate) async fn session_with(&self, lines: &[&str]) -> Result<(Session, Vec<String>), SocketError> {
        let (path, limit) = (self.path(), self.limits().connect);
        let connecting = timeout(limit, UnixStream::connect(path)).await;
        let connected = connecting.map_err(|_| SocketError::timed_out(path, "prompt", limit))?;
        let stream = connected.map_err(|error| SocketError::failed(path, error))?;
        let received = Received { bytes: Vec::with_capacity(FIRST_READ), given: 0 };
        let mut session = Session { socket: self.clone(), stream, received };
        let mut answers = session.say_all(&[&["prompt"], lines].concat()).await?;
        // Nothing is answered to the first line.
        answers.remove(0);
        Ok((session, answers))
    }
}

impl Session {
    /// Where it goes to.
    pub(crate) fn socket(&self) -> &StatsSocket {
        &self.socket
    }

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
    pub(crate) async fn say_all<L: AsRef<str>>(&mut self, lines: &[L]) -> Result<Vec<String>, SocketError> {
        let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        self.exchange(&lines, text).await
    }

    async fn exchange(&mut self, lines: &[&str], text: String) -> Result<Vec<String>, SocketError> {
        if let Some(line) = lines.iter().find(|line| line.contains(['\n', '\r', '\0'])) {
            return Err(SocketError::NotOneLine { command: (*line).to_owned() });
        }
        let limit = self.socket.limits().total;
        let talk = timeout(limit, self.talk(lines, &text)).await;
        talk.map_err(|_| {
            let command = lines.first().copied().unwrap_or_default();
            SocketError::timed_out(self.socket.path(), command, limit)
        })?
    }

    /// Reads while it writes: HAProxy (2.6) does not take more commands while nobody takes its answers.
    async fn talk(&mut self, lines: &[&str], text: &str) -> Result<Vec<String>, SocketError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let Self { socket, stream, received } = self;
        let (stream, mut sending) = stream.split();
        let send = async {
            let sent = sending.write_all(text.as_bytes()).await;
            sent.map_err(|error| SocketError::failed(socket.path(), error))
        };
        let pacing = Pacing::within(socket.limits().total);
        let mut answers = Answers { socket, stream, received, pacing };
        let ((), answers) = tokio::try_join!(send, answers.to(lines))?;
        Ok(answers)
    }
}

/// What was read, and how much of it was given as answers.
#[derive(Debug)]
struct Received {
    bytes: Vec<u8>,
    given: usize,
}

impl Received {
    /// The text before the next prompt at or behind `from`.
    fn next(&mut self, from: usize) -> Option<String> {
        let end = from + memmem::find(&self.bytes[from..], PROMPT)?;
        let answer = text(self.bytes[self.given..end].to_vec());
        self.given = end + PROMPT.len();
        if self.given == self.bytes.len() {
            self.bytes.clear();
            self.given = 0;
        }
        Some(answer)
    }

    /// From where to search when more has arrived: a prompt may be cut in two.
    fn searched(&self) -> usize {
        self.bytes.len().saturating_sub(PROMPT.len() - 1).max(self.given)
    }
}

/// The answers to some lines, on their way.
struct Answers<'a> {
    socket: &'a StatsSocket,
    stream: ReadHalf<'a>,
    received: &'a mut Received,
    pacing: Pacing,
}

impl Answers<'_> {
    async fn to(&mut self, lines: &[&str]) -> Result<Vec<String>, SocketError> {
        let mut answers = Vec::with_capacity(lines.len());
        for line in lines {
            answers.push(self.answer(line).await?);
        }
        Ok(answers)
    }

    /// Reads up to the next prompt.
    async fn answer(&mut self, command: &str) -> Result<String, SocketError> {
        let mut from = self.received.given;
        loop {
            if let Some(answer) = self.received.next(from) {
                return Ok(answer);
            }
            from = self.received.searched();
            let read = self.receive(command).await?;
            self.pacing.rest(read).await;
        }
    }

    /// Reads what is there; how much.
    async fn receive(&mut self, command: &str) -> Result<usize, SocketError> {
        let (path, limits) = (self.socket.path(), self.socket.limits());
        let mut part = (&mut self.stream).take(PART as u64);
        let read = timeout(limits.silence, part.read_buf(&mut self.received.bytes)).await;
        let read = read.map_err(|_| SocketError::timed_out(path, command, limits.silence))?;
        let read = read.map_err(|error| SocketError::failed(path, error))?;
        if read == 0 {
            return Err(SocketError::Empty { path: path.to_owned(), command: command.to_owned() });
        }
        if self.received.bytes.len() > limits.reply_bytes {
            let (path, limit) = (path.to_owned(), limits.reply_bytes);
            return Err(SocketError::TooLong { path, command: command.to_owned(), limit });
        }
        Ok(read)
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
        assert_eq!(session.say_all(&["one", "two"]).await.unwrap(), ["first\n", ""]);
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
