//! Options of a server line: a value may be an option's argument, of the kind that it takes, but never an option.
//! HAProxy itself is no safeguard: it reads `weight $HOME` as `weight 0`.

use std::time::Duration;

use haproxy_cfg::{Address, Word};

/// Options without an argument; those that begin with `no-`, `force-` or `send-proxy` besides. Any other word is
/// taken for an option with one, since newer versions of HAProxy know more of them.
const FLAGS: [&str; 18] = [
    "agent-check",
    "allow-0rtt",
    "backup",
    "check",
    "check-reuse-pool",
    "check-send-proxy",
    "check-ssl",
    "check-via-socks4",
    "disabled",
    "enabled",
    "non-stick",
    "renegotiate",
    "ssl",
    "ssl-reuse",
    "stick",
    "strict-maxconn",
    "tfo",
    "tls-tickets",
];

/// Options that take a whole number, with the least and the greatest.
const NUMBERS: [(&str, u64, u64); 15] = [
    ("agent-port", 1, 65535),
    ("error-limit", 1, MAX),
    ("fall", 1, MAX),
    ("id", 1, MAX),
    ("log-bufsize", 1, MAX),
    ("max-reuse", 0, MAX),
    ("maxconn", 0, MAX),
    ("maxqueue", 0, MAX),
    ("minconn", 0, MAX),
    ("pool-low-conn", 0, MAX),
    ("pool-max-conn", 0, MAX),
    ("port", 1, 65535),
    ("rise", 1, MAX),
    ("shard", 0, MAX),
    ("weight", 0, 256),
];

/// Options that take a duration.
const DURATIONS: [&str; 7] =
    ["agent-inter", "downinter", "fastinter", "inter", "pool-purge-delay", "slowstart", "tcp-ut"];

/// Options that take an address, or an address and a port.
const ADDRESSES: [&str; 4] = ["addr", "agent-addr", "socks4", "source"];

/// Options that name a file.
const FILES: [&str; 4] = ["ca-file", "ca-sign-file", "crl-file", "crt"];

/// The greatest C `int`, in which HAProxy keeps numbers, and durations in milliseconds.
const MAX: u64 = i32::MAX as u64;

/// Why `value`, printed as word `index` of a server's `options`, does not fit, and its place. `begins`: the word's
/// first character is a value's.
pub(super) fn misfit(options: &[Word], index: usize, value: &str, begins: bool) -> Option<(String, String)> {
    let Some(option) = option_of(options, index) else {
        return Some(("option of a server".into(), "a value must not switch an option on".into()));
    };
    let number = NUMBERS.iter().find(|(name, ..)| *name == option);
    let reason = if let Some((_, least, greatest)) = number {
        let fits = digits(value).is_some_and(|number| (*least..=*greatest).contains(&number));
        (!fits).then(|| format!("a whole number from {least} to {greatest} is wanted"))
    } else if DURATIONS.contains(&option) {
        (!is_duration(value))
            .then(|| "a duration such as `500ms` is wanted, above 0 and below 24 days".into())
    } else if ADDRESSES.contains(&option) {
        (!is_ip_address(value)).then(|| "an IP address is wanted".into())
    } else if FILES.contains(&option) && begins && value.starts_with('/') {
        Some("a value must not choose the directory of a file".into())
    } else {
        value.is_empty().then(|| "the value is empty".into())
    };
    reason.map(|reason| (format!("argument of `{option}`"), reason))
}

/// The option that word `index` is the argument of; `None` where it stands in an option's own place.
pub(crate) fn option_of(options: &[Word], index: usize) -> Option<&str> {
    let mut at = 0;
    while at < index {
        let option = options[at].value.as_str();
        let length = if is_flag(option) { 1 } else { 2 };
        if at + length > index {
            return Some(option);
        }
        at += length;
    }
    None
}

fn is_flag(option: &str) -> bool {
    FLAGS.contains(&option) || ["no-", "force-", "send-proxy"].iter().any(|start| option.starts_with(start))
}

fn is_ip_address(value: &str) -> bool {
    let address = Address::parse(value);
    address.family.is_none() && address.ip().is_some_and(|ip| !ip.to_canonical().is_unspecified())
}

fn digits(value: &str) -> Option<u64> {
    let short = value.len() <= 10 && value.bytes().all(|byte| byte.is_ascii_digit());
    if short { value.parse().ok() } else { None }
}

/// A duration that HAProxy takes for a server's option.
fn is_duration(value: &str) -> bool {
    let most = Duration::from_millis(MAX);
    duration(value).is_some_and(|duration| !duration.is_zero() && duration <= most)
}

/// A number with an optional unit; milliseconds without one.
pub(crate) fn duration(value: &str) -> Option<Duration> {
    let number = value.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let microseconds = match &value[number.len()..] {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    digits(number).and_then(|number| number.checked_mul(microseconds)).map(Duration::from_micros)
}
