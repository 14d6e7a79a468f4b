//! The operations on Nomad, one function each, with Nomad's errors made ours.
//!
//! Clones share one pool of connections. Every call is bounded by [`Options::timeout`].

use std::collections::BTreeMap;
use std::sync::Arc;

use progenitor_client::ResponseValue;
use serde_json::{Map, Value};
use weir_scaling::RawPolicy;

use crate::access::Access;
use crate::error::{Error, from_generated};
use crate::generated::{Client as Generated, types};
use crate::model::{Allocation, Deployment, Job, JobScale, Notice, ScaleEvent, ScaleOutcome, ScaleRequest};
use crate::options::{Options, OptionsError};
use crate::transport;
use crate::usage::{self, Given, Usage};

/// A connection to one Nomad agent.
#[derive(Debug, Clone)]
pub struct Client {
    api: Arc<Generated>,
    address: String,
    options: Arc<Options>,
}

/// One answer to the list of policies: which there are, at which index, and of which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) index: Option<u64>,
    /// For each policy's ID its namespace and modify index.
    pub(crate) policies: BTreeMap<String, (String, u64)>,
}

impl Client {
    /// A client for these options. Reads the certificates, connects to nothing.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        let (http, address) = transport::build(&options)?;
        let api = Generated::new_with_client(&address, http, Access::new(&options));
        Ok(Self { api: Arc::new(api), address, options: Arc::new(options) })
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The job, with the index that fences a scale.
    pub async fn job(&self, namespace: &str, job: &str) -> Result<Job, Error> {
        Ok(self.document(namespace, job).await?.into())
    }

    /// The job as it was submitted, whole.
    async fn document(&self, namespace: &str, job: &str) -> Result<types::Job, Error> {
        let answer = self.api.read_job(job, Some(namespace), self.region()).await;
        Ok(led(self.sorted(answer, || name_job(namespace, job)).await?)?.into_inner())
    }

    /// The counts and last scaling events of a job's groups.
    pub async fn job_scale(&self, namespace: &str, job: &str) -> Result<JobScale, Error> {
        let answer = self.api.read_job_scale(job, None, Some(namespace), self.region(), None).await;
        Ok(led(self.sorted(answer, || name_job(namespace, job)).await?)?.into_inner().into())
    }

    /// The last scaling events of one group, newest first; none where the job has no such group.
    pub async fn scale_events(
        &self,
        namespace: &str,
        job: &str,
        group: &str,
    ) -> Result<Vec<ScaleEvent>, Error> {
        let mut scale = self.job_scale(namespace, job).await?;
        Ok(scale.groups.remove(group).map(|group| group.events).unwrap_or_default())
    }

    /// The job's allocations, also those that ended and are not collected yet.
    pub async fn allocations(&self, namespace: &str, job: &str) -> Result<Vec<Allocation>, Error> {
        let answer = self.api.list_job_allocations(job, Some(namespace), self.region()).await;
        let found = led(self.sorted(answer, || name_job(namespace, job)).await?)?.into_inner();
        Ok(found.unwrap_or_default().into_iter().map(Into::into).collect())
    }

    /// One allocation: whose it is and how it does.
    pub async fn allocation(&self, id: &str) -> Result<Allocation, Error> {
        let answer = self.api.read_allocation(id, None, self.region()).await;
        Ok(self.sorted(answer, || format!("allocation {id}")).await?.into_inner().into())
    }

    /// What an allocation uses now. Its node is asked through the servers.
    pub async fn usage(&self, namespace: &str, allocation: &str) -> Result<Usage, Error> {
        let answer = self.api.read_allocation_stats(allocation, Some(namespace), self.region()).await;
        Ok(self.sorted(answer, || format!("usage of allocation {allocation}")).await?.into_inner().into())
    }

    /// What a group of the job gives to each of its allocations; nothing where it has no such group.
    pub async fn given(&self, namespace: &str, job: &str, group: &str) -> Result<Option<Given>, Error> {
        Ok(usage::given(&self.document(namespace, job).await?, group))
    }

    /// A job file as Nomad understands it, in its JSON. Nomad's words about it are the error's.
    pub async fn parse(&self, hcl: &str) -> Result<Map<String, Value>, Error> {
        let body = types::ParseBody { job_hcl: hcl.to_owned(), canonicalize: true };
        let answer = self.api.parse_job(None, self.region(), &body).await;
        Ok(self.sorted(answer, || "the job file".to_owned()).await?.into_inner())
    }

