//! The plainest exchanges with Consul and HAProxy: blocking, on a thread of their own, so that no runtime's timers and
//! wake-ups stand between a change and what is measured.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// An answer: the value of `X-Consul-Index` (0 without), and the body.
pub(crate) struct Answer {
    pub(crate) index: u64,
    pub(crate) body: Vec<u8>,
}

/// A connection to a port of 127.0.0.1.
pub(crate) fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request on a connection that is kept.
pub(crate) fn ask(stream: &mut BufReader<TcpStream>, request: &str, body: &str) -> Result<Answer> {
    let text =
        format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.get_mut().write_all(text.as_bytes())?;
    let (mut index, mut length) = (0, None);
    loop {
        let line = line(stream)?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name {
                "x-consul-index" => index = value.trim().parse().unwrap_or(0),
                "content-length" => length = value.trim().parse().ok(),
                _ => {}
            }
        }
    }
    let body = match length {
        Some(length) => exactly(stream, length)?,
        None => chunks(stream)?,
    };
    Ok(Answer { index, body })
}

fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(line.trim_end().to_owned())
}

fn exactly(stream: &mut impl BufRead, length: usize) -> Result<Vec<u8>> {
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(stream)?, 16).map_err(|_| ErrorKind::InvalidData)?;
        body.extend(exactly(stream, size)?);
        line(stream)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Whether the front answers with `name`, asked on a new connection.
pub(crate) fn is_answered_by(front: u16, name: &str) -> bool {
    let asked = connect(front).and_then(|stream| ask(&mut BufReader::new(stream), "GET /", ""));
    asked.is_ok_and(|answer| answer.body == name.as_bytes())
}

/// One command on a unix socket, and all that is answered.
pub(crate) fn command(socket: &Path, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
