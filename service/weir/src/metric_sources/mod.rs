//! Sources other than HAProxy that a check may ask: Prometheus, and what Nomad knows of a group's
//! allocations.
//!
//! In: the policies' checks. Out: their values as the strategies take them, each with its age, or why there
//! is none. The scale loop keeps a [`Ledger`] of what is to be asked and was answered, and [`Sources`] asks.
//! What is missing, no number or too old is unknown, never zero.
//!
//! | module | its idea |
//! |---|---|
//! | `question` | what a check asks |
//! | `ledger` | when it is asked, and what of the answers still counts |
//! | `prometheus` | how Prometheus is asked, and what its answers mean |
//! | `nomad` | the same of Nomad |

mod ledger;
mod nomad;
mod prometheus;
mod question;

use std::time::SystemTime;

pub(crate) use ledger::Ledger;
pub(crate) use prometheus::Prometheus;
pub(crate) use question::Question;

/// The values that a source answered, oldest first, or why there are none.
pub(crate) type Answer = Result<Vec<f64>, Unanswered>;

/// Why a source has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// It says itself that there is none: what it said before is over.
    Nothing(String),
    /// It could not be asked: what it said before counts as long as it is fresh.
    Away(String),
}

/// Asks whatever is asked.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) prometheus: Option<Prometheus>,
    pub(crate) nomad: weir_nomad::Client,
}

impl Sources {
    /// The answer, within the time that the source has.
    pub(crate) async fn ask(&self, question: &Question) -> Answer {
        match (question, &self.prometheus) {
            (Question::Prometheus { query, window, offset }, Some(prometheus)) => {
                prometheus.ask(query, *window, *offset, SystemTime::now()).await
            }
            (Question::Prometheus { .. }, None) => {
                let reason = "no Prometheus is configured: add block `prometheus` to weir.hcl";
                Err(Unanswered::Nothing(reason.to_owned()))
            }
            (Question::Nomad(asked), _) => nomad::ask(&self.nomad, asked).await,
        }
    }
}
