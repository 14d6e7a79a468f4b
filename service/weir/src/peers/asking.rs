//! Asks every other weir of the cluster what its HAProxys do, after each look at the own one: a reading of all of them is
//! of one moment then, give or take what they are apart.
//!
//! In: who there is, by Consul; looks. Out: [`Peers`] on a watch channel: what each said last and when, or why it
//! does not. One that does not answer stays until its registration is gone too: until then its part of the
//! load is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_pools::Catalogue;

use super::answer::{Answer, Own};
use super::roll::{Entry, Roll, roll};
use crate::body;
use crate::chain::chain;
use crate::config::Token;

/// How often each is asked at least, and at most where answers take longer than [`LITTLE`].
const PERIOD: Duration = Duration::from_secs(1);
/// What a round of answers may take that is asked for after every look.
const LITTLE: Duration = Duration::from_millis(20);
/// What an answer may take: one round is over before the next begins.
const PATIENCE: Duration = Duration::from_millis(800);

/// The others, or why it is not known who they are.
pub(crate) type Peers = Result<Vec<Peer>, String>;

/// Another weir.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) entry: Entry,
    /// What it said last, and when it was asked: its ages count from there at the latest.
    pub(crate) said: Option<(Instant, Arc<Answer>)>,
    /// Why it did not answer last time.
    pub(crate) error: Option<String>,
}

/// What asking needs.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) client: reqwest::Client,
    pub(crate) scheme: &'static str,
    pub(crate) token: Token,
    pub(crate) cluster: String,
    pub(crate) own: Entry,
}

/// Who there is while nobody was asked.
pub(crate) fn nobody_yet() -> Peers {
    Err("it is not known yet which other load balancers there are".to_owned())
}

/// Asks until cancelled.
pub(crate) async fn run(
    asker: Asker,
    mut own: Own,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    peers: watch::Sender<Peers>,
    cancel: CancellationToken,
) {
    let mut known = BTreeMap::new();
    let mut rest = Duration::ZERO;
    while cancel.run_until_cancelled(due(&mut own, rest)).await.is_some() {
        let begin = Instant::now();
        let roll = roll(&catalogue.borrow(), &asker.cluster, &asker.own);
        if let Some(roll) = roll {
            meet(&mut known, &roll);
            asker.ask_all(&mut known).await;
            leave(&mut known, &roll);
            let now = known.values().cloned().chain(asker.doubts(roll)).collect();
            // What was said before is over.
            drop(peers.send_replace(Ok(now)));
        }
        let took = begin.elapsed();
        rest = if took > LITTLE { PERIOD.saturating_sub(took) } else { Duration::ZERO };
    }
}

/// Waits for the next look, for a period at most, and for `rest` in any case.
async fn due(own: &mut Own, rest: Duration) {
    tokio::time::sleep(rest).await;
    let _ = tokio::time::timeout(PERIOD, own.looked()).await;
}

/// Takes in who registered, and who did so anew.
fn meet(known: &mut BTreeMap<String, Peer>, roll: &Roll) {
    for (address, entry) in &roll.others {
        let new = || Peer { entry: entry.clone(), said: None, error: None };
        known.entry(address.clone()).or_insert_with(new).entry = entry.clone();
    }
}

/// Forgets those that are registered no more. One that still answers was only cut off from Consul, and stays.
fn leave(known: &mut BTreeMap<String, Peer>, roll: &Roll) {
    known.retain(|address, peer| roll.others.contains_key(address) || peer.error.is_none());
}

/// Another weir at our own address hides somebody's load.
fn double(entry: Entry) -> Peer {
    let error = format!(
        "another weir says that it is at our own address {}; give each its own `advertise` (if it was this one, with \
         another state_dir, it goes by itself within three minutes)",
        entry.address
    );
    Peer { entry, said: None, error: Some(error) }
}

impl Asker {
    /// Reasons for which there may be others that are not known.
    fn doubts(&self, roll: Roll) -> impl Iterator<Item = Peer> {
        let error = "Consul does not show this weir's own registration, so it may hide others: give its token \
                     `key_prefix \"weir/\"` and `session_prefix \"\"` with policy `write`";
        let hidden = Peer { entry: self.own.clone(), said: None, error: Some(error.to_owned()) };
        (!roll.shows_us).then_some(hidden).into_iter().chain(roll.double.map(double))
    }

    async fn ask_all(&self, known: &mut BTreeMap<String, Peer>) {
        join_all(known.values_mut().map(|peer| self.ask(peer))).await;
    }

    async fn ask(&self, peer: &mut Peer) {
        let asked = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, self.fetch(&peer.entry.address)).await;
        match answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}"))) {
            Ok(answer) => {
                peer.said = Some((asked, Arc::new(answer)));
                peer.error = None;
            }
            Err(error) => peer.error = Some(error),
        }
    }

    async fn fetch(&self, address: &str) -> Result<Answer, String> {
        let mut request = self.client.get(format!("{}://{address}/v1/samples", self.scheme));
        if let Some(secret) = self.token.secret().await? {
            request = request.bearer_auth(secret);
        }
        let response = request.send().await.map_err(|error| chain(&error.without_url()))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err("it refuses our token: give all load balancers the same one".to_owned());
            }
            status => return Err(format!("it answers {status}: is that a weir's `peer` address?")),
        }
        let body = body::read(response).await?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| format!("its answer cannot be read: is it the same version of weir? {error}"))?;
        let ours = answer.cluster == self.cluster;
        ours.then_some(answer).ok_or_else(|| "it belongs to another cluster: see `cluster`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(place: &str) -> Entry {
        Entry { node: "lb2".into(), address: "b:1".into(), place: place.into() }
    }

    fn registered(place: &str) -> Roll {
        Roll { others: BTreeMap::from([("b:1".to_owned(), entry(place))]), double: None, shows_us: true }
    }

    fn asker() -> Asker {
        // A client of reqwest needs one; only the second call could fail.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (client, cluster, own) = (reqwest::Client::new(), "default".to_owned(), entry("me"));
        Asker { client, scheme: "http", token: Token::None, cluster, own }
    }

    #[test]
    fn one_is_forgotten_when_it_is_neither_registered_nor_answers() {
        let mut known = BTreeMap::new();
        meet(&mut known, &registered("x"));
        known.get_mut("b:1").unwrap().error = Some("refused".into());
        leave(&mut known, &registered("x"));
        meet(&mut known, &registered("y"));
        assert_eq!(known["b:1"].entry.place, "y", "it came back");
        assert!(known["b:1"].error.is_some(), "nobody asked it since");
        known.get_mut("b:1").unwrap().error = None;
        leave(&mut known, &Roll::default());
        assert_eq!(known.len(), 1, "it answers although Consul lost it");
        known.get_mut("b:1").unwrap().error = Some("refused".into());
        leave(&mut known, &Roll::default());
        assert!(known.is_empty());
    }

    #[test]
    fn a_double_and_a_folder_that_hides_us_are_doubts() {
        let words = |roll| asker().doubts(roll).filter_map(|peer| peer.error).collect::<Vec<_>>();
        assert_eq!(words(registered("x")), Vec::<String>::new());
        let double = words(Roll { double: Some(entry("x")), ..registered("x") });
        assert!(double.len() == 1 && double[0].contains("at our own address b:1"), "{double:?}");
        let hidden = words(Roll::default());
        assert!(hidden.len() == 1 && hidden[0].contains("own registration"), "{hidden:?}");
    }
}
