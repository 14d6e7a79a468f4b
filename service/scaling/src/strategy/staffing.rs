//! How many slots keep waiting rare: the square-root rule of Halfin and Whitt (1981).
//!
//! With R slots busy in the mean, R + β√R slots make the share of requests that find all of them busy
//! 1 / (1 + β Φ(β) / φ(β)), whatever R is; Φ and φ are the normal distribution and its density.

use std::f64::consts::{PI, SQRT_2};

/// The share of requests that wait with a margin of β√R.
pub fn waiting(beta: f64) -> f64 {
    1.0 / (1.0 + beta * below(beta) / density(beta))
}

/// The β that lets this share of requests wait, found by halving. A share outside of 0 to 1 is taken for the
/// nearer.
pub fn margin_factor(wait: f64) -> f64 {
    const HALVINGS: u32 = 50;
    let (mut low, mut high) = (0.0, 6.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if waiting(middle) > wait { low = middle } else { high = middle }
    }
    high
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

/// The normal distribution, by formula 7.1.26 of Abramowitz and Stegun (error below 2e-7), for x ≥ 0.
fn below(x: f64) -> f64 {
    let z = x / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let coefficients = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = coefficients.into_iter().fold(0.0, |sum, coefficient| sum * t + coefficient);
    f64::midpoint(1.0, 1.0 - sum * t * (-z * z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share that waits with `n` slots for `r` busy ones, by Erlang's formula C.
    fn erlang_c(n: u32, r: f64) -> f64 {
        let blocked = (1..=n).fold(1.0, |b, k| r * b / (f64::from(k) + r * b));
        let n = f64::from(n);
        n * blocked / (n - r * (1.0 - blocked))
    }

    #[test]
    fn the_margin_is_the_one_of_halfin_and_whitt() {
        for (wait, beta) in [(0.4, 0.65), (0.2, 1.06), (0.1, 1.42), (0.01, 2.38)] {
            assert!((margin_factor(wait) - beta).abs() < 0.01, "{wait}: {}", margin_factor(wait));
        }
        assert!((waiting(margin_factor(0.3)) - 0.3).abs() < 1e-6);
        assert!(margin_factor(1.0) < 1e-6);
    }

    #[test]
    fn erlang_agrees() {
        for r in [16.0, 64.0, 256.0_f64] {
            for wait in [0.4, 0.1, 0.02] {
                let n = (r + margin_factor(wait) * r.sqrt()).ceil();
                let n = u32::try_from(super::super::whole(n)).unwrap();
                assert!(erlang_c(n, r) <= wait * 1.35, "{r} {wait}: {}", erlang_c(n, r));
            }
        }
    }
}
