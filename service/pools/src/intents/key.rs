//! The keys of intents: `BACKEND/SERVER/OWNER` below `weir/CLUSTER/intents/`.
//!
//! Consul 1.21.5 and its siblings take only letters, digits and `,_./-?&=` in a key and refuse `..`; all versions
//! drop empty parts and parts that are `.`. So `:`, which most servers have in their names, is written `,`; `_` is
//! written `__`, and every other byte `_` and two hexadecimal digits. A point stays, but for the first of a part and
//! one after another. `10.0.0.1:8080` is `10.0.0.1,8080`; `scaler:web/app` is `scaler,web_2fapp`.

use std::fmt::Write as _;

/// Whose intent about which server. None of the names is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The backend's name.
    pub backend: String,
    /// The server's name in it.
    pub server: String,
    /// The owner.
    pub owner: String,
}

/// Where a cluster's intents lie, with a `/` at its end.
pub fn prefix(cluster: &str) -> String {
    format!("weir/{cluster}/intents/")
}

impl Place {
    /// The key below the prefix.
    pub fn key(&self) -> String {
        [&self.backend, &self.server, &self.owner].map(|name| encode(name)).join("/")
    }

    /// Reads a key below the prefix. The error says what is wrong with it.
    pub(super) fn read(key: &str) -> Result<Self, String> {
        let parts: Vec<&str> = key.split('/').collect();
        let [backend, server, owner] = parts[..] else {
            return Err("its key is not BACKEND/SERVER/OWNER".to_owned());
        };
        Ok(Self { backend: decode(backend)?, server: decode(server)?, owner: decode(owner)? })
    }
}

fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut before = b'.';
    for byte in name.bytes() {
        match byte {
            b':' => text.push(','),
            b'_' => text.push_str("__"),
            b'.' if before != b'.' => text.push('.'),
            b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => text.push(char::from(byte)),
            // Writing to a text does not fail.
            _ => drop(write!(text, "_{byte:02x}")),
        }
        before = byte;
    }
    text
}

fn decode(part: &str) -> Result<String, String> {
    let name = bytes(part).and_then(|bytes| String::from_utf8(bytes).ok());
    // What weir would write otherwise would be a second key for the same server.
    let name = name.filter(|name| !name.is_empty() && encode(name) == part);
    let name = name.ok_or_else(|| {
        format!("{part:?} is not written as weir does: `:` as `,`, `_` as `__`, other signs as `_` and two hexadecimal digits")
    })?;
    if name.chars().any(char::is_control) {
        return Err(format!("there is a control character in {part:?}"));
    }
    Ok(name)
}

fn bytes(part: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b',' => b':',
            b'_' => match rest.next()? {
                b'_' => b'_',
                high => digit(high)? << 4 | digit(rest.next()?)?,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}
