//! One request to Consul at a time.
//!
//! In: [`Options`], then what to read or write. Out: Consul's answer, decoded. Fails as [`Error`] says; nothing is
//! retried here. Every request has a time-out, and there are never more than `max_connections` of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use weir_pools::{Answer, Query};

use crate::cursor::Stamp;
use crate::gate::Gate;
use crate::options::Auth;
use crate::token::Token;
use crate::{Error, Options, Reach, decode, tls};

/// A connection that is not there after this long will not come.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// What a request may take beyond the time that the server holds it on purpose.
const SLACK: Duration = Duration::from_secs(5);
/// What a request that the server does not hold may take.
const PLAIN: Duration = Duration::from_secs(10);
/// The same for one that is small, and by which a Consul that is away, or back, is noticed.
const BRIEF: Duration = Duration::from_secs(3);
/// A connection that ends unanswered within this time was probably never let in.
const AT_ACCEPT: Duration = Duration::from_secs(1);

/// A client of one Consul agent. Cheap to clone: all clones share connections, counters and the gate.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    base: Url,
    address: String,
    token: Token,
    options: Options,
    connections: Semaphore,
    gate: Gate,
    attempts: AtomicU64,
    wakeups: AtomicU64,
    watches: AtomicUsize,
}

/// What to read: the path below `/v1`, parameters, and the index of a blocking query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    /// Segments of the path; each is escaped.
    pub(crate) path: Vec<String>,
    pub(crate) params: Vec<(&'static str, String)>,
    pub(crate) datacenter: Option<String>,
    /// Whether 404 is an answer, as it is for keys.
    pub(crate) may_be_missing: bool,
    /// 0: do not wait.
    pub(crate) index: u64,
    pub(crate) stale: bool,
    /// What the answer may take where Consul does not hold it.
    patience: Duration,
}

impl Read {
    pub(crate) fn new<'a>(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            path: path.into_iter().map(str::to_owned).collect(),
            params: Vec::new(),
            datacenter: None,
            may_be_missing: false,
            index: 0,
            stale: false,
            patience: PLAIN,
        }
    }

    /// Not waited for as long as others.
    fn brief(self) -> Self {
        Self { patience: BRIEF, ..self }
    }

    /// A key; what ends in `/` or is empty is a prefix.
    pub(crate) fn key(path: &str) -> Self {
        let path = path.trim_start_matches('/');
        Self { may_be_missing: true, ..Self::new(std::iter::once("kv").chain(path.split('/'))) }
    }

    pub(crate) fn param(mut self, name: &'static str, value: &str) -> Self {
        self.params.push((name, value.to_owned()));
        self
    }

    pub(crate) fn in_datacenter(mut self, datacenter: Option<&String>) -> Self {
        self.datacenter = datacenter.cloned();
        self
    }
}

/// An answer, undecoded.
#[derive(Debug)]
pub(crate) struct Reply {
    /// What was asked, for messages.
    pub(crate) what: String,
    /// Whether there is such a thing (not 404).
    pub(crate) found: bool,
    pub(crate) stamp: Stamp,
    pub(crate) body: Vec<u8>,
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The full path.
    pub key: String,
    /// The value; bytes that are not UTF-8 are replaced.
    pub value: String,
    /// What a write names that must not overwrite a later one ([`Client::kv_put_if`]).
    pub modify_index: u64,
}

/// A session to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// A name for people.
    pub name: String,
    /// How long it lives without being renewed; Consul takes 10 s at least.
    pub ttl: Duration,
    /// How long a key that it held stays locked after the session was lost (not after it was released).
    pub lock_delay: Duration,
    /// What becomes of the keys that it holds when it ends.
    pub keys: Keys,
}

/// What becomes of a session's keys when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// They stay and are free.
    Release,
    /// They are deleted.
    Delete,
}

impl Keys {
    fn behavior(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Delete => "delete",
        }
    }
}

