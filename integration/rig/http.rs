//! A plain HTTP/1.1 exchange: one connection per request, or one that is kept; every step bounded.

use std::io::{Error, ErrorKind, Result};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

const LIMIT: Duration = Duration::from_secs(10);

/// Sends one request to a port of 127.0.0.1. `body` is sent with its length; 10 s at most.
pub(crate) async fn send(port: u16, method: &str, path: &str, head: &str, body: &str) -> Result<Reply> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\
         {head}\r\n{body}",
        body.len()
    );
    tokio::time::timeout(LIMIT, exchange(port, &request)).await.map_err(|_| ErrorKind::TimedOut)?
}

/// GET without anything special.
pub(crate) async fn get(port: u16, path: &str) -> Result<Reply> {
    send(port, "GET", path, "", "").await
}

/// A connection that is used for one request after another, as long as the other side wants.
pub(crate) struct Kept {
    stream: BufReader<TcpStream>,
    /// The other side has said that it closes now.
    pub(crate) is_over: bool,
}

impl Kept {
    /// Connects to a port of 127.0.0.1.
    pub(crate) async fn open(port: u16) -> Result<Self> {
        let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let stream = tokio::time::timeout(LIMIT, connecting).await.map_err(|_| ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), is_over: false })
    }

    /// GET. An end before the answer is an error even where the connection was idle: the other side had not said that it
    /// would close.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Reply> {
        tokio::time::timeout(LIMIT, self.exchange(path)).await.map_err(|_| ErrorKind::TimedOut)?
    }

    async fn exchange(&mut self, path: &str) -> Result<Reply> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head).await? == 0 {
                return Err(cut());
            }
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        self.is_over = head.contains("connection: close");
        let length = head.split_once("content-length:").and_then(|(_, rest)| rest.lines().next());
        let mut body = Vec::new();
        if let Some(length) = length {
            body.resize(length.trim().parse().map_err(|_| cut())?, 0);
            self.stream.read_exact(&mut body).await?;
        } else {
            self.stream.read_to_end(&mut body).await?;
        }
        Ok(Reply { status: status(&head)?, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// A connection that the other side has made a tunnel, as for a websocket; it ends when it is dropped.
pub(crate) struct Tunnel {
    _stream: TcpStream,
}

impl Tunnel {
    /// Asks a port of 127.0.0.1 for one; a minute at most, as there may be a queue.
    pub(crate) async fn open(port: u16) -> Result<Self> {
        tokio::time::timeout(Duration::from_mins(1), Self::ask(port))
            .await
            .map_err(|_| ErrorKind::TimedOut)?
    }

    async fn ask(port: u16) -> Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream
            .write_all(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: weir\r\n\r\n")
            .await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        match status(&String::from_utf8_lossy(&head))? {
            101 => Ok(Self { _stream: stream }),
            other => Err(Error::other(format!("{other} instead of a tunnel"))),
        }
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the answer was cut off")
}

fn status(head: &str) -> Result<u16> {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)
}

async fn exchange(port: u16, request: &str) -> Result<Reply> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Reply> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body =
        if chunked { unchunk(&answer[end + 4..]).ok_or_else(cut)? } else { answer[end + 4..].to_vec() };
    Ok(Reply { status: status(&head)?, body: String::from_utf8_lossy(&body).into_owned() })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 4 + size..)?;
    }
}
