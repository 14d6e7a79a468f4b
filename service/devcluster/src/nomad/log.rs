//! The log of every write to the Nomad API, which tests and the demo read.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;

/// A longer history than any test or demo makes; older writes are forgotten.
const KEPT: usize = 10_000;

/// One write, as it came in and as it was answered.
#[derive(Debug, Clone)]
pub struct NomadWrite {
    /// When it was answered.
    pub at: SystemTime,
    /// The header `User-Agent`, empty where there was none.
    pub agent: String,
    /// The client's address.
    pub remote: SocketAddr,
    /// `PUT`, `POST` or `DELETE`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The body as JSON; `null` where it was none.
    pub body: Value,
    /// The status code of the answer.
    pub status: u16,
    /// The answer: JSON, or Nomad's plain text.
    pub answer: String,
}

impl NomadWrite {
    /// The group and count of a scaling request that was accepted and changed a count; `None` for every other write.
    pub fn scaled_to(&self) -> Option<(&str, i64)> {
        let path = self.path.split('?').next().unwrap_or_default();
        let accepted = self.status == 200 && path.ends_with("/scale");
        let scaled = Some((self.body["Target"]["Group"].as_str()?, self.body["Count"].as_i64()?));
        scaled.filter(|_| accepted)
    }
}

#[derive(Debug, Default)]
pub(crate) struct WriteLog(Mutex<VecDeque<NomadWrite>>);

impl WriteLog {
    pub(crate) fn add(&self, write: NomadWrite) {
        let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writes.len() == KEPT {
            writes.pop_front();
        }
        writes.push_back(write);
    }

    pub(crate) fn all(&self) -> Vec<NomadWrite> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
