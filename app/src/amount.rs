//! Amounts as people read them: bytes, times, and how fast something comes.

use std::collections::VecDeque;

/// Over how many seconds a speed is measured: long enough to be calm, short enough to be true.
const SPAN: f64 = 8.0;

/// `2.3 GB`: three digits at most, in units of a thousand, as browsers tell their downloads.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut at = 0;
    // What would be rounded to 1000 is 1 of the next.
    while value >= 999.5 && at + 1 < UNITS.len() {
        value /= 1000.0;
        at += 1;
    }
    let unit = UNITS.get(at).copied().unwrap_or_default();
    let digits = usize::from(value < 99.95 && at > 0);
    let text = format!("{value:.digits$}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// `40 s`, `3 min`, `1 h 20 min`: as exact as a guess about the future is.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0).ceil() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..600 => match whole % 60 / 10 * 10 {
            0 => format!("{} min", whole / 60),
            rest => format!("{} min {rest} s", whole / 60),
        },
        600..3600 => format!("{} min", whole.div_ceil(60)),
        _ => match (whole / 3600, whole % 3600 / 60) {
            (hours, 0) => format!("{hours} h"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        },
    }
}

/// How fast bytes come.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// When how many were there, over the last [`SPAN`].
    seen: VecDeque<(f64, u64)>,
}

impl Pace {
    /// At `now` (seconds of any clock) there are so many bytes. Fewer than before means that something else has begun.
    pub fn see(&mut self, now: f64, bytes: u64) {
        if self.seen.back().is_some_and(|(_, last)| bytes < *last) {
            self.seen.clear();
        }
        self.seen.push_back((now, bytes));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| now - at > SPAN) {
            self.seen.pop_front();
        }
    }

    /// Bytes per second, when enough has been seen to tell.
    pub fn speed(&self) -> Option<f64> {
        let ((begun, first), (now, last)) = (self.seen.front()?, self.seen.back()?);
        let (time, came) = (now - begun, last - first);
        (time >= 0.5 && came > 0).then(|| came as f64 / time)
    }

    /// Seconds until there are `of` bytes.
    pub fn left(&self, of: u64) -> Option<f64> {
        let (_, there) = self.seen.back()?;
        Some(of.saturating_sub(*there) as f64 / self.speed()?)
    }
}

/// Steps in a second, as people compare them: `1.3 it/s`, and `2.0 s/it` where they are slow.
pub fn rate(rate: f64) -> String {
    if rate >= 1.0 { format!("{rate:.1} it/s") } else { format!("{:.1} s/it", 1.0 / rate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (20_842_870, "20.8 MB"),
            (2_300_000_000, "2.3 GB"),
            (999_600_000, "1 GB"),
            (123_456_789_000, "123 GB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
    }

    #[test]
    fn times_are_as_exact_as_they_may_be() {
        for (count, text) in [
            (-1.0, "0 s"),
            (0.2, "1 s"),
            (59.0, "59 s"),
            (185.0, "3 min"),
            (95.0, "1 min 30 s"),
            (3000.0, "50 min"),
            (4810.0, "1 h 20 min"),
        ] {
            assert_eq!(seconds(count), text, "{count}");
        }
    }

    #[test]
    fn a_pace_is_that_of_the_last_seconds() {
        let mut pace = Pace::default();
        assert_eq!((pace.speed(), pace.left(100)), (None, None));
        pace.see(0.0, 0);
        pace.see(1.0, 1000);
        assert_eq!(pace.left(3000), Some(2.0));
        (2..=20_u32).for_each(|second| pace.see(f64::from(second), 1000 + u64::from(second) * 10));
        assert_eq!(pace.speed(), Some(10.0));
        pace.see(21.0, 5);
        assert_eq!(pace.speed(), None, "another file has begun");
    }
}
