//! Whether Nomad is new enough: before 2.0.1 a scale could revert a deploy that ran beside it.

use std::time::Duration;

use weir_nomad::{Client, Error};

use crate::chain::chain;

/// The first version in which a scale takes the newest job (hashicorp/nomad 27832 and 27878).
const FENCED: (u64, u64, u64) = (2, 0, 1);
/// How long after Nomad did not answer it is asked again.
const AGAIN: Duration = Duration::from_secs(30);

/// Warns of an old Nomad, once it says what it is. A token that may not ask is no reason to worry anybody.
pub(crate) async fn warn_of_old(client: Client) {
    loop {
        match client.version().await {
            Ok(version) => {
                return version.iter().filter_map(|version| warning(version)).for_each(|words| {
                    tracing::warn!("{words}");
                });
            }
            Err(error @ Error::Denied { .. }) => {
                return tracing::debug!("Nomad's version: {}", chain(&error));
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// What to say of a version, where something is to be said.
fn warning(version: &str) -> Option<String> {
    let numbers = version.split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let old = (next(), next(), next()) < FENCED;
    old.then(|| {
        format!(
            "Nomad is {version}: before 2.0.1 a scale that meets a deploy can put the old version of the job back \
             in force; upgrade it, or deploy with the policy disabled"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_older_is_warned_of() {
        for old in ["1.9.3", "1.10.0+ent", "2.0.0", "2.0.0-rc.1", "0.12"] {
            assert!(warning(old).is_some_and(|words| words.contains(old)), "{old}");
        }
        for new in ["2.0.1", "2.0.6-dev", "2.1.0", "3.0.0"] {
            assert_eq!(warning(new), None);
        }
    }
}
