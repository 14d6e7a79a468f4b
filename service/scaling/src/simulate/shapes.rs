//! Loads that are made, not recorded: each brings out one weakness of a scaler.
//!
//! Rates are requests a second; steps begin at odd moments, so that no scaler's period meets them in step.

/// A named load.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// A short name, as on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Requests a second, second by second.
    pub rates: Vec<f64>,
}

/// All of them.
pub fn shapes() -> Vec<Shape> {
    vec![
        shape("step", "200/s, ten times that within 10 s, for 30 minutes, and back", 3600, step),
        shape("sawtooth", "50/s to 1,000/s within 10 minutes, again and again", 3600, sawtooth),
        shape("flash-crowd", "100/s; every 20 minutes 1,500/s within 5 s, which ebbs away", 7200, flash),
        shape("slow-ramp", "50/s to 1,500/s within an hour, and back", 7200, ramp),
        shape("constant-low", "5/s, which keeps half a slot busy", 7200, |_| 5.0),
        shape("on-off", "20/s and 600/s in turns of 90 s", 3600, on_off),
        shape("noisy", "400/s that swings by half within minutes", 7200, noisy),
    ]
}

fn shape(name: &'static str, about: &'static str, seconds: u32, rate: impl Fn(f64) -> f64) -> Shape {
    Shape { name, about, rates: (0..seconds).map(|second| rate(f64::from(second))).collect() }
}

/// From 0 at `from` to 1 at `to`, in a straight line.
fn rise(at: f64, from: f64, to: f64) -> f64 {
    ((at - from) / (to - from)).clamp(0.0, 1.0)
}

fn step(at: f64) -> f64 {
    200.0 + 1800.0 * (rise(at, 613.0, 623.0) - rise(at, 2413.0, 2423.0))
}

fn sawtooth(at: f64) -> f64 {
    50.0 + 950.0 * ((at + 37.0) % 600.0) / 600.0
}

fn flash(at: f64) -> f64 {
    let since = (at - 317.0).rem_euclid(1201.0);
    let fresh = at >= 317.0;
    let crowd = if since < 5.0 { since / 5.0 } else { (-(since - 5.0) / 60.0).exp() };
    100.0 + if fresh { 1400.0 * crowd } else { 0.0 }
}

fn ramp(at: f64) -> f64 {
    50.0 + 1450.0 * (rise(at, 0.0, 3600.0) - rise(at, 3600.0, 7200.0))
}

fn on_off(at: f64) -> f64 {
    if (at + 53.0) % 180.0 < 90.0 { 20.0 } else { 600.0 }
}

/// Waves whose lengths have no common multiple: never the same twice.
fn noisy(at: f64) -> f64 {
    let wave = |length: f64| (at / length * std::f64::consts::TAU).sin();
    400.0 * (1.0 + 0.2 * wave(47.0) + 0.2 * wave(173.0) + 0.1 * wave(1117.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_what_they_say() {
        let points = [
            (step(600.0), 200.0),
            (step(623.0), 2000.0),
            (step(3000.0), 200.0),
            (sawtooth(563.0), 50.0),
            (flash(322.0), 1500.0),
            (flash(0.0), 100.0),
            (ramp(3600.0), 1500.0),
            (on_off(0.0), 20.0),
            (on_off(40.0), 600.0),
        ];
        for (found, wanted) in points {
            assert!((found - wanted).abs() < 1.0, "{found} is not {wanted}");
        }
        assert!(shapes().iter().all(|shape| shape.rates.iter().all(|rate| (0.0..2001.0).contains(rate))));
    }
}
