//! How fast something comes, and how long that will take.

use std::collections::VecDeque;

/// Over how many seconds a speed is measured: long enough to be calm, short enough to be true.
const SPAN: f64 = 8.0;

/// `40 s`, `1 min 30 s`, `50 min`, `1 h 20 min`: as exact as a guess about the future is.
pub fn guess(seconds: f64) -> String {
    let whole = seconds.max(0.0).ceil() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60 / 10 * 10) {
        (0, 0, _) => format!("{whole} s"),
        (0, minutes, rest @ 10..) if minutes < 10 => format!("{minutes} min {rest} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_as_exact_as_they_may_be() {
        for (seconds, text) in [
            (-1.0, "0 s"),
            (0.2, "1 s"),
            (59.0, "59 s"),
            (185.0, "3 min"),
            (95.0, "1 min 30 s"),
            (3059.0, "50 min"),
            (4810.0, "1 h 20 min"),
            (7200.0, "2 h"),
        ] {
            assert_eq!(guess(seconds), text, "{seconds}");
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
