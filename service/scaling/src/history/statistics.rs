//! Means and trends of a few numbers.

/// The mean; 0 of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The slope of the straight line through the points, and how many standard errors it is away from 0.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    const FEWEST: usize = 5;
    if points.len() < FEWEST {
        return None;
    }
    let count = points.len() as f64;
    let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let (x, y) = (mean(&xs), mean(&ys));
    let spread: f64 = xs.iter().map(|at| (at - x).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = points.iter().map(|(at, value)| (at - x) * (value - y)).sum::<f64>() / spread;
    let rest: f64 = points.iter().map(|(at, value)| (value - y - slope * (at - x)).powi(2)).sum();
    let rests: Vec<f64> = points.iter().map(|(at, value)| value - y - slope * (at - x)).collect();
    let error = (rest / (count - 2.0) / spread).sqrt() * repetition(&rests);
    Some((slope, if error > 0.0 { slope / error } else { f64::INFINITY * slope.signum() }))
}

/// By how much the error of a slope is greater where each deviation resembles the one before (by its
/// correlation r, √((1 + r) / (1 − r))): sessions that last longer than the time between two measures are in
/// both, and a jump leaves long runs on either side of the line.
fn repetition(rests: &[f64]) -> f64 {
    let total: f64 = rests.iter().map(|rest| rest * rest).sum();
    let pairs: f64 = rests.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if total <= 0.0 {
        return 1.0;
    }
    let resembles = (pairs / total).clamp(0.0, 0.95);
    ((1.0 + resembles) / (1.0 - resembles)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_noise_is_not() {
        let line: Vec<(f64, f64)> = (0u8..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        let (rise, sure) = slope(&line).unwrap();
        assert!((rise - 2.0).abs() < 1e-9 && sure > 100.0);
        let noise: Vec<(f64, f64)> = (0u8..10).map(|x| (f64::from(x), f64::from(x % 3))).collect();
        assert!(slope(&noise).unwrap().1.abs() < 2.0);
        assert_eq!((slope(&line[..4]), mean(&[])), (None, 0.0));
    }
}
