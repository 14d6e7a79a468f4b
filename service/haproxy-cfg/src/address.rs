//! The address word of a server: which family, host and port HAProxy takes it for. In: any word. Out: an
//! [`Address`]; never fails, since what a host name stands for is only known where it is resolved.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// An address as it is written after a server's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The prefix before `@`, such as `ipv4` or `unix`; `None` where there is none.
    pub family: Option<String>,
    /// What is connected to.
    pub host: Host,
    /// On which port.
    pub port: Port,
}

/// The host part of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An IP address, with or without brackets.
    Ip(IpAddr),
    /// A name that HAProxy resolves when it starts, or through a `resolvers` section.
    Name(String),
    /// Nothing, or `*`: HAProxy then connects to the address that the client asked for.
    Transparent,
    /// A path, an abstract socket's name, a file descriptor or another thing that is not on the network.
    Local(String),
}

/// The port part of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// None is written: HAProxy uses the port that the client connected to.
    Absent,
    /// A fixed port; 0 stands for the client's as well.
    Number(u16),
    /// `+N` or `-N`: relative to the port that the client connected to.
    Offset(i32),
    /// Something that HAProxy refuses.
    Invalid(String),
}

/// Prefixes after which a host and a port follow.
const NETWORK: [&str; 13] = [
    "ip", "ipv4", "ipv6", "mptcp", "mptcp4", "mptcp6", "quic4", "quic6", "tcp", "tcp4", "tcp6", "udp4",
    "udp6",
];

impl Address {
    /// Reads an address word.
    pub fn parse(word: &str) -> Self {
        let (family, rest) = match word.split_once('@') {
            Some((family, rest)) => (Some(family), rest),
            None => (None, word),
        };
        let local = rest.starts_with('/') || family.is_some_and(|family| !NETWORK.contains(&family));
        let (host, port) = if local { (Host::Local(rest.to_owned()), Port::Absent) } else { split(rest) };
        Self { family: family.map(str::to_owned), host, port }
    }

    /// The socket address that a word is as it stands, such as `10.0.0.1:80`: the same that [`Self::parse`] finds, without
    /// taking the word apart. `None` of all others, whatever they are.
    pub fn plain(word: &str) -> Option<SocketAddr> {
        let address: SocketAddrV4 = word.parse().ok()?;
        (address.port() > 0).then_some(SocketAddr::V4(address))
    }

    /// The IP address, where it is a literal.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Name(_) | Host::Transparent | Host::Local(_) => None,
        }
    }

    /// The socket address, where both IP address and port are literal.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.port {
            Port::Number(port) if port > 0 => Some(SocketAddr::new(self.ip()?, port)),
            _ => None,
        }
    }
}

/// The port follows the last colon that no bracket follows; so `::1:80` is port 80 of `::1`.
fn split(text: &str) -> (Host, Port) {
    match text.rfind([':', ']']) {
        Some(at) if text.as_bytes()[at] == b':' => (host(&text[..at]), port(&text[at + 1..])),
        _ => (host(text), Port::Absent),
    }
}

fn host(text: &str) -> Host {
    let bracketed = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let ip = match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    match (ip, text) {
        (Some(ip), _) => Host::Ip(ip),
        (None, "" | "*") => Host::Transparent,
        (None, name) => Host::Name(name.to_owned()),
    }
}

fn port(text: &str) -> Port {
    let digits = text.trim_start_matches(['+', '-']);
    let number =
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u16>().ok() } else { None };
    match (number, text.len() - digits.len()) {
        _ if text.is_empty() => Port::Absent,
        (Some(number), 0) => Port::Number(number),
        (Some(number), 1) if text.starts_with('-') => Port::Offset(-i32::from(number)),
        (Some(number), 1) => Port::Offset(i32::from(number)),
        _ => Port::Invalid(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(word: &str) -> (Option<String>, Host, Port) {
        let Address { family, host, port } = Address::parse(word);
        (family, host, port)
    }

    #[test]
    fn addresses_are_read_as_haproxy_does() {
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        let name = |text: &str| Host::Name(text.into());
        let cases = [
            ("10.0.0.1:80", None, ip("10.0.0.1"), Port::Number(80)),
            ("[2001:db8::1]:80", None, ip("2001:db8::1"), Port::Number(80)),
            ("2001:db8::1:80", None, ip("2001:db8::1"), Port::Number(80)),
            ("[::1]", None, ip("::1"), Port::Absent),
            ("web.example:8080", None, name("web.example"), Port::Number(8080)),
            ("ipv6@::1:80", Some("ipv6"), ip("::1"), Port::Number(80)),
            (":80", None, Host::Transparent, Port::Number(80)),
            ("*:+80", None, Host::Transparent, Port::Offset(80)),
            ("10.0.0.1:-1", None, ip("10.0.0.1"), Port::Offset(-1)),
            ("10.0.0.1:65536", None, ip("10.0.0.1"), Port::Invalid("65536".into())),
            ("10.0.0.1:", None, ip("10.0.0.1"), Port::Absent),
            ("/run/web.sock", None, Host::Local("/run/web.sock".into()), Port::Absent),
            ("unix@web:1", Some("unix"), Host::Local("web:1".into()), Port::Absent),
            ("fd@3", Some("fd"), Host::Local("3".into()), Port::Absent),
        ];
        for (word, family, host, port) in cases {
            assert_eq!(read(word), (family.map(str::to_owned), host, port), "{word}");
        }
    }

    #[test]
    fn only_a_literal_with_a_real_port_is_a_socket_address() {
        assert_eq!(Address::parse("::1:80").socket_addr(), Some("[::1]:80".parse().unwrap()));
        for word in ["10.0.0.1", "10.0.0.1:0", "web:80", "10.0.0.1:+80", "unix@10.0.0.1:80"] {
            assert_eq!(Address::parse(word).socket_addr(), None, "{word}");
        }
    }

    #[test]
    fn what_is_plain_is_read_the_same() {
        assert_eq!(Address::plain("10.0.0.1:80"), Some("10.0.0.1:80".parse().unwrap()));
        assert_eq!(Address::plain("10.0.0.1:0"), None);
    }

    proptest! {
        #[test]
        fn plain_words_and_parts_agree(
            word in prop_oneof!["[0-2]{1,3}(\\.[0-2]{1,3}){3}:[0-9]{1,5}", "(ipv4@)?[0-9.:+@a-]{0,16}"]
        ) {
            let parsed = Address::parse(&word);
            let plain = Address::plain(&word);
            prop_assert!(plain.is_none() || (parsed.family.is_none() && parsed.socket_addr() == plain), "{}", word);
        }
    }
}
