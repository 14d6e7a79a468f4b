//! Nomad's HTTP API: routes, blocking reads, and the log of writes.
//!
//! Inputs: requests. Outputs: Nomad's answers, headers and error texts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::job::Job;
use super::log::{NomadWrite, WriteLog};
use super::state::{self, Now, Refusal, ScaleRequest};
use super::view;
use crate::duration;
use crate::fault::Switches;
use crate::store::{Store, Wait};
use crate::wire::Peer;

type Params = HashMap<String, String>;

/// Nomad's `DefaultQueryTime` and `MaxBlockingRPCQueryTime`: both 300 s.
const MAX_WAIT: Duration = Duration::from_mins(5);
/// Larger than any job document.
const MAX_BODY: usize = 4 << 20;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store<state::State>>,
    pub(crate) faults: Arc<Switches>,
    pub(crate) log: Arc<WriteLog>,
}

/// The routes of the Nomad side.
pub(crate) fn router(api: Api) -> Router {
    let routes = Router::new()
        .route("/v1/jobs", get(jobs).put(register).post(register))
        .route("/v1/job/{id}", get(job).put(register).post(register).delete(deregister))
        .route("/v1/job/{id}/scale", get(scale_status).put(scale).post(scale))
        .route("/v1/job/{id}/plan", put(plan).post(plan))
        .route("/v1/job/{id}/allocations", get(job_allocations))
        .route("/v1/job/{id}/deployment", get(job_deployment))
        .route("/v1/job/{id}/deployments", get(job_deployments))
        .route("/v1/allocations", get(allocations))
        .route("/v1/allocation/{id}", get(allocation))
        .route("/v1/deployments", get(deployments))
        .route("/v1/deployment/{id}", get(deployment))
        .route("/v1/deployment/promote/{id}", put(promote).post(promote))
        .route("/v1/scaling/policies", get(policies))
        .route("/v1/scaling/policy/{id}", get(policy))
        .route("/v1/status/leader", get(|| async { Json("127.0.0.1:4647") }))
        .route("/v1/agent/self", get(|| async { Json(json!({"config": {"Version": {"Version": "2.0.4"}}})) }))
        .route("/v1/system/gc", put(|| async { StatusCode::OK }));
    routes.layer(from_fn_with_state(api.clone(), faulty_and_logged)).with_state(api)
}

/// Hangs where that fault is on; writes are logged with their outcome.
async fn faulty_and_logged(State(api): State<Api>, request: Request, next: Next) -> Response {
    api.faults.nomad_hang.until_off().await;
    let response = if request.method() == Method::GET {
        next.run(request).await
    } else {
        logged(&api, request, next).await
    };
    api.faults.nomad_hang.until_off().await;
    response
}

async fn logged(api: &Api, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Peer(remote) =
        parts.extensions.get().map_or(Peer(([0, 0, 0, 0], 0).into()), |ConnectInfo(peer)| *peer);
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let mut write = NomadWrite {
        at: SystemTime::now(),
        agent: agent.unwrap_or_default().to_owned(),
        remote,
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        status: 0,
        answer: String::new(),
    };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    (write.at, write.status) = (SystemTime::now(), parts.status.as_u16());
    write.answer = String::from_utf8_lossy(&body).into_owned();
    api.log.add(write);
    Response::from_parts(parts, Body::from(body))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, self.text).into_response()
    }
}

fn wait_of(params: &Params) -> Result<Option<Wait>, Refusal> {
    let refuse = |text: &str| Refusal::new(400, text);
    let number = params.get("index").map_or(Ok(0), |text| text.parse());
    let index = number.map_err(|_| refuse("Invalid index"))?;
    let limit =
        params.get("wait").map(|text| duration::parse(text).ok_or_else(|| refuse("Invalid wait time")));
    let limit = limit.transpose()?.filter(|limit| !limit.is_zero()).unwrap_or(MAX_WAIT).min(MAX_WAIT);
    let limit = limit + (limit / 16).mul_f64(fastrand::f64());
    Ok((index > 0).then_some(Wait { index, limit }))
}

impl Api {
    /// Answers a read, after a wait if the client asked for one; `missing` is the text of the 404.
    async fn read(
        &self,
        params: &Params,
        missing: &str,
        index: impl Fn(&state::State) -> u64,
        answer: impl Fn(&state::State) -> Option<Value>,
    ) -> Response {
        let wait = match wait_of(params) {
            Ok(wait) => wait,
            Err(refusal) => return refusal.into_response(),
        };
        let (index, found) = self.store.blocking(wait, |state| index(state).max(1), answer).await;
        let mut response = match found {
            Some(found) => Json(found).into_response(),
            None => Refusal::new(404, missing).into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static("x-nomad-index"), index.into());
        headers.insert(HeaderName::from_static("x-nomad-knownleader"), HeaderValue::from_static("true"));
        headers.insert(HeaderName::from_static("x-nomad-lastcontact"), HeaderValue::from_static("0"));
        response
    }
}

async fn jobs(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    let prefix = params.get("prefix").cloned().unwrap_or_default();
    let list = |state: &state::State| {
        let fits = |job: &&Job| job.id.starts_with(&prefix);
        Some(state.jobs.values().filter(fits).map(view::job_stub).collect())
    };
    api.read(&params, "", |state| state.index, list).await
}

async fn job(State(api): State<Api>, Path(id): Path<String>, Query(params): Query<Params>) -> Response {
    let index = |state: &state::State| state.jobs.get(&id).map_or(state.index, |job| job.modify_index);
    api.read(&params, "job not found", index, |state| state.jobs.get(&id).map(Job::show)).await
}

