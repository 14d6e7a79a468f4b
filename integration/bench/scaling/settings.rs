//! What is measured, from the environment.

use std::env::var;
use std::time::Duration;

use crate::rig::nomad;

/// Which Nomad places the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Real,
    Devcluster,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Real => "a real Nomad",
            Self::Devcluster => "the devcluster",
        }
    }
}

/// What the environment asks for.
pub(crate) struct Settings {
    pub(crate) runs: u32,
    pub(crate) balancers: u32,
    /// The calm before the step.
    pub(crate) calm: Duration,
    /// In which the load goes from little to much.
    pub(crate) rise: Duration,
    /// What a long request takes.
    pub(crate) long: Duration,
    pub(crate) nomad: Kind,
}

impl Settings {
    pub(crate) fn read() -> Self {
        let seconds = |name, default| Duration::from_secs(number(name, default).into());
        Self {
            runs: number("WEIR_BENCH_RUNS", 3),
            balancers: number("WEIR_BENCH_BALANCERS", 1).clamp(1, 5),
            calm: seconds("WEIR_BENCH_CALM", 30),
            rise: seconds("WEIR_BENCH_RISE", 0),
            long: seconds("WEIR_BENCH_LONG", 8),
            nomad: kind(),
        }
    }

    /// When the step ends.
    pub(crate) fn fall(&self) -> Duration {
        self.calm + Duration::from_mins(1)
    }

    /// When the load ends.
    pub(crate) fn end(&self) -> Duration {
        self.fall() + Duration::from_secs(90)
    }
}

fn kind() -> Kind {
    match var("WEIR_BENCH_NOMAD").as_deref() {
        Ok("real") => Kind::Real,
        Ok("devcluster") => Kind::Devcluster,
        Ok(other) => panic!("WEIR_BENCH_NOMAD is real or devcluster, not {other}"),
        Err(_) if nomad::binary().is_some() => Kind::Real,
        Err(_) => Kind::Devcluster,
    }
}

fn number(name: &str, default: u32) -> u32 {
    var(name).map_or(default, |text| text.parse().expect("the variable is a number"))
}
