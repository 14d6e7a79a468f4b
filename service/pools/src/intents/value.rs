//! The values of intents: JSON that a person can read, and write, in Consul's UI.
//! `{"wish":"maint","reason":"kernel update","since":"2026-02-03T12:00:00Z","until":"2026-02-03T14:05:00Z"}`
//!
//! Only `wish` must be there. Fields that are not known are passed over: a newer weir may write more.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Intent, Wish};

/// A longer reason is cut: it stands in tables and log lines.
const LONGEST: usize = 200;

#[derive(Serialize, Deserialize)]
struct Value {
    wish: Wish,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl Intent {
    /// The value of its entry.
    pub fn value(&self) -> String {
        let value = Value {
            wish: self.wish,
            reason: plain(&self.reason),
            since: timestamp(self.since),
            until: self.until.map(timestamp),
        };
        serde_json::json!(value).to_string()
    }
}

/// Reads the value of an owner's entry. The error says what is wrong with it.
pub(super) fn read(text: &str, owner: &str) -> Result<Intent, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        format!("its value is not as {{\"wish\":\"maint\",\"until\":\"2026-02-03T14:05:00Z\"}}: {error}")
    })?;
    Ok(Intent {
        wish: value.wish,
        reason: plain(&value.reason),
        owner: owner.to_owned(),
        since: value.since.into(),
        until: value.until.map(SystemTime::from),
    })
}

/// One line of text without what could do something to a terminal.
fn plain(reason: &str) -> String {
    let seen = |c: char| if c.is_control() { ' ' } else { c };
    reason.chars().map(seen).take(LONGEST).collect()
}

/// Times that cannot be written become the last that can.
fn timestamp(time: SystemTime) -> Timestamp {
    let edge = if time < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(time).unwrap_or(edge)
}