fn decode(body: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(400, error.to_string()))
}

async fn register(State(api): State<Api>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let body = decode(&body)?;
    if !body["Job"].is_object() {
        return Err(Refusal::new(400, "Job must be specified"));
    }
    let job = Job::read(&body["Job"]).map_err(|text| Refusal::new(400, text))?;
    let enforce = body["EnforceIndex"].as_bool().unwrap_or(false);
    let fence = enforce.then(|| body["JobModifyIndex"].as_u64().unwrap_or(0));
    let keep = body["PreserveCounts"].as_bool().unwrap_or(false);
    api.store.write(|state| state.register(job, fence, keep, Now::get())).map(Json)
}

async fn plan(State(api): State<Api>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let body = decode(&body)?;
    let job = Job::read(&body["Job"]).map_err(|text| Refusal::new(400, text))?;
    Ok(Json(api.store.read(|state| view::plan(state, &job))))
}

async fn promote(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    api.store.write(|state| state.promote(&id, Now::get())).map(Json)
}

async fn deregister(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Json<Value> {
    let purge = params.get("purge").is_some_and(|purge| purge == "true" || purge == "1");
    Json(api.store.write(|state| state.deregister(&id, purge, Now::get())))
}

async fn scale_status(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let show = |state: &state::State| state.jobs.get(&id).map(|job| view::scale_status(state, job));
    api.read(&params, "job not found", |state| view::scale_index(state, &id), show).await
}

async fn scale(State(api): State<Api>, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let request = scale_request(&decode(&body)?, &id)?;
    api.store.write(|state| state.scale(&id, &request, Now::get())).map(Json)
}

fn scale_request(body: &Value, id: &str) -> Result<ScaleRequest, Refusal> {
    let target = &body["Target"];
    if target["Job"].as_str().is_some_and(|job| job != id) {
        return Err(Refusal::new(400, "job ID in payload did not match URL"));
    }
    if target["Namespace"].as_str().is_some_and(|namespace| !namespace.is_empty() && namespace != "default") {
        return Err(Refusal::new(400, "namespace in payload did not match header"));
    }
    Ok(ScaleRequest {
        group: target["Group"].as_str().unwrap_or_default().to_owned(),
        count: body["Count"].as_i64(),
        message: body["Message"].as_str().unwrap_or_default().to_owned(),
        error: body["Error"].as_bool().unwrap_or(false),
        meta: body["Meta"].clone(),
        job_modify_index: body["JobModifyIndex"].as_u64().unwrap_or(0),
    })
}

fn allocs_index<'a>(allocs: impl Iterator<Item = &'a state::Alloc>) -> u64 {
    allocs.map(|alloc| alloc.modify_index).max().unwrap_or(1)
}

async fn job_allocations(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let list = |state: &state::State| Some(state.allocs_of(&id).map(|it| view::alloc(it, false)).collect());
    api.read(&params, "", |state| allocs_index(state.allocs_of(&id)), list).await
}

async fn allocations(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    let resources = params.get("resources").is_some_and(|resources| resources == "true");
    let list =
        |state: &state::State| Some(state.allocs.values().map(|it| view::alloc(it, resources)).collect());
    api.read(&params, "", |state| allocs_index(state.allocs.values()), list).await
}

async fn allocation(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let index = |state: &state::State| state.allocs.get(&id).map_or(state.index, |alloc| alloc.modify_index);
    let show = |state: &state::State| state.allocs.get(&id).map(|it| view::alloc(it, true));
    api.read(&params, "alloc not found", index, show).await
}

fn deployments_index<'a>(list: impl Iterator<Item = &'a state::Deployment>) -> u64 {
    list.map(|it| it.modify_index).max().unwrap_or(1)
}

async fn job_deployment(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let index = |state: &state::State| deployments_index(state.latest_deployment(&id).into_iter());
    let show = |state: &state::State| {
        Some(state.latest_deployment(&id).map_or(Value::Null, |it| view::deployment(state, it)))
    };
    api.read(&params, "", index, show).await
}

async fn job_deployments(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let of_job = |state: &state::State| -> Vec<state::Deployment> {
        state.deployments.values().filter(|it| it.job == id).cloned().collect()
    };
    let list =
        |state: &state::State| Some(of_job(state).iter().map(|it| view::deployment(state, it)).collect());
    api.read(&params, "", |state| deployments_index(of_job(state).iter()), list).await
}

async fn deployments(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    let list = |state: &state::State| {
        Some(state.deployments.values().map(|it| view::deployment(state, it)).collect())
    };
    api.read(&params, "", |state| deployments_index(state.deployments.values()), list).await
}

async fn deployment(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let index = |state: &state::State| deployments_index(state.deployments.get(&id).into_iter());
    let show = |state: &state::State| state.deployments.get(&id).map(|it| view::deployment(state, it));
    api.read(&params, "deployment not found", index, show).await
}

async fn policies(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    let job = params.get("job").cloned();
    let list = |state: &state::State| {
        let fits = |policy: &&state::Policy| job.as_ref().is_none_or(|job| policy.job == *job);
        Some(state.policies.iter().filter(fits).map(view::policy_stub).collect())
    };
    api.read(&params, "", |state| state.policies_index, list).await
}

async fn policy(State(api): State<Api>, Path(id): Path<String>, Query(params): Query<Params>) -> Response {
    let find = |state: &state::State| state.policies.iter().find(|policy| policy.id == id).cloned();
    let index = |state: &state::State| find(state).map_or(state.index, |policy| policy.modify_index);
    api.read(&params, "policy not found", index, |state| find(state).as_ref().map(view::policy)).await
}