impl Client {
    /// Makes a client; nothing is sent. Certificate files are read.
    pub fn new(options: Options) -> Result<Self, Error> {
        let base = base_url(&options)?;
        let http = tls::http_client(&options, &base)?;
        let address = base.host_str().map_or_else(String::new, |host| {
            base.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        });
        let base = tls::named(base, &options.tls)?;
        let shared = Shared {
            http,
            base,
            address,
            token: Token::new(options.token.clone()),
            connections: Semaphore::new(options.max_connections.max(2)),
            options,
            gate: Gate::default(),
            attempts: AtomicU64::new(0),
            wakeups: AtomicU64::new(0),
            watches: AtomicUsize::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What it was made from.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Requests sent so far, probes included.
    pub fn attempts(&self) -> u64 {
        self.shared.attempts.load(Ordering::Relaxed)
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    pub(crate) fn wakeups(&self) -> &AtomicU64 {
        &self.shared.wakeups
    }

    pub(crate) fn watches(&self) -> &AtomicUsize {
        &self.shared.watches
    }

    /// The answer to a query, now, from the leader.
    pub async fn answer(&self, query: &Query) -> Result<Answer, Error> {
        decode::answer(query, &self.get(&decode::read_of(query)).await?)
    }

    /// The leader's address; [`Error::NoLeader`] where there is none.
    pub async fn leader(&self) -> Result<String, Error> {
        let leader: String = decode::json(&self.get(&Read::new(["status", "leader"]).brief()).await?)?;
        if leader.is_empty() {
            return Err(Error::NoLeader { address: self.shared.address.clone() });
        }
        Ok(leader)
    }

    /// The leader's address, as a probe asks for it. What was found not to be Consul has to show that it is by more than
    /// that: Nomad would answer too.
    pub(crate) async fn probe(&self, reach: Reach) -> Result<String, Error> {
        if reach == Reach::NotConsul {
            self.get(&Read::new(["health", "service", "consul"]).brief()).await?;
        }
        self.leader().await
    }

    /// The bytes of a key; `None` where there is no such key.
    pub async fn kv_get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let reply = self.get(&Read::key(path).param("raw", "")).await?;
        Ok(reply.found.then_some(reply.body))
    }

    /// Writes a key.
    pub async fn kv_put(&self, path: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.put(&Read::key(path), value.into()).await.map(drop)
    }

    /// Writes a key where its `modify_index` is still this one; 0: where there is no such key. `false`: it was not.
    pub async fn kv_put_if(
        &self,
        path: &str,
        value: impl Into<Vec<u8>>,
        modify_index: u64,
    ) -> Result<bool, Error> {
        decode::json(&self.put(&cas(path, modify_index), value.into()).await?)
    }

    /// Everything below a prefix, in order of the keys. None is no error: Consul says the same to who may not read.
    pub async fn kv_list(&self, prefix: &str) -> Result<Vec<KvEntry>, Error> {
        decode::kv_entries(&self.get(&Read::key(prefix).param("recurse", "")).await?)
    }

    /// Deletes a key; that there is none is no error.
    pub async fn kv_delete(&self, path: &str) -> Result<(), Error> {
        self.send(Method::DELETE, &Read::key(path), Vec::new()).await.map(drop)
    }

    /// Deletes a key where its `modify_index` is still this one. `false`: it was not.
    pub async fn kv_delete_if(&self, path: &str, modify_index: u64) -> Result<bool, Error> {
        decode::json(&self.send(Method::DELETE, &cas(path, modify_index), Vec::new()).await?)
    }

    /// Takes the lock on a key for a session. `false`: somebody else has it, or its lock-delay runs.
    pub async fn kv_acquire(
        &self,
        path: &str,
        session: &str,
        value: impl Into<Vec<u8>>,
    ) -> Result<bool, Error> {
        decode::json(&self.put(&Read::key(path).param("acquire", session), value.into()).await?)
    }

    /// Lets go of the lock on a key. `false`: the session did not have it.
    pub async fn kv_release(
        &self,
        path: &str,
        session: &str,
        value: impl Into<Vec<u8>>,
    ) -> Result<bool, Error> {
        decode::json(&self.put(&Read::key(path).param("release", session), value.into()).await?)
    }

    /// Creates a session and returns its ID.
    ///
    /// It is bound to no health check: its TTL alone says whether its owner lives. With Consul's default, the
    /// agent's `serfHealth`, a short loss of gossip would cost the lock although the owner works, and no session
    /// could be created in the first seconds after a restart of the agent.
    pub async fn session_create(&self, session: &Session) -> Result<String, Error> {
        let body = serde_json::json!({
            "Name": session.name,
            "TTL": go_duration(session.ttl),
            "LockDelay": go_duration(session.lock_delay),
            "Behavior": session.keys.behavior(),
            "Checks": [],
            "NodeChecks": [],
        });
        let reply = self.put(&Read::new(["session", "create"]), body.to_string().into_bytes()).await?;
        decode::session_id(&reply)
    }

    /// Renews a session. `false`: there is no such session any more.
    pub async fn session_renew(&self, id: &str) -> Result<bool, Error> {
        let read = Read { may_be_missing: true, ..Read::new(["session", "renew", id]).brief() };
        Ok(self.put(&read, Vec::new()).await?.found)
    }

    /// Ends a session.
    pub async fn session_destroy(&self, id: &str) -> Result<(), Error> {
        self.put(&Read::new(["session", "destroy", id]), Vec::new()).await.map(drop)
    }

    /// Asks once, blocking where the read has an index.
    pub(crate) async fn get(&self, read: &Read) -> Result<Reply, Error> {
        self.send(Method::GET, read, Vec::new()).await
    }

    async fn put(&self, read: &Read, body: Vec<u8>) -> Result<Reply, Error> {
        self.send(Method::PUT, read, body).await
    }

    async fn send(&self, method: Method, read: &Read, body: Vec<u8>) -> Result<Reply, Error> {
        let what = format!("{method} /v1/{}", read.path.join("/"));
        let headers = self.headers().await?;
        // The semaphore is never closed; were it, sending without a permit would still be right.
        let _permit = self.shared.connections.acquire().await.ok();
        self.shared.attempts.fetch_add(1, Ordering::Relaxed);
        let sent = Instant::now();
        let request = self.shared.http.request(method, self.url(read)).headers(headers);
        let response = request
            .timeout(time_out(self.shared.options.wait, read))
            .body(body)
            .send()
            .await
            .map_err(|error| self.unanswered(error, sent.elapsed()))?;
        self.receive(response, read, what).await
    }

    async fn receive(&self, response: reqwest::Response, read: &Read, what: String) -> Result<Reply, Error> {
        let status = response.status();
        let known_leader = response.headers().get("x-consul-knownleader");
        let lacks_leader = known_leader.is_some_and(|known| known == "false");
        let stamp = stamp(response.headers());
        let foreign = is_foreign(&what, read, status, response.headers());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(source) => return Err(Error::BrokenOff { what, source: source.without_url() }),
        };
        if foreign {
            let answer = format!("it answered {what} with {} {:?}", status.as_u16(), excerpt(&body));
            return Err(Error::NotConsul { address: self.shared.address.clone(), answer });
        }
        let found = status != StatusCode::NOT_FOUND;
        if !status.is_success() && (found || !read.may_be_missing) {
            return Err(refusal(&self.shared.address, what, status, &body));
        }
        if lacks_leader {
            return Err(Error::NoLeader { address: self.shared.address.clone() });
        }
        Ok(Reply { what, found, stamp, body: body.into() })
    }

    async fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.shared.token.get().await?
            && let Some(value) = sensitive(token.reveal())
        {
            headers.insert("x-consul-token", value);
        }
        if let Some(value) = self.shared.options.auth.as_ref().and_then(basic) {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    fn url(&self, read: &Read) -> Url {
        let options = &self.shared.options;
        let mut url = self.shared.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(&read.path);
        }
        let mut query = url.query_pairs_mut();
        for (name, value) in &read.params {
            query.append_pair(name, value);
        }
        if let Some(datacenter) = read.datacenter.as_ref().or(options.datacenter.as_ref()) {
            query.append_pair("dc", datacenter);
        }
        if read.index > 0 {
            query.append_pair("index", &read.index.to_string());
            query.append_pair("wait", &go_duration(options.wait));
        }
        if read.stale {
            query.append_pair("stale", "");
        }
        drop(query);
        url
    }

    fn unanswered(&self, error: reqwest::Error, after: Duration) -> Error {
        let (address, source) = (self.shared.address.clone(), error.without_url());
        let tls = causes(&source).find_map(|cause| cause.downcast_ref::<rustls::Error>());
        if matches!(tls, Some(rustls::Error::InvalidMessage(_))) {
            Error::NoTls { address, source }
        } else if tls.is_some() {
            Error::Handshake { address, source }
        } else if source.is_timeout() && !source.is_connect() {
            Error::TimedOut { address, source }
        } else if source.is_connect() || after > AT_ACCEPT {
            Error::Unreachable { address, source }
        } else {
            Error::Closed { address, source }
        }
    }
}

/// A key, if nobody changed it since.
fn cas(path: &str, modify_index: u64) -> Read {
    Read::key(path).param("cas", &modify_index.to_string())
}

/// An error's causes, looking into I/O errors that wrap another.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        error
            .downcast_ref::<std::io::Error>()
            .and_then(|io| io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)))
            .or_else(|| error.source())
    })
}

