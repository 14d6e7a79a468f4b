//! How fast a count may change: the rules of Kubernetes' HPA, `behavior.scaleUp` and `behavior.scaleDown`.

use std::time::Duration;

use serde::Serialize;

/// What holds for changes in one direction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Behavior {
    /// The time whose least drastic recommendation counts: the lowest for an increase, the highest for a
    /// decrease.
    pub stabilization: Duration,
    /// Whether that time is lengthened where what is taken away takes long to come back: where nobody wrote
    /// it.
    pub adapts: bool,
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

    /// The window in blocks, see [`Timing`](crate::Timing). What is taken away in a lull is back after one,
    /// but the count that was needed before the lull may have been cut short by a block itself, and a load
    /// that swings does so in some multiple of the time that one has got used to. With 1 the simulated loads
    /// that swing had ten times as many late requests, for one in fifty of the instance-hours; see
    /// docs/simulation.md.
    pub const BLOCKS: u32 = 3;
    /// Where a block is shorter, fewer of them are looked back on, in proportion. A decrease that came too early makes those
    /// requests wait that come within one block, each up to as long as that: so its price goes with the square.
    pub const SHORT: Duration = Duration::from_secs(9);
    /// The longest that the window gets by itself: what Kubernetes' HPA always takes.
    pub const LONGEST: Duration = Duration::from_mins(5);

    /// The time whose least drastic recommendation counts, where a scale blocks the next one for so long.
    pub fn window(&self, block: Duration) -> Duration {
        if !self.adapts {
            return self.stabilization;
        }
        let part = block.div_duration_f64(Self::SHORT).min(1.0);
        self.stabilization.max((block * Self::BLOCKS).mul_f64(part).min(Self::LONGEST))
    }

    /// The longest that [`window`](Self::window) can be.
    pub fn longest_window(&self) -> Duration {
        if self.adapts { self.stabilization.max(Self::LONGEST) } else { self.stabilization }
    }

    /// Anything at once, after the window.
    pub fn within(stabilization: Duration) -> Self {
        Self { stabilization, adapts: false, tolerance: 0.0, select: Select::Max, rates: Vec::new() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_nobody_wrote_grows_with_the_block_up_to_five_minutes() {
        let seconds = Duration::from_secs;
        let written = Behavior::within(seconds(15));
        assert_eq!((written.window(seconds(60)), written.longest_window()), (seconds(15), seconds(15)));
        let adapting = Behavior { adapts: true, ..written };
        let windows = [2, 6, 8, 9, 30, 600].map(|block| adapting.window(seconds(block)).as_secs());
        assert_eq!((windows, adapting.longest_window()), ([15, 15, 21, 27, 90, 300], seconds(300)));
    }
}