    /// The version of the agent that is asked, such as `2.0.4`; nothing where it does not say. The token needs
    /// `agent:read`.
    pub async fn version(&self) -> Result<Option<String>, Error> {
        let answer = self.api.read_agent(self.region()).await;
        let agent = self.sorted(answer, || "the agent".to_owned()).await?.into_inner();
        let at = |path: [&str; 3]| {
            let found = path[1..].iter().try_fold(agent.get(path[0])?, |value, name| value.get(name));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        Ok(at(["config", "Version", "Version"]).or_else(|| at(["member", "Tags", "build"])))
    }

    /// The job's newest deployment, where it has had one.
    pub async fn deployment(&self, namespace: &str, job: &str) -> Result<Option<Deployment>, Error> {
        let answer = self.api.read_job_deployment(job, Some(namespace), self.region()).await;
        Ok(self.sorted(answer, || name_job(namespace, job)).await?.into_inner().map(Into::into))
    }

    /// Sets a group's count, if the job is still the one that was read.
    pub async fn scale(&self, request: &ScaleRequest) -> Result<ScaleOutcome, Error> {
        let what = || format!("{} group {:?}", name_job(&request.namespace, &request.job), request.group);
        let answer =
            self.api.scale_job(&request.job, Some(&request.namespace), self.region(), &request.into()).await;
        Ok(self.sorted(answer, what).await?.into_inner().into())
    }

    /// The same by registering the job anew, which ends a deployment under way where [`Client::scale`] is
    /// refused. The token must be allowed to submit jobs. It leaves no scaling event.
    pub async fn supersede(&self, request: &ScaleRequest) -> Result<ScaleOutcome, Error> {
        let what = || format!("{} group {:?}", name_job(&request.namespace, &request.job), request.group);
        let mut job = self.document(&request.namespace, &request.job).await?;
        // What was changed since the decision is not what is written back.
        let (expected, found) = (request.job_modify_index, job.job_modify_index);
        if found != expected {
            return Err(Error::IndexConflict { what: what(), expected, found });
        }
        set_count(&mut job, &request.group, request.count);
        let body = types::RegisterBody { job, enforce_index: true, job_modify_index: expected };
        let answer = self.api.register_job(Some(&request.namespace), self.region(), &body).await;
        Ok(self.sorted(answer, what).await?.into_inner().into())
    }

    /// How many instances of a group the cluster would place if its count were this. The token must be
    /// allowed to submit jobs.
    pub async fn placeable(&self, namespace: &str, job: &str, group: &str, count: u64) -> Result<u64, Error> {
        let mut document = self.document(namespace, job).await?;
        set_count(&mut document, group, count);
        let body = types::PlanBody { job: document, diff: false };
        let answer = self.api.plan_job(job, Some(namespace), self.region(), &body).await;
        let reply = self.sorted(answer, || name_job(namespace, job)).await?.into_inner();
        let failures = reply.failed_tg_allocs.unwrap_or_default();
        let missing = failures.get(group).map_or(0, |failure| failure.coalesced_failures + 1);
        Ok(count.saturating_sub(missing))
    }

    /// Shows something on the job's page. Changes nothing, also while a deployment runs.
    pub async fn notify(&self, notice: &Notice) -> Result<(), Error> {
        let what = || name_job(&notice.namespace, &notice.job);
        let answer =
            self.api.scale_job(&notice.job, Some(&notice.namespace), self.region(), &notice.into()).await;
        self.sorted(answer, what).await.map(drop)
    }

    /// The address of the servers' leader: the cheapest sign that Nomad can be written to.
    pub async fn leader(&self) -> Result<String, Error> {
        let answer = self.api.read_leader(self.region()).await;
        let leader = self.sorted(answer, || "leader".to_owned()).await?.into_inner();
        if leader.is_empty() { Err(Error::NoLeader) } else { Ok(leader) }
    }

    /// The list of policies; with an index only once it has changed, or after the wait.
    pub(crate) async fn list_policies(&self, index: Option<u64>) -> Result<Listing, Error> {
        let wait = format!("{}ms", self.options.wait.as_millis());
        let wait = index.is_some().then_some(wait.as_str());
        let namespace = Some(self.options.namespace.as_str());
        let answer = self.api.list_scaling_policies(index, namespace, self.region(), wait).await;
        let answer = led(self.sorted(answer, || "scaling policies".to_owned()).await?)?;
        let index = header(&answer, "x-nomad-index").and_then(|text| text.parse().ok());
        let stubs = answer.into_inner().unwrap_or_default();
        Ok(Listing { index, policies: stubs.into_iter().map(version).collect() })
    }

    /// One policy with all it says.
    pub(crate) async fn policy(&self, namespace: &str, id: &str) -> Result<RawPolicy, Error> {
        let answer = self.api.read_scaling_policy(id, Some(namespace), self.region()).await;
        let policy = self.sorted(answer, || format!("scaling policy {id}")).await?.into_inner();
        Ok(raw(policy))
    }

    fn region(&self) -> Option<&str> {
        self.options.region.as_deref()
    }

    async fn sorted<T>(
        &self,
        answer: Result<ResponseValue<T>, progenitor_client::Error<progenitor_client::ByteStream>>,
        what: impl Fn() -> String,
    ) -> Result<ResponseValue<T>, Error> {
        match answer {
            Ok(value) => Ok(value),
            Err(error) => Err(from_generated(error, &self.address, what()).await),
        }
    }
}

fn set_count(job: &mut types::Job, group: &str, count: u64) {
    for one in job.task_groups.iter_mut().flatten().filter(|one| one.name == group) {
        one.count = Some(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn name_job(namespace: &str, job: &str) -> String {
    format!("job {job:?} in namespace {namespace:?}")
}

/// An answer of a server that knows no leader may be old, and is not used. (Nomad leaves the header out of
/// some answers, which says nothing.)
fn led<T>(answer: ResponseValue<T>) -> Result<ResponseValue<T>, Error> {
    if header(&answer, "x-nomad-knownleader") == Some("false") { Err(Error::NoLeader) } else { Ok(answer) }
}

fn header<'a, T>(answer: &'a ResponseValue<T>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn version(stub: types::ScalingPolicyStub) -> (String, (String, u64)) {
    let namespace = stub.target.and_then(|target| target.namespace).unwrap_or_else(|| "default".to_owned());
    (stub.id, (namespace, stub.modify_index))
}

fn raw(policy: types::ScalingPolicy) -> RawPolicy {
    let target = policy.target.unwrap_or_default();
    RawPolicy {
        id: policy.id,
        namespace: target.namespace.unwrap_or_else(|| "default".to_owned()),
        job: target.job.unwrap_or_default(),
        group: target.group.unwrap_or_default(),
        min: policy.min.and_then(|min| u64::try_from(min).ok()).unwrap_or(0),
        max: policy.max.and_then(|max| u64::try_from(max).ok()).unwrap_or(0),
        enabled: policy.enabled,
        modify_index: policy.modify_index,
        policy: policy.policy.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
