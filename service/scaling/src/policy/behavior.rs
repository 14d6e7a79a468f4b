//! How fast a count may change: the rules of Kubernetes' HPA, `behavior.scaleUp` and `behavior.scaleDown`.

use std::time::Duration;

use serde::Serialize;

/// What holds for changes in one direction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Behavior {
    /// The time whose least drastic recommendation counts: the lowest for an increase, the highest for a
    /// decrease.
    pub stabilization: Duration,
    /// How far from the count, as a share of it, nothing happens, unless a bound is reached.
    pub tolerance: f64,
    /// Which of the rates holds.
    pub select: Select,
    /// How much change is allowed in a time; with none, any.
    pub rates: Vec<Rate>,
}

impl Behavior {
    /// Fewer instances by less than this are not worth a deployment, unless they are the fewest that there
    /// may be: in the time of one nothing else can be done.
    pub const TOLERANCE: f64 = 0.1;

    /// Anything at once, after the window.
    pub fn within(stabilization: Duration) -> Self {
        Self { stabilization, tolerance: 0.0, select: Select::Max, rates: Vec::new() }
    }
}

/// Which of several rates holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The one that allows the most change.
    #[default]
    Max,
    /// The one that allows the least.
    Min,
    /// None: no change in this direction at all.
    Disabled,
}

/// How much change is allowed in a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// What `value` counts.
    pub unit: RateUnit,
    /// How much.
    pub value: f64,
    /// The time.
    pub period: Duration,
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateUnit {
    /// Instances.
    Instances,
    /// Hundredths of the count at the start of the period.
    Percent,
}
