//! One HTTP/1.1 request and its answer, on a fresh or a kept connection.
//!
//! Inputs: the load's options. Outputs: success, or the kind of failure.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Connections, LoadOptions};
use crate::instance::header;

/// Larger answers count as not HTTP.
const MAX_ANSWER: usize = 1 << 20;

/// Why a request has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Refused,
    Reset,
    ClientError,
    ServerError,
    TimedOut,
    Overload,
}

pub(super) struct Client {
    target: SocketAddr,
    request: Vec<u8>,
    timeout: Duration,
    keep: bool,
    /// Never longer than there are requests at once.
    idle: Mutex<Vec<TcpStream>>,
}

struct Answer {
    status: u16,
    reusable: bool,
}

impl Client {
    pub(super) fn new(options: &LoadOptions, path: &str) -> Self {
        let keep = options.connections == Connections::KeepAlive;
        let connection = if keep { "keep-alive" } else { "close" };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: weir-load\r\nConnection: {connection}\r\n\r\n",
            path, options.host
        );
        let (request, timeout) = (request.into_bytes(), options.timeout);
        Self { target: options.target, request, timeout, keep, idle: Mutex::default() }
    }

    pub(super) async fn request(&self) -> Result<(), Failure> {
        timeout(self.timeout, self.try_request()).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn try_request(&self) -> Result<(), Failure> {
        // A kept connection may have been closed in the meantime: that is no failure, a fresh one is tried.
        while let Some(stream) = self.take_idle() {
            if let Some(outcome) = self.exchange(stream).await? {
                return outcome;
            }
        }
        let stream = TcpStream::connect(self.target).await.map_err(|_| Failure::Refused)?;
        let _ = stream.set_nodelay(true);
        self.exchange(stream).await?.unwrap_or(Err(Failure::Reset))
    }

    fn take_idle(&self) -> Option<TcpStream> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Sends and reads; `None` when the connection ended before the first byte of an answer.
    async fn exchange(&self, mut stream: TcpStream) -> Result<Option<Result<(), Failure>>, Failure> {
        let mut buffer = Vec::with_capacity(512);
        let answer = match self.converse(&mut stream, &mut buffer).await {
            Ok(answer) => answer,
            Err(_) if buffer.is_empty() => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Failure::ClientError),
            Err(_) => return Err(Failure::Reset),
        };
        if self.keep && answer.reusable {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
        Ok(Some(match answer.status {
            ..400 => Ok(()),
            400..500 => Err(Failure::ClientError),
            _ => Err(Failure::ServerError),
        }))
    }

    async fn converse(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Answer> {
        stream.write_all(&self.request).await?;
        let head_end = read_head(stream, buffer).await?;
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let length = header(&head, "Content-Length").and_then(|length| length.parse::<usize>().ok());
        let closes = header(&head, "Connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        match length {
            Some(length) => {
                while buffer.len() < head_end + length {
                    fill(stream, buffer).await?;
                }
            }
            None => while fill(stream, buffer).await.is_ok() {},
        }
        Ok(Answer { status, reusable: length.is_some() && !closes })
    }
}

/// Reads some more, or fails at the end of the stream.
async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    if buffer.len() > MAX_ANSWER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if stream.read_buf(buffer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(end + 4);
        }
        fill(stream, buffer).await?;
    }
}
