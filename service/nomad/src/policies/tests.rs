//! Against a scripted server: what it answers, in order, and what it was asked.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::*;
use crate::model::ScaleRequest;
use crate::options::Options;

/// Answers to the list, by turn; after the last it blocks. Policies are answered from `policies`.
#[derive(Default)]
struct Script {
    lists: VecDeque<Answer>,
    policies: BTreeMap<String, u64>,
    asked: Vec<String>,
}

enum Answer {
    List {
        index: &'static str,
        known_leader: bool,
        versions: Vec<(&'static str, u64)>,
    },
    Text(u16, &'static str),
    /// Breaks off in the middle of the body.
    Broken,
    Hang,
}

type Shared = Arc<Mutex<Script>>;

fn list(index: &'static str, versions: &[(&'static str, u64)]) -> Answer {
    Answer::List { index, known_leader: true, versions: versions.to_vec() }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::List { index, known_leader, versions } => {
                let stubs: Vec<_> = versions.iter().map(|(id, version)| policy_json(id, *version)).collect();
                let headers =
                    [("x-nomad-index", index.to_owned()), ("x-nomad-knownleader", known_leader.to_string())];
                (headers, axum::Json(stubs)).into_response()
            }
            Self::Text(status, text) => {
                (axum::http::StatusCode::from_u16(status).unwrap(), text).into_response()
            }
            Self::Broken => ([("content-length", "1000")], "[{").into_response(),
            Self::Hang => unreachable!("hangs before it is written"),
        }
    }
}

fn policy_json(id: &str, version: u64) -> serde_json::Value {
    serde_json::json!({"ID": id, "Enabled": id != "off", "Type": "horizontal", "Min": 1, "Max": 20,
        "Target": {"Namespace": "default", "Job": id, "Group": "app"},
        "Policy": {"cooldown": "5m"}, "CreateIndex": 1, "ModifyIndex": version})
}

async fn answer(State(script): State<Shared>, request: Request) -> Response {
    let next = {
        let mut script = script.lock().unwrap();
        script.asked.push(request.uri().to_string());
        if request.uri().path() == LEADER && !matches!(script.lists.front(), Some(Answer::Hang)) {
            return axum::Json("10.0.0.1:4647").into_response();
        }
        if let Some(id) = request.uri().path().strip_prefix("/v1/scaling/policy/") {
            return match script.policies.get(id) {
                Some(version) => axum::Json(policy_json(id, *version)).into_response(),
                None => Answer::Text(404, "policy not found").into_response(),
            };
        }
        script.lists.pop_front().unwrap_or(Answer::Hang)
    };
    match next {
        Answer::Hang => std::future::pending().await,
        answer => answer.into_response(),
    }
}