/// Whether somebody else answered. Consul says by headers that it is Consul where it reads what changes, never answers
/// in HTML, and knows all that it is asked for here but for keys and sessions. What fails may be a proxy before it.
fn is_foreign(what: &str, read: &Read, status: StatusCode, headers: &HeaderMap) -> bool {
    let by_consul = headers.keys().any(|name| name.as_str().starts_with("x-consul-"));
    if by_consul || status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return false;
    }
    let begins =
        |name, with: &[u8]| headers.get(name).is_some_and(|value| value.as_bytes().starts_with(with));
    if status.is_redirection() {
        // Consul leads to another path at the most.
        return begins(LOCATION, b"http");
    }
    let html = begins(CONTENT_TYPE, b"text/html");
    let missing = status == StatusCode::NOT_FOUND;
    let indexed = what.starts_with("GET ") && read.path.first().is_none_or(|first| first != "status");
    html || (missing && !read.may_be_missing) || (indexed && (missing || status.is_success()))
}

fn refusal(address: &str, what: String, status: StatusCode, body: &[u8]) -> Error {
    let body = excerpt(body);
    let address = address.to_owned();
    match status {
        StatusCode::TOO_MANY_REQUESTS => Error::TooManyRequests { address, body },
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Error::Denied { what, body },
        _ if body.contains("HTTP request to an HTTPS server") => Error::TlsAlone { address },
        _ if body.contains("No cluster leader") => Error::NoLeader { address },
        // These say 500 to what the one request asks for, not to the state of Consul.
        _ if ["No path to datacenter", "invalid session"].iter().any(|words| body.contains(words)) => {
            Error::Rejected { what, status: status.as_u16(), body }
        }
        _ if body.contains("Permission denied") => Error::Denied { what, body },
        _ if status.is_server_error() => Error::Server { what, status: status.as_u16(), body },
        _ => Error::Rejected { what, status: status.as_u16(), body },
    }
}

