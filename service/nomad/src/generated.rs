//! The client of Nomad's HTTP API, generated from `openapi.yaml` by `service/nomad/codegen`. Do not edit.
//!
//! To change it, change the document and run `cargo run --manifest-path service/nomad/codegen/Cargo.toml`.

#[allow(unused_imports)]
pub use progenitor_client::{ByteStream, ClientInfo, Error, ResponseValue};
#[allow(unused_imports)]
use progenitor_client::{encode_path, ClientHooks, OperationInfo, RequestBuilderExt};
/// Types used as operation parameters and responses.
#[allow(clippy::all)]
pub mod types {
    ///One allocation.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct Allocation {
        #[serde(rename = "ClientStatus", default)]
        pub client_status: ::std::string::String,
        ///Nanoseconds since the epoch.
        #[serde(rename = "CreateTime", default)]
        pub create_time: i64,
        #[serde(
            rename = "DeploymentStatus",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub deployment_status: ::std::option::Option<AllocationHealth>,
        #[serde(rename = "DesiredStatus", default)]
        pub desired_status: ::std::string::String,
        #[serde(
            rename = "DesiredTransition",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub desired_transition: ::std::option::Option<DesiredTransition>,
        #[serde(rename = "ID")]
        pub id: ::std::string::String,
        #[serde(rename = "JobID", default)]
        pub job_id: ::std::string::String,
        #[serde(rename = "Name")]
        pub name: ::std::string::String,
        #[serde(rename = "Namespace", default = "defaults::allocation_namespace")]
        pub namespace: ::std::string::String,
        #[serde(rename = "TaskGroup", default)]
        pub task_group: ::std::string::String,
    }
    ///What the deployment makes of an allocation.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct AllocationHealth {
        ///Whether it is a canary that was not promoted yet.
        #[serde(rename = "Canary", default)]
        pub canary: bool,
        #[serde(
            rename = "Healthy",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub healthy: ::std::option::Option<bool>,
    }
    ///What an allocation uses.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct AllocationStats {
        #[serde(
            rename = "ResourceUsage",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub resource_usage: ::std::option::Option<ResourceUsage>,
    }
    ///Processor time.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct CpuStats {
        ///Percent of one core.
        #[serde(
            rename = "Percent",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub percent: ::std::option::Option<f64>,
        ///MHz.
        #[serde(
            rename = "TotalTicks",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub total_ticks: ::std::option::Option<f64>,
    }
    ///One deployment.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct Deployment {
        #[serde(rename = "ID")]
        pub id: ::std::string::String,
        ///The `JobModifyIndex` of the job that it deploys.
        #[serde(rename = "JobSpecModifyIndex", default)]
        pub job_spec_modify_index: u64,
        #[serde(rename = "Status")]
        pub status: ::std::string::String,
        #[serde(rename = "StatusDescription", default)]
        pub status_description: ::std::string::String,
    }
    ///What the servers intend with an allocation.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct DesiredTransition {
        ///Whether its node is drained.
        #[serde(
            rename = "Migrate",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub migrate: ::std::option::Option<bool>,
    }
    ///A job. What is not named here is kept as it came, so that it can be written back.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct Job {
        #[serde(rename = "ID")]
        pub id: ::std::string::String,
        #[serde(rename = "JobModifyIndex")]
        pub job_modify_index: u64,
        #[serde(
            rename = "Namespace",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub namespace: ::std::option::Option<::std::string::String>,
        #[serde(rename = "Status", default)]
        pub status: ::std::string::String,
        #[serde(rename = "Stop", skip_serializing_if = "::std::option::Option::is_none")]
        pub stop: ::std::option::Option<bool>,
        #[serde(
            rename = "TaskGroups",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub task_groups: ::std::option::Option<::std::vec::Vec<TaskGroup>>,
        #[serde(rename = "Type", default = "defaults::job_type")]
        pub type_: ::std::string::String,
        #[serde(flatten)]
        pub extra: ::serde_json::Map<::std::string::String, ::serde_json::Value>,
    }
    ///The counts of a job's groups. Its `JobModifyIndex` is the job's *ModifyIndex* and fences nothing.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct JobScaleStatus {
        #[serde(rename = "JobID")]
        pub job_id: ::std::string::String,
        #[serde(rename = "JobStopped", default)]
        pub job_stopped: bool,
        #[serde(
            rename = "TaskGroups",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub task_groups: ::std::option::Option<
            ::std::collections::HashMap<::std::string::String, TaskGroupScaleStatus>,
        >,
    }
    ///Memory, in bytes.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct MemoryStats {
        ///Which of the numbers the task's driver measures; the others are 0.
        #[serde(
            rename = "Measured",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub measured: ::std::option::Option<::std::vec::Vec<::std::string::String>>,
        #[serde(rename = "RSS", skip_serializing_if = "::std::option::Option::is_none")]
        pub rss: ::std::option::Option<u64>,
        #[serde(
            rename = "Usage",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub usage: ::std::option::Option<u64>,
    }
    ///A job file.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct ParseBody {
        ///Whether defaults are filled in.
        #[serde(rename = "Canonicalize")]
        pub canonicalize: bool,
        #[serde(rename = "JobHCL")]
        pub job_hcl: ::std::string::String,
    }
    ///Why the first instance of a group finds no room, and how many more do not.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct PlacementFailure {
        #[serde(rename = "CoalescedFailures", default)]
        pub coalesced_failures: u64,
    }
    ///A job to be looked at.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct PlanBody {
        #[serde(rename = "Diff")]
        pub diff: bool,
        #[serde(rename = "Job")]
        pub job: Job,
    }
    ///What would follow.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct PlanReply {
        ///The groups of which not all instances find room.
        #[serde(
            rename = "FailedTGAllocs",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub failed_tg_allocs: ::std::option::Option<
            ::std::collections::HashMap<::std::string::String, PlacementFailure>,
        >,
    }
    ///A job to be put in force.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct RegisterBody {
        #[serde(rename = "EnforceIndex")]
        pub enforce_index: bool,
        #[serde(rename = "Job")]
        pub job: Job,
        ///The index that the job must still have.
        #[serde(rename = "JobModifyIndex")]
        pub job_modify_index: u64,
    }
    ///What all tasks of an allocation use together.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct ResourceUsage {
        #[serde(
            rename = "CpuStats",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub cpu_stats: ::std::option::Option<CpuStats>,
        #[serde(
            rename = "MemoryStats",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub memory_stats: ::std::option::Option<MemoryStats>,
    }
    ///What to scale to what, and why.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct ScaleBody {
        ///The wanted count; without it the request only makes an event.
        #[serde(
            rename = "Count",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub count: ::std::option::Option<i64>,
        ///Whether the event tells of a mistake; only without a count.
        #[serde(rename = "Error", default)]
        pub error: bool,
        ///The index that the job must still have; without it nothing is fenced.
        #[serde(
            rename = "JobModifyIndex",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub job_modify_index: ::std::option::Option<u64>,
        #[serde(rename = "Message")]
        pub message: ::std::string::String,
        #[serde(
            rename = "Meta",
            default,
            skip_serializing_if = "::serde_json::Map::is_empty"
        )]
        pub meta: ::serde_json::Map<::std::string::String, ::serde_json::Value>,
        #[serde(rename = "Target")]
        pub target: ::std::collections::HashMap<
            ::std::string::String,
            ::std::string::String,
        >,
    }
    ///What a scale brought about.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct ScaleReply {
        #[serde(rename = "EvalID", default)]
        pub eval_id: ::std::string::String,
        #[serde(rename = "JobModifyIndex", default)]
        pub job_modify_index: u64,
        #[serde(rename = "Warnings", default)]
        pub warnings: ::std::string::String,
    }
    ///One scale, or a note about one.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct ScalingEvent {
        #[serde(
            rename = "Count",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub count: ::std::option::Option<i64>,
        #[serde(rename = "Error", default)]
        pub error: bool,
        #[serde(rename = "Message", default)]
        pub message: ::std::string::String,
        #[serde(rename = "Meta", skip_serializing_if = "::std::option::Option::is_none")]
        pub meta: ::std::option::Option<
            ::serde_json::Map<::std::string::String, ::serde_json::Value>,
        >,
        #[serde(rename = "PreviousCount", default)]
        pub previous_count: i64,
        ///Nanoseconds since the epoch.
        #[serde(rename = "Time")]
        pub time: u64,
    }
    ///A policy with all it says.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct ScalingPolicy {
        #[serde(rename = "Enabled", default = "defaults::default_bool::<true>")]
        pub enabled: bool,
        #[serde(rename = "ID")]
        pub id: ::std::string::String,
        #[serde(rename = "Max", skip_serializing_if = "::std::option::Option::is_none")]
        pub max: ::std::option::Option<i64>,
        #[serde(rename = "Min", skip_serializing_if = "::std::option::Option::is_none")]
        pub min: ::std::option::Option<i64>,
        #[serde(rename = "ModifyIndex")]
        pub modify_index: u64,
        ///The `policy` block, which Nomad passes on as it is; null where there is none.
        #[serde(
            rename = "Policy",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub policy: ::std::option::Option<::serde_json::Value>,
        #[serde(
            rename = "Target",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub target: ::std::option::Option<Target>,
        #[serde(rename = "Type", default)]
        pub type_: ::std::string::String,
    }
    ///A policy as the list shows it.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct ScalingPolicyStub {
        #[serde(rename = "Enabled", default)]
        pub enabled: bool,
        #[serde(rename = "ID")]
        pub id: ::std::string::String,
        #[serde(rename = "ModifyIndex")]
        pub modify_index: u64,
        #[serde(
            rename = "Target",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub target: ::std::option::Option<Target>,
        #[serde(rename = "Type", default)]
        pub type_: ::std::string::String,
    }
    ///What a policy scales; Nomad fills in `Namespace`, `Job` and `Group`.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct Target {
        #[serde(
            rename = "Group",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub group: ::std::option::Option<::std::string::String>,
        #[serde(rename = "Job", skip_serializing_if = "::std::option::Option::is_none")]
        pub job: ::std::option::Option<::std::string::String>,
        #[serde(
            rename = "Namespace",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub namespace: ::std::option::Option<::std::string::String>,
    }
    ///One group of a job. What is not named here is kept as it came.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct TaskGroup {
        #[serde(
            rename = "Count",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub count: ::std::option::Option<i64>,
        #[serde(rename = "Name")]
        pub name: ::std::string::String,
        #[serde(
            rename = "Update",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub update: ::std::option::Option<Update>,
        #[serde(flatten)]
        pub extra: ::serde_json::Map<::std::string::String, ::serde_json::Value>,
    }
    ///The counts of one group and its last events, the newest first, 20 at most.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default)]
    pub struct TaskGroupScaleStatus {
        #[serde(rename = "Desired", default)]
        pub desired: i64,
        #[serde(
            rename = "Events",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub events: ::std::option::Option<::std::vec::Vec<ScalingEvent>>,
        #[serde(rename = "Placed", default)]
        pub placed: i64,
        #[serde(rename = "Running", default)]
        pub running: i64,
    }
    ///How a group is deployed. What is not named here is kept as it came.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
    pub struct Update {
        ///How many instances are replaced at once; 0 means no deployments at all.
        #[serde(
            rename = "MaxParallel",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub max_parallel: ::std::option::Option<i64>,
        ///How long an instance must be healthy, in nanoseconds.
        #[serde(
            rename = "MinHealthyTime",
            skip_serializing_if = "::std::option::Option::is_none"
        )]
        pub min_healthy_time: ::std::option::Option<i64>,
        #[serde(flatten)]
        pub extra: ::serde_json::Map<::std::string::String, ::serde_json::Value>,
    }
    /// Generation of default values for serde.
    pub mod defaults {
        pub(super) fn default_bool<const V: bool>() -> bool {
            V
        }
        pub(super) fn allocation_namespace() -> ::std::string::String {
            "default".to_string()
        }
        pub(super) fn job_type() -> ::std::string::String {
            "service".to_string()
        }
    }
    /// Error types.
    pub mod error {
        /// Error from a `TryFrom` or `FromStr` implementation.
        pub struct ConversionError(::std::borrow::Cow<'static, str>);
        impl ::std::error::Error for ConversionError {}
        impl ::std::fmt::Display for ConversionError {
            fn fmt(
                &self,
                f: &mut ::std::fmt::Formatter<'_>,
            ) -> Result<(), ::std::fmt::Error> {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }
        impl ::std::fmt::Debug for ConversionError {
            fn fmt(
                &self,
                f: &mut ::std::fmt::Formatter<'_>,
            ) -> Result<(), ::std::fmt::Error> {
                ::std::fmt::Debug::fmt(&self.0, f)
            }
        }
        impl From<&'static str> for ConversionError {
            fn from(value: &'static str) -> Self {
                Self(value.into())
            }
        }
        impl From<String> for ConversionError {
            fn from(value: String) -> Self {
                Self(value.into())
            }
        }
    }
}
#[derive(Clone, Debug)]
/**Client for Nomad

The operations of Nomad's HTTP API that scaling needs.

Version: v1*/
pub struct Client {
    pub(crate) baseurl: String,
    pub(crate) client: reqwest::Client,
    pub(crate) inner: crate::access::Access,
}
impl Client {
    /// Create a new client.
    ///
    /// `baseurl` is the base URL provided to the internal
    /// `reqwest::Client`, and should include a scheme and hostname,
    /// as well as port and a path stem if applicable.
    pub fn new(baseurl: &str, inner: crate::access::Access) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        let client = {
            let dur = ::std::time::Duration::from_secs(15u64);
            reqwest::ClientBuilder::new().connect_timeout(dur).timeout(dur)
        };
        #[cfg(target_arch = "wasm32")]
        let client = reqwest::ClientBuilder::new();
        Self::new_with_client(baseurl, client.build().unwrap(), inner)
    }
    /// Construct a new client with an existing `reqwest::Client`,
    /// allowing more control over its configuration.
    ///
    /// `baseurl` is the base URL provided to the internal
    /// `reqwest::Client`, and should include a scheme and hostname,
    /// as well as port and a path stem if applicable.
    pub fn new_with_client(
        baseurl: &str,
        client: reqwest::Client,
        inner: crate::access::Access,
    ) -> Self {
        Self {
            baseurl: baseurl.to_string(),
            client,
            inner,
        }
    }
}
impl ClientInfo<crate::access::Access> for Client {
    fn api_version() -> &'static str {
        "v1"
    }
    fn baseurl(&self) -> &str {
        self.baseurl.as_str()
    }
    fn client(&self) -> &reqwest::Client {
        &self.client
    }
    fn inner(&self) -> &crate::access::Access {
        &self.inner
    }
}
impl ClientHooks<crate::access::Access> for &Client {}
#[allow(clippy::all)]
impl Client {
    /**All scaling policies of a namespace, or of all with the namespace `*`. Blocks where `index` is given

Sends a `GET` request to `/v1/scaling/policies`

Arguments:
- `index`: Answer only once the index is higher than this.
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
- `wait`: How long to block at most, such as `60s`; Nomad adds up to a sixteenth.
*/
    pub async fn list_scaling_policies<'a>(
        &'a self,
        index: Option<u64>,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
        wait: Option<&'a str>,
    ) -> Result<
        ResponseValue<::std::option::Option<::std::vec::Vec<types::ScalingPolicyStub>>>,
        Error<ByteStream>,
    > {
        let url = format!("{}/v1/scaling/policies", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("index", &index))
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .query(&progenitor_client::QueryParam::new("wait", &wait))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "list_scaling_policies",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**One scaling policy with all it says

Sends a `GET` request to `/v1/scaling/policy/{policy_id}`

Arguments:
- `policy_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
*/
    pub async fn read_scaling_policy<'a>(
        &'a self,
        policy_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
    ) -> Result<ResponseValue<types::ScalingPolicy>, Error<ByteStream>> {
        let url = format!(
            "{}/v1/scaling/policy/{}", self.baseurl, encode_path(& policy_id
            .to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_scaling_policy",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Puts a job in force. With `EnforceIndex` only if it is still the one that was read. Supersedes a running deployment

Sends a `PUT` request to `/v1/jobs`

Arguments:
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
- `body`
*/
    pub async fn register_job<'a>(
        &'a self,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
        body: &'a types::RegisterBody,
    ) -> Result<ResponseValue<types::ScaleReply>, Error<ByteStream>> {
        let url = format!("{}/v1/jobs", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .put(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "register_job",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The job as it was submitted last, with `JobModifyIndex`, which fences a scale

Sends a `GET` request to `/v1/job/{job_id}`

Arguments:
- `job_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
*/
    pub async fn read_job<'a>(
        &'a self,
        job_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
    ) -> Result<ResponseValue<types::Job>, Error<ByteStream>> {
        let url = format!(
            "{}/v1/job/{}", self.baseurl, encode_path(& job_id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_job",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**How many instances each group wants and has, and its last scaling events. Blocks where `index` is given

Sends a `GET` request to `/v1/job/{job_id}/scale`

Arguments:
- `job_id`
- `index`: Answer only once the index is higher than this.
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
- `wait`: How long to block at most, such as `60s`; Nomad adds up to a sixteenth.
*/
    pub async fn read_job_scale<'a>(
        &'a self,
        job_id: &'a str,
        index: Option<u64>,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
        wait: Option<&'a str>,
    ) -> Result<ResponseValue<types::JobScaleStatus>, Error<ByteStream>> {
        let url = format!(
            "{}/v1/job/{}/scale", self.baseurl, encode_path(& job_id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("index", &index))
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .query(&progenitor_client::QueryParam::new("wait", &wait))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_job_scale",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Sets the count of one group. With `JobModifyIndex` only if the job is still the one that was read

Sends a `PUT` request to `/v1/job/{job_id}/scale`

Arguments:
- `job_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
- `body`
*/
    pub async fn scale_job<'a>(
        &'a self,
        job_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
        body: &'a types::ScaleBody,
    ) -> Result<ResponseValue<types::ScaleReply>, Error<ByteStream>> {
        let url = format!(
            "{}/v1/job/{}/scale", self.baseurl, encode_path(& job_id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .put(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "scale_job",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The job's allocations, also those that ended and are not collected yet

Sends a `GET` request to `/v1/job/{job_id}/allocations`

Arguments:
- `job_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
*/
    pub async fn list_job_allocations<'a>(
        &'a self,
        job_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
    ) -> Result<
        ResponseValue<::std::option::Option<::std::vec::Vec<types::Allocation>>>,
        Error<ByteStream>,
    > {
        let url = format!(
            "{}/v1/job/{}/allocations", self.baseurl, encode_path(& job_id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "list_job_allocations",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The job's newest deployment; null where there was none

Sends a `GET` request to `/v1/job/{job_id}/deployment`

Arguments:
- `job_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
*/
    pub async fn read_job_deployment<'a>(
        &'a self,
        job_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
    ) -> Result<
        ResponseValue<::std::option::Option<types::Deployment>>,
        Error<ByteStream>,
    > {
        let url = format!(
            "{}/v1/job/{}/deployment", self.baseurl, encode_path(& job_id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_job_deployment",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**What would follow if the job were registered; nothing is changed

Sends a `PUT` request to `/v1/job/{job_id}/plan`

Arguments:
- `job_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
- `body`
*/
    pub async fn plan_job<'a>(
        &'a self,
        job_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
        body: &'a types::PlanBody,
    ) -> Result<ResponseValue<types::PlanReply>, Error<ByteStream>> {
        let url = format!(
            "{}/v1/job/{}/plan", self.baseurl, encode_path(& job_id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .put(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "plan_job",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**One allocation

Sends a `GET` request to `/v1/allocation/{allocation_id}`

Arguments:
- `allocation_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
*/
    pub async fn read_allocation<'a>(
        &'a self,
        allocation_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
    ) -> Result<ResponseValue<types::Allocation>, Error<ByteStream>> {
        let url = format!(
            "{}/v1/allocation/{}", self.baseurl, encode_path(& allocation_id
            .to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_allocation",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**What an allocation uses now, by its node

Sends a `GET` request to `/v1/client/allocation/{allocation_id}/stats`

Arguments:
- `allocation_id`
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
*/
    pub async fn read_allocation_stats<'a>(
        &'a self,
        allocation_id: &'a str,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
    ) -> Result<ResponseValue<types::AllocationStats>, Error<ByteStream>> {
        let url = format!(
            "{}/v1/client/allocation/{}/stats", self.baseurl, encode_path(& allocation_id
            .to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_allocation_stats",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**A job file as Nomad understands it. Changes nothing

Sends a `POST` request to `/v1/jobs/parse`

Arguments:
- `namespace`: The namespace; `*` for all of them, in lists only.
- `region`: The region; by default that of the agent asked.
- `body`
*/
    pub async fn parse_job<'a>(
        &'a self,
        namespace: Option<&'a str>,
        region: Option<&'a str>,
        body: &'a types::ParseBody,
    ) -> Result<
        ResponseValue<::serde_json::Map<::std::string::String, ::serde_json::Value>>,
        Error<ByteStream>,
    > {
        let url = format!("{}/v1/jobs/parse", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .query(&progenitor_client::QueryParam::new("namespace", &namespace))
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "parse_job",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**What the agent that is asked says of itself

Sends a `GET` request to `/v1/agent/self`

Arguments:
- `region`: The region; by default that of the agent asked.
*/
    pub async fn read_agent<'a>(
        &'a self,
        region: Option<&'a str>,
    ) -> Result<
        ResponseValue<::serde_json::Map<::std::string::String, ::serde_json::Value>>,
        Error<ByteStream>,
    > {
        let url = format!("{}/v1/agent/self", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_agent",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The leader's address and port

Sends a `GET` request to `/v1/status/leader`

Arguments:
- `region`: The region; by default that of the agent asked.
*/
    pub async fn read_leader<'a>(
        &'a self,
        region: Option<&'a str>,
    ) -> Result<ResponseValue<::std::string::String>, Error<ByteStream>> {
        let url = format!("{}/v1/status/leader", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("region", &region))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_leader",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            500u16..=599u16 => Err(Error::ErrorResponse(ResponseValue::stream(response))),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
}
/// Items consumers will typically use such as the Client.
pub mod prelude {
    #[allow(unused_imports)]
    pub use super::Client;
}
