//! Time in the model: whole microseconds since its beginning, so that events have one order on every machine.

/// A moment, or a length of time, in microseconds.
pub(super) type Micros = u64;

/// A second.
pub(super) const SECOND: Micros = 1_000_000;

/// Rounded to the microsecond; nothing below 0.
pub(super) fn micros(seconds: f64) -> Micros {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and years at most"
    )]
    let micros = (seconds.max(0.0) * SECOND as f64).round() as Micros;
    micros
}

/// As seconds.
pub(super) fn seconds(micros: Micros) -> f64 {
    micros as f64 / SECOND as f64
}