async fn serve(lists: Vec<Answer>, policies: &[(&str, u64)]) -> (Client, Shared) {
    let policies = policies.iter().map(|(id, version)| ((*id).to_owned(), *version)).collect();
    let script = Arc::new(Mutex::new(Script { lists: lists.into(), policies, asked: Vec::new() }));
    let app = Router::new().fallback(answer).with_state(script.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let options = Options { address, timeout: Duration::from_secs(5), ..Options::default() };
    (Client::new(options).unwrap(), script)
}

async fn until(
    receiver: &mut watch::Receiver<Arc<Policies>>,
    holds: impl FnMut(&Arc<Policies>) -> bool,
) -> Arc<Policies> {
    let reached = tokio::time::timeout(Duration::from_secs(20), receiver.wait_for(holds)).await;
    reached.expect("within the deadline").unwrap().clone()
}

fn asked(script: &Shared) -> Vec<String> {
    script.lock().unwrap().asked.clone()
}

/// Waits for the query that answers nothing any more, so that all before it is done.
async fn until_asked(script: &Shared, what: &str) {
    let seen = async {
        while asked(script).last().is_none_or(|last| last != what) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen)
        .await
        .unwrap_or_else(|_| panic!("{:?}", asked(script)));
}

const LEADER: &str = "/v1/status/leader";
const FULL: &str = "/v1/scaling/policies?namespace=default";

#[tokio::test]
async fn a_policy_is_read_when_its_version_moves() {
    let lists = vec![
        list("7", &[("web", 5), ("off", 6)]),
        list("9", &[("web", 5), ("off", 6)]),
        list("12", &[("web", 12), ("gone", 12)]),
    ];
    let (client, script) = serve(lists, &[("web", 5), ("off", 6)]).await;
    let cancel = CancellationToken::new();
    let mut receiver = spawn(client, cancel.clone());
    let first = until(&mut receiver, |now| now.reach == Reach::Ok).await;
    assert_eq!(first.policies.len(), 2);
    assert!(first.policies["web"].enabled && !first.policies["off"].enabled);
    until(&mut receiver, |now| now.policies.len() == 1).await;
    let query = |index: u64| format!("/v1/scaling/policies?index={index}&namespace=default&wait=60000ms");
    until_asked(&script, &query(12)).await;
    let asked = asked(&script);
    let lists: Vec<&String> = asked.iter().filter(|uri| uri.contains("policies")).collect();
    assert_eq!(lists, [FULL, &query(7), &query(9), &query(12)]);
    let reads = |id: &str| asked.iter().filter(|uri| uri.contains(&format!("/policy/{id}?"))).count();
    assert_eq!((reads("web"), reads("off"), reads("gone")), (2, 1, 1));
    cancel.cancel();
    assert!(receiver.changed().await.is_err(), "the follower ends");
}

#[tokio::test]
async fn an_index_that_goes_back_starts_over_with_everything() {
    for index in ["6", "0", "nonsense"] {
        // A Nomad that was restarted empty and filled again may have other policies under the same versions.
        let lists = vec![list("7", &[("web", 5)]), list(index, &[]), list("8", &[("web", 5)])];
        let (client, script) = serve(lists, &[("web", 5)]).await;
        let cancel = CancellationToken::new();
        let _receiver = spawn(client, cancel.clone());
        until_asked(&script, "/v1/scaling/policies?index=8&namespace=default&wait=60000ms").await;
        let asked = asked(&script);
        assert_eq!(asked.iter().filter(|uri| *uri == FULL).count(), 2, "{asked:?}");
        assert_eq!(asked.iter().filter(|uri| uri.contains("/policy/web")).count(), 2, "{asked:?}");
        cancel.cancel();
    }
}

#[tokio::test]
async fn failures_keep_the_last_good_and_are_retried() {
    let leaderless = Answer::List { index: "9", known_leader: false, versions: vec![] };
    let lists = vec![
        list("7", &[("web", 5)]),
        Answer::Broken,
        Answer::Text(500, "No cluster leader"),
        leaderless,
        Answer::Text(403, "Permission denied"),
        list("7", &[("web", 5)]),
    ];
    let (client, _script) = serve(lists, &[("web", 5)]).await;
    let cancel = CancellationToken::new();
    let mut receiver = spawn(client, cancel.clone());
    until(&mut receiver, |now| now.reach == Reach::Ok).await;
    let down = |now: &Arc<Policies>| matches!(now.reach, Reach::Unreachable { .. });
    let lost = until(&mut receiver, down).await;
    assert_eq!(lost.policies.len(), 1);
    let back = until(&mut receiver, |now| {
        assert_eq!(now.policies.len(), 1, "the last good policies stay");
        now.reach == Reach::Ok
    });
    assert_eq!(back.await.policies.len(), 1);
    cancel.cancel();
}

#[tokio::test]
async fn after_a_failure_the_leader_is_asked_for_first() {
    let lists = vec![Answer::Text(500, "No cluster leader"), list("7", &[])];
    let (client, script) = serve(lists, &[]).await;
    let _receiver = spawn(client, CancellationToken::new());
    let following = "/v1/scaling/policies?index=7&namespace=default&wait=60000ms";
    until_asked(&script, following).await;
    assert_eq!(asked(&script), [FULL, LEADER, FULL, following]);
}

#[tokio::test]
async fn a_nomad_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        // Accepts and closes, as Nomad does over its limit of connections.
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let client = Client::new(Options { address, ..Options::default() }).unwrap();
    let error = client.leader().await.unwrap_err();
    assert!(error.is_outage());
    assert!(error.to_string().contains("http_max_conns_per_client"), "{error}");
    let mut receiver = spawn(client, CancellationToken::new());
    let down = until(&mut receiver, |now| now.reach != Reach::Pending).await;
    assert!(
        matches!(&down.reach, Reach::Unreachable { error, .. } if error.starts_with("Nomad does not answer"))
    );
}

