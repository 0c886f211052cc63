//! Numbers as people read them: bytes, durations, shares.

/// Bytes in steps of a thousand, as shops and file managers count: `20.8 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        // 999.95 would be shown as 1000.0
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == UNITS[0] { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A duration, as exact as its length asks for: `0.4 s`, `12 s`, `3 min 20 s`, `1 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, 0) => format!("{min} min"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

/// A part of a whole: `37%`.
pub fn percent(part: f64) -> String {
    format!("{:.0}%", part.clamp(0.0, 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_digit_after_the_point() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KB"),
            (20_847_104, "20.8 MB"),
            (999_960_000, "1.0 GB"),
            (6_938_040_682, "6.9 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_are_as_exact_as_they_are_short() {
        for (seconds, text) in [
            (0.0, "0.0 s"),
            (0.44, "0.4 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (60.0, "1 min"),
            (200.2, "3 min 20 s"),
            (3900.0, "1 h 05 min"),
            (f64::INFINITY, "unknown"),
            (-1.0, "unknown"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
