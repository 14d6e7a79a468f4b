//! What the allocations of a group use, by Nomad's clients.
//!
//! The statistics and their units are those of the Nomad Autoscaler's `nomad-apm`: `cpu` is percent of a
//! core, `memory` bytes, `cpu-allocated` and `memory-allocated` percent of what the tasks' `resources` give.
//! An allocation that cannot be asked makes the whole unknown: a mean over the others could be far off, and a
//! sum would be too low.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use weir_nomad::{Client, Error, Given};
use weir_scaling::{NomadMetric, Resource, Statistic};

use super::question::Usage;
use super::{Answer, Unanswered};
use crate::chain::chain;

/// What all requests of one question may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// Nomad's own limit of connections for a client is 100; others of this host count there too.
const AT_ONCE: usize = 8;

/// Asks for every running allocation of the group.
pub(super) async fn ask(client: &Client, asked: &Usage) -> Answer {
    match tokio::time::timeout(PATIENCE, read(client, asked)).await {
        Ok(answer) => answer,
        Err(_) => Err(Unanswered::Away(format!("Nomad did not answer within {PATIENCE:?}"))),
    }
}

async fn read(client: &Client, asked: &Usage) -> Answer {
    let Usage { namespace, job, group, metric } = asked;
    let given = if metric.allocated {
        client.given(namespace, job, group).await.map_err(|error| away(&error))?.unwrap_or_default()
    } else {
        Given::default()
    };
    let allocations = client.allocations(namespace, job).await.map_err(|error| away(&error))?;
    let running = allocations.into_iter().filter(|one| one.group == *group && one.client_status == "running");
    let usages = stream::iter(running.map(|one| one.id))
        .map(|id| async move {
            let usage = client.usage(namespace, &id).await.map_err(|error| away(&error))?;
            value(*metric, usage, given).ok_or_else(|| unmeasured(*metric, &id))
        })
        .buffer_unordered(AT_ONCE);
    let values: Vec<f64> = usages.try_collect().await?;
    statistic(metric.statistic, &values)
        .map(|value| vec![value])
        .ok_or_else(|| Unanswered::Nothing("no allocation of the group runs".to_owned()))
}

fn away(error: &Error) -> Unanswered {
    Unanswered::Away(chain(error))
}

fn unmeasured(metric: NomadMetric, id: &str) -> Unanswered {
    let what = match metric.resource {
        Resource::Cpu => "processor time",
        Resource::Memory => "memory",
    };
    let given = if metric.allocated { ", or the job does not say what it is given" } else { "" };
    Unanswered::Nothing(format!("its task driver does not measure the {what} of allocation {id}{given}"))
}

fn value(metric: NomadMetric, usage: weir_nomad::Usage, given: Given) -> Option<f64> {
    let percent = |used: Option<f64>, of: Option<f64>| Some(used? / of? * 100.0);
    match (metric.resource, metric.allocated) {
        (Resource::Cpu, false) => usage.cpu_percent,
        (Resource::Cpu, true) => percent(usage.cpu_mhz, given.cpu_mhz),
        (Resource::Memory, false) => usage.memory_bytes,
        (Resource::Memory, true) => percent(usage.memory_bytes, given.memory_bytes),
    }
}

/// What is made of many values; nothing of none.
fn statistic(statistic: Statistic, values: &[f64]) -> Option<f64> {
    let sum = || values.iter().sum::<f64>();
    match statistic {
        _ if values.is_empty() => None,
        Statistic::Avg => Some(sum() / values.len() as f64),
        Statistic::Sum => Some(sum()),
        Statistic::Max => values.iter().copied().reduce(f64::max),
        Statistic::Min => values.iter().copied().reduce(f64::min),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Path;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse as _, Json};
    use axum::routing::get;
    use serde_json::{Value, json};

    use super::*;

    /// A Nomad with these allocations of group `app`, and what each uses; one that uses nothing cannot be
    /// asked.
    async fn nomad(allocations: Vec<(&'static str, &'static str, Option<u64>)>) -> Client {
        let stub = |(id, status, _): &(&str, &str, Option<u64>)| json!({"ID": id, "Name": "web.app[0]", "TaskGroup": "app", "ClientStatus": status});
        let list: Value = allocations.iter().map(stub).collect();
        let stats = move |Path(id): Path<String>| async move {
            let usage = allocations.iter().find(|(one, ..)| *one == id).and_then(|(.., usage)| *usage);
            usage.map_or_else(
                || (StatusCode::INTERNAL_SERVER_ERROR, "Unknown node").into_response(),
                |bytes| Json(json!({"ResourceUsage": {"MemoryStats": {"RSS": bytes}}})).into_response(),
            )
        };
        let list = move || async move { Json(list).into_response() };
        let app = Router::new()
            .route("/v1/job/web/allocations", get(list))
            .route("/v1/client/allocation/{id}/stats", get(stats));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::new(weir_nomad::Options { address, ..weir_nomad::Options::default() }).unwrap()
    }

    fn memory(query: &str) -> Usage {
        let metric = NomadMetric::named(query).unwrap();
        Usage { namespace: "default".into(), job: "web".into(), group: "app".into(), metric }
    }

    #[tokio::test]
    async fn running_allocations_are_asked_and_one_that_fails_makes_all_unknown() {
        let two = vec![("a", "running", Some(10)), ("b", "running", Some(30)), ("c", "complete", None)];
        let client = nomad(two).await;
        assert_eq!(ask(&client, &memory("avg_memory")).await, Ok(vec![20.0]));
        assert_eq!(ask(&client, &memory("max_memory")).await, Ok(vec![30.0]));
        let cpu = ask(&client, &memory("avg_cpu")).await;
        assert!(matches!(&cpu, Err(Unanswered::Nothing(why)) if why.contains("does not measure")), "{cpu:?}");
        let client = nomad(vec![("a", "running", Some(10)), ("b", "running", None)]).await;
        let one = ask(&client, &memory("sum_memory")).await;
        assert!(matches!(&one, Err(Unanswered::Away(why)) if why.contains("allocation b")), "{one:?}");
        let none = ask(&nomad(vec![]).await, &memory("sum_memory")).await;
        assert!(matches!(&none, Err(Unanswered::Nothing(why)) if why.contains("no allocation")), "{none:?}");
    }

    #[test]
    fn statistics_of_none_are_none() {
        for (kind, wanted) in
            [(Statistic::Avg, 2.0), (Statistic::Sum, 6.0), (Statistic::Max, 3.0), (Statistic::Min, 1.0)]
        {
            assert_eq!(statistic(kind, &[3.0, 1.0, 2.0]), Some(wanted));
            assert_eq!(statistic(kind, &[]), None);
        }
    }

    #[test]
    fn units_are_those_of_the_nomad_autoscaler() {
        let usage =
            weir_nomad::Usage { cpu_percent: Some(40.0), cpu_mhz: Some(900.0), memory_bytes: Some(64.0) };
        let given = Given { cpu_mhz: Some(600.0), memory_bytes: Some(256.0) };
        let of = |query: &str, given| value(NomadMetric::named(query).unwrap(), usage, given);
        assert_eq!(of("avg_cpu", given), Some(40.0));
        assert_eq!(of("avg_cpu-allocated", given), Some(150.0));
        assert_eq!(of("avg_memory", given), Some(64.0));
        assert_eq!(of("avg_memory-allocated", given), Some(25.0));
        assert_eq!(of("avg_memory-allocated", Given::default()), None);
    }
}
