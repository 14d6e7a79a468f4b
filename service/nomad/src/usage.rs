//! What an allocation uses, and what its group is given.
//!
//! A driver that does not measure something reports 0 for it: such a 0 is missing here. That of pot measures
//! memory as resident size only.

use serde_json::Value;

use crate::generated::types;

/// What an allocation uses now; what is not measured is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Percent of one core.
    pub cpu_percent: Option<f64>,
    /// MHz.
    pub cpu_mhz: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<f64>,
}

/// What each allocation of a group is given, by its tasks' `resources`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Given {
    /// MHz; missing where no task says (those with `cores`).
    pub cpu_mhz: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<f64>,
}

impl From<types::AllocationStats> for Usage {
    fn from(stats: types::AllocationStats) -> Self {
        let Some(usage) = stats.resource_usage else { return Self::default() };
        let memory = usage.memory_stats.and_then(|memory| {
            let bytes = [memory.usage, memory.rss].into_iter().flatten().find(|bytes| *bytes > 0)?;
            Some(bytes as f64)
        });
        Self {
            cpu_percent: usage.cpu_stats.as_ref().and_then(|cpu| cpu.percent),
            cpu_mhz: usage.cpu_stats.and_then(|cpu| cpu.total_ticks),
            memory_bytes: memory,
        }
    }
}

/// What a group of a job gives to each of its allocations; nothing where there is no such group.
pub(crate) fn given(job: &types::Job, group: &str) -> Option<Given> {
    const MEGABYTE: f64 = 1_048_576.0;
    let group = job.task_groups.iter().flatten().find(|one| one.name == group)?;
    let tasks = group.extra.get("Tasks").and_then(Value::as_array);
    let sum = |name: &str| {
        let of = |task: &Value| task["Resources"][name].as_f64();
        let sum: f64 = tasks.into_iter().flatten().filter_map(of).sum();
        (sum > 0.0).then_some(sum)
    };
    Some(Given { cpu_mhz: sum("CPU"), memory_bytes: sum("MemoryMB").map(|megabytes| megabytes * MEGABYTE) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usage(stats: Value) -> Usage {
        serde_json::from_value::<types::AllocationStats>(stats).unwrap().into()
    }

    #[test]
    fn what_is_not_measured_is_missing() {
        let all = json!({"ResourceUsage": {"CpuStats": {"Percent": 12.5, "TotalTicks": 300.0},
                         "MemoryStats": {"Usage": 2048, "RSS": 1024}}});
        let whole = Usage { cpu_percent: Some(12.5), cpu_mhz: Some(300.0), memory_bytes: Some(2048.0) };
        assert_eq!(usage(all), whole);
        let resident = json!({"ResourceUsage": {"MemoryStats": {"Usage": 0, "RSS": 1024}}});
        assert_eq!(usage(resident), Usage { memory_bytes: Some(1024.0), ..Usage::default() });
        assert_eq!(
            usage(json!({"ResourceUsage": {"MemoryStats": {"Usage": 0, "RSS": 0}}})),
            Usage::default()
        );
        assert_eq!(usage(json!({"ResourceUsage": null})), Usage::default());
    }

    #[test]
    fn what_is_given_is_the_sum_of_the_tasks() {
        let tasks =
            json!([{"Resources": {"CPU": 500, "MemoryMB": 256}}, {"Resources": {"CPU": 100, "MemoryMB": 1}}]);
        let job = json!({"ID": "web", "JobModifyIndex": 1, "TaskGroups": [{"Name": "app", "Tasks": tasks}]});
        let job = serde_json::from_value(job).unwrap();
        let app = Given { cpu_mhz: Some(600.0), memory_bytes: Some(257.0 * 1_048_576.0) };
        assert_eq!(given(&job, "app"), Some(app));
        assert_eq!(given(&job, "other"), None);
    }
}
