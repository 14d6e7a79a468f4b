//! The writes beside a scale, against a server that tells what it was asked.

use std::sync::Mutex;

use axum::Router;
use axum::extract::Request;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::*;

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A Nomad whose job `web` has two instances at index 53, and that finds room for three.
async fn nomad() -> (Client, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let app = Router::new().fallback(async move |request: Request| {
        let what = format!("{} {}", request.method(), request.uri().path());
        let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
        log.lock().unwrap().push((what.clone(), serde_json::from_slice(&body).unwrap_or_default()));
        let groups =
            json!([{"Name": "app", "Count": 2, "Tasks": [{"Name": "t"}]}, {"Name": "side", "Count": 1}]);
        axum::Json(match what.as_str() {
            "GET /v1/job/web" => {
                json!({"ID": "web", "JobModifyIndex": 53, "Meta": {"a": "1"}, "TaskGroups": groups})
            }
            "PUT /v1/job/web/plan" => json!({"FailedTGAllocs": {"app": {"CoalescedFailures": 2}}}),
            _ => json!({"EvalID": "e", "JobModifyIndex": 59}),
        })
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Client::new(Options { address, ..Options::default() }).unwrap(), asked)
}

fn request(job_modify_index: u64) -> ScaleRequest {
    ScaleRequest {
        namespace: "default".to_owned(),
        job: "web".to_owned(),
        group: "app".to_owned(),
        count: 6,
        message: "up".to_owned(),
        meta: Map::new(),
        job_modify_index,
    }
}

#[tokio::test]
async fn a_job_is_registered_whole_with_the_new_count_and_fenced() {
    let (client, asked) = nomad().await;
    assert_eq!(client.supersede(&request(53)).await.unwrap().job_modify_index, 59);
    let (what, body) = asked.lock().unwrap().last().cloned().unwrap();
    assert_eq!(what, "PUT /v1/jobs");
    assert_eq!((&body["EnforceIndex"], &body["JobModifyIndex"]), (&json!(true), &json!(53)));
    let job = &body["Job"];
    assert_eq!((&job["Meta"]["a"], &job["TaskGroups"][0]["Tasks"][0]["Name"]), (&json!("1"), &json!("t")));
    assert_eq!((&job["TaskGroups"][0]["Count"], &job["TaskGroups"][1]["Count"]), (&json!(6), &json!(1)));
}

#[tokio::test]
async fn a_job_that_changed_since_the_decision_is_not_written_back() {
    let (client, asked) = nomad().await;
    let error = client.supersede(&request(50)).await.unwrap_err();
    assert!(matches!(error, Error::IndexConflict { expected: 50, found: 53, .. }), "{error:?}");
    assert!(asked.lock().unwrap().iter().all(|(what, _)| what.starts_with("GET ")));
}

#[tokio::test]
async fn what_finds_no_room_is_taken_off() {
    let (client, asked) = nomad().await;
    assert_eq!(client.placeable("default", "web", "app", 6).await.unwrap(), 3);
    assert_eq!(client.placeable("default", "web", "side", 2).await.unwrap(), 2);
    let (_, body) = asked.lock().unwrap()[1].clone();
    assert_eq!(body["Job"]["TaskGroups"][0]["Count"], 6);
}

#[tokio::test]
async fn a_notice_has_no_count() {
    let (client, asked) = nomad().await;
    let notice = Notice {
        namespace: "default".to_owned(),
        job: "web".to_owned(),
        group: "app".to_owned(),
        message: "mistakes".to_owned(),
        error: true,
    };
    client.notify(&notice).await.unwrap();
    let (what, body) = asked.lock().unwrap().last().cloned().unwrap();
    assert_eq!(what, "PUT /v1/job/web/scale");
    assert_eq!((body.get("Count"), body.get("JobModifyIndex"), &body["Error"]), (None, None, &json!(true)));
}