#[tokio::test]
async fn a_nomad_that_hangs_is_given_up() {
    let (client, _script) = serve(vec![Answer::Hang], &[]).await;
    let options = Options { timeout: Duration::from_millis(50), ..client.options().clone() };
    let error = Client::new(options).unwrap().leader().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_refused_scale_tells_its_situation() {
    let texts = vec![
        Answer::Text(400, "job scaling blocked due to active deployment"),
        Answer::Text(500, "Enforcing job modify index 53: job exists with conflicting job modify index: 54"),
        Answer::Text(400, "group count was greater than scaling policy maximum: 11 > 10"),
        Answer::Text(404, "job \"we/b\" not found"),
        Answer::Text(200, "<html>"),
        Answer::Text(302, ""),
    ];
    let (client, script) = serve(texts, &[]).await;
    let request = ScaleRequest {
        namespace: "prod".to_owned(),
        job: "we/b".to_owned(),
        group: "app".to_owned(),
        count: 11,
        message: "m".to_owned(),
        meta: serde_json::Map::new(),
        job_modify_index: 53,
    };
    assert!(matches!(client.scale(&request).await, Err(Error::DeploymentActive { .. })));
    assert!(matches!(
        client.scale(&request).await,
        Err(Error::IndexConflict { expected: 53, found: 54, .. })
    ));
    assert!(matches!(client.scale(&request).await, Err(Error::OutOfBounds { .. })));
    let missing = client.scale(&request).await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        "Nomad knows no job \"we/b\" in namespace \"prod\" group \"app\": job \"we/b\" not found"
    );
    assert!(matches!(client.scale(&request).await, Err(Error::NotUnderstood { .. })));
    assert!(matches!(client.scale(&request).await, Err(Error::Other { status: 302, .. })));
    assert!(asked(&script).iter().all(|uri| uri == "/v1/job/we%2Fb/scale?namespace=prod"));
}

#[tokio::test]
async fn a_scale_carries_its_fence_and_its_reason() {
    let app = Router::new().fallback(async |request: Request| {
        let headers = request.headers().clone();
        let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({"Target": {"Namespace": "default", "Job": "web", "Group": "app"}, "Count": 6,
            "Message": "up", "Meta": {"weir.work": 50.0}, "JobModifyIndex": 53, "Error": false});
        assert_eq!((body, headers["x-nomad-token"].as_bytes()), (expected, b"secret".as_slice()));
        axum::Json(serde_json::json!({"EvalID": "e", "JobModifyIndex": 59, "Index": 61, "KnownLeader": false}))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let file = std::env::temp_dir().join(format!("weir-nomad-token-{}", std::process::id()));
    std::fs::write(&file, "secret\n").unwrap();
    let token = crate::options::Token::File(file.clone());
    let client = Client::new(Options { address, token, ..Options::default() }).unwrap();
    let request = ScaleRequest {
        namespace: "default".to_owned(),
        job: "web".to_owned(),
        group: "app".to_owned(),
        count: 6,
        message: "up".to_owned(),
        meta: [("weir.work".to_owned(), serde_json::json!(50.0))].into_iter().collect(),
        job_modify_index: 53,
    };
    let outcome = client.scale(&request).await.unwrap();
    assert_eq!((outcome.eval_id.as_str(), outcome.job_modify_index), ("e", 59));
    std::fs::remove_file(&file).unwrap();
    let error = client.scale(&request).await.unwrap_err();
    assert!(matches!(&error, Error::NotSent { reason } if reason.contains("weir-nomad-token")), "{error:?}");
}

#[test]
fn indexes_are_followed_only_forwards() {
    assert_eq!(next_index(None, Some(7)), Some(7));
    assert_eq!(next_index(Some(7), Some(7)), Some(7));
    assert_eq!(next_index(Some(7), Some(6)), None);
    assert_eq!((next_index(Some(7), Some(0)), next_index(None, None)), (None, None));
}
