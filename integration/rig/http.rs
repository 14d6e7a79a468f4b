//! A plain HTTP/1.1 exchange: one connection per request, nothing reused, every step bounded.

use std::io::{Error, ErrorKind, Result};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends one request to a port of 127.0.0.1. `body` is sent with its length; 10 s at most.
pub(crate) async fn send(port: u16, method: &str, path: &str, head: &str, body: &str) -> Result<Reply> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\
         {head}\r\n{body}",
        body.len()
    );
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, exchange(port, &request)).await.map_err(|_| ErrorKind::TimedOut)?
}

/// GET without anything special.
pub(crate) async fn get(port: u16, path: &str) -> Result<Reply> {
    send(port, "GET", path, "", "").await
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
    let cut = || Error::new(ErrorKind::UnexpectedEof, "the answer was cut off");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body =
        if chunked { unchunk(&answer[end + 4..]).ok_or_else(cut)? } else { answer[end + 4..].to_vec() };
    Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
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
