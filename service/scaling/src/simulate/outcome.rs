//! What came of a simulation.

/// One scaler on one setting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Requests that arrived.
    pub requests: u64,
    /// Those that waited more than half a second for a slot, or wait so long at the end.
    pub late: u64,
    /// The wait that 99 % of the requests did not exceed, in seconds.
    pub p99: f64,
    /// Instances, each from its placement to its end, in seconds.
    pub instance_seconds: f64,
    /// Changes of the count that Nomad carried out.
    pub actions: Vec<Step>,
    /// Seconds in which a change was asked for and refused because of a deployment.
    pub refused: u64,
    /// The highest count.
    pub peak: u64,
    /// The course, second by second.
    pub course: Vec<Second>,
}

impl Outcome {
    /// Late requests of all, in percent.
    pub fn late_percent(&self) -> f64 {
        self.late as f64 * 100.0 / (self.requests.max(1)) as f64
    }

    /// Instances in hours.
    pub fn instance_hours(&self) -> f64 {
        self.instance_seconds / 3600.0
    }
}

/// One change of the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// In which second.
    pub second: u64,
    /// The count before.
    pub from: u64,
    /// The count after.
    pub to: u64,
}

/// One second, at its end.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Second {
    /// Requests that arrived in it.
    pub arrived: u32,
    /// Requests at work.
    pub busy: u32,
    /// Requests that wait.
    pub queued: u32,
    /// The count that Nomad wants.
    pub count: u32,
    /// Instances that take requests.
    pub up: u32,
}
