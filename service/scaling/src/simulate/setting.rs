//! What is simulated: the load, the instances, and how Nomad and HAProxy treat them.

/// One simulation, without the scaler.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Requests a second that are expected, second by second.
    pub rates: Vec<f64>,
    /// How long requests take.
    pub service: Service,
    /// The instances and their surroundings.
    pub cluster: Cluster,
    /// What arrivals, service times and checks are drawn from.
    pub seed: u64,
}

/// How long an instance works on a request, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// The mean, without the long ones.
    pub mean: f64,
    /// How it is spread.
    pub spread: Spread,
    /// Every so many requests, one takes so long.
    pub long: Option<(u64, f64)>,
}

/// How service times are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// All are alike.
    Fixed,
    /// Exponential, as in most queueing models; real ones are often between this and fixed.
    Exponential,
}

impl Service {
    /// The mean of all requests, in seconds.
    pub fn overall(&self) -> f64 {
        self.long.map_or(self.mean, |(every, long)| self.mean + (long - self.mean) / every.max(1) as f64)
    }
}

/// The instances and their surroundings; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cluster {
    /// Requests that one instance does at once: `maxconn` of its server line.
    pub slots: u32,
    /// From placement until the application answers.
    pub start: f64,
    /// Between two checks; the first good one comes within this time after the start.
    pub check: f64,
    /// How long a deployment wants instances healthy (`update.min_healthy_time`). Nomad refuses to scale
    /// until then. `None`: scaling is never refused, as with `max_parallel = 0`.
    pub min_healthy: Option<f64>,
    /// How long a stopped instance lives at least, while it finishes its requests (`shutdown_delay`).
    pub shutdown_delay: f64,
    /// The fewest instances.
    pub min: u64,
    /// The most instances.
    pub max: u64,
    /// The instances that are there when it begins.
    pub initial: u64,
}

impl Default for Cluster {
    /// An ordinary web service: 10 requests at once, 20 s to start, Nomad's default of 10 s healthy.
    fn default() -> Self {
        Self {
            slots: 10,
            start: 20.0,
            check: 1.0,
            min_healthy: Some(10.0),
            shutdown_delay: 0.0,
            min: 2,
            max: 400,
            initial: 2,
        }
    }
}