/// The first line of a body, no longer than a message should be.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

fn stamp(headers: &HeaderMap) -> Stamp {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    Stamp {
        index: number("x-consul-index").unwrap_or(0),
        last_contact: Duration::from_millis(number("x-consul-lastcontact").unwrap_or(0)),
    }
}

/// Consul adds up to a sixteenth of the wait, so that blocking queries do not all end at once.
fn time_out(wait: Duration, read: &Read) -> Duration {
    if read.index > 0 { wait + wait / 16 + SLACK } else { read.patience }
}

fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn basic(auth: &Auth) -> Option<HeaderValue> {
    let password = auth.password.as_ref().map_or("", |password| password.reveal());
    let text = decode::to_base64(format!("{}:{password}", auth.user).as_bytes());
    sensitive(&format!("Basic {text}"))
}

fn base_url(options: &Options) -> Result<Url, Error> {
    let wrong = |why: &str| Error::Address { address: options.address.clone(), why: why.to_owned() };
    if options.address.starts_with("unix:") {
        return Err(wrong("unix sockets are not supported"));
    }
    let text = if options.address.contains("://") {
        options.address.clone()
    } else {
        format!("http{}://{}", if options.tls.enabled { "s" } else { "" }, options.address)
    };
    let url = Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it is not a host with a port"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn client(address: &str) -> Client {
        Client::new(Options { address: address.into(), ..Options::default() }).unwrap()
    }

    #[test]
    fn paths_and_parameters_are_escaped() {
        let client = client("http://proxy:81/consul/");
        let mut read = Read::new(["health", "service", "a/b ?#"]).in_datacenter(Some(&"dc 2".into()));
        (read.index, read.stale) = (7, true);
        assert_eq!(
            client.url(&read).as_str(),
            "http://proxy:81/consul/v1/health/service/a%2Fb%20%3F%23?dc=dc+2&index=7&wait=60000ms&stale="
        );
        let url = client.url(&Read::key("/a/b c/").param("recurse", ""));
        assert_eq!(url.as_str(), "http://proxy:81/consul/v1/kv/a/b%20c/?recurse=");
    }

    #[test]
    fn addresses_without_a_scheme_are_http_or_https() {
        assert_eq!(client("[::1]:8500").shared.base.as_str(), "http://[::1]:8500/");
        let tls = crate::Tls { enabled: true, ..crate::Tls::default() };
        let options = Options { address: "c:8501".into(), tls, ..Options::default() };
        assert_eq!(base_url(&options).unwrap().as_str(), "https://c:8501/");
    }

    #[test]
    fn other_addresses_are_refused_with_advice() {
        for address in ["unix:///run/consul.sock", "ftp://x", "", "http://"] {
            let error = Client::new(Options { address: address.into(), ..Options::default() });
            assert!(matches!(error, Err(Error::Address { .. })), "{address}: {error:?}");
        }
    }

    #[tokio::test]
    async fn who_answers_https_without_tls_is_said_not_to_speak_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plain = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
            // Closed with bytes unread it would be reset, and the answer lost.
            drop(stream.read(&mut [0; 4096]).await);
        });
        let error = client(&format!("https://{address}")).leader().await.unwrap_err();
        plain.await.unwrap();
        assert!(matches!(error, Error::NoTls { .. }), "{error:?}");
        assert_eq!(error.reach(), Some(Reach::Unreachable));
        let text = error.chain();
        let said = format!("what listens at {address} does not speak TLS");
        assert!(text.starts_with(&said) && text.contains(&format!("http://{address}")), "{text}");
    }

    #[test]
    fn who_does_not_answer_as_consul_does_is_somebody_else() {
        let foreign = |what: &str, status, headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (name.parse::<reqwest::header::HeaderName>().unwrap(), HeaderValue::from_static(value))
            });
            let (verb, path) = what.split_once(" /v1/").unwrap();
            let (path, key) = (path.split('/'), path.starts_with("kv/"));
            let read = Read { may_be_missing: key || what.contains("renew"), ..Read::new(path) };
            is_foreign(&format!("{verb} x"), &read, StatusCode::from_u16(status).unwrap(), &headers.collect())
        };
        let (indexed, html) = (("x-consul-index", "7"), ("content-type", "text/html;charset=utf-8"));
        for (what, status, headers) in [
            ("GET /v1/health/service/web", 404, &[][..]),
            ("GET /v1/health/service/web", 200, &[]),
            ("GET /v1/health/service/web", 200, &[html]),
            ("GET /v1/health/service/web", 403, &[html]),
            ("GET /v1/health/service/web", 302, &[("location", "https://a/v1")]),
            ("GET /v1/kv/a", 404, &[]),
            ("GET /v1/status/leader", 404, &[]),
            ("GET /v1/status/leader", 200, &[html]),
            ("PUT /v1/session/create", 404, &[]),
        ] {
            assert!(foreign(what, status, headers), "{what} {status} {headers:?}");
        }
        for (what, status, headers) in [
            ("GET /v1/health/service/web", 200, &[indexed][..]),
            ("GET /v1/health/service/web", 403, &[]),
            ("GET /v1/health/service/web", 503, &[html]),
            ("GET /v1/kv/a", 404, &[indexed]),
            ("GET /v1/kv/a", 200, &[indexed, html]),
            ("GET /v1/kv/a", 301, &[html, ("location", "/v1/kv/b")]),
            ("GET /v1/status/leader", 200, &[]),
            ("PUT /v1/session/renew/a", 404, &[]),
            ("PUT /v1/kv/a", 200, &[]),
        ] {
            assert!(!foreign(what, status, headers), "{what} {status} {headers:?}");
        }
    }

    #[test]
    fn an_https_port_that_is_asked_in_http_is_said_to_be_one() {
        let body = b"Client sent an HTTP request to an HTTPS server.\n";
        let error = refusal("c:8501", "GET x".into(), StatusCode::BAD_REQUEST, body);
        assert!(error.to_string().contains("write https://c:8501"), "{error}");
        assert_eq!(error.reach(), Some(Reach::Unreachable));
    }

    #[test]
    fn a_500_that_concerns_one_request_is_not_held_against_consul() {
        let error =
            |body: &str| refusal("c", "GET x".into(), StatusCode::INTERNAL_SERVER_ERROR, body.as_bytes());
        assert_eq!(error("No path to datacenter").reach(), None);
        assert_eq!(error("rpc error: Permission denied").reach(), None);
        assert_eq!(error("No cluster leader").reach(), Some(Reach::NoLeader));
        assert_eq!(error("boom").reach(), Some(Reach::Failing));
    }
}
