//! Moments, as the database keeps them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The time of this machine.
pub fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX))
}

/// The clock of this machine.
pub fn system() -> Clock {
    Arc::new(now)
}

/// A moment in the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year.
    pub year: i64,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From 0.
    pub hour: u8,
    /// From 0.
    pub minute: u8,
    /// From 0.
    pub second: u8,
}

/// A moment in the calendar. Years are counted from March, so that the odd day is the last one.
pub fn civil(at: Millis) -> Civil {
    const ERA: i64 = 146_097;
    let seconds = at.div_euclid(1000);
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next = month >= 10;
    let small = |number: i64| u8::try_from(number).unwrap_or_default();
    Civil {
        year: era * 400 + year + i64::from(is_next),
        month: small(if is_next { month - 9 } else { month + 3 }),
        day: small(day),
        hour: small(second_of_day / 3600),
        minute: small(second_of_day / 60 % 60),
        second: small(second_of_day % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar() {
        for (seconds, wanted) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (-1, (1969, 12, 31, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (951_868_799, (2000, 2, 29, 23, 59, 59)),
            (1_709_251_200, (2024, 3, 1, 0, 0, 0)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
            (253_402_300_799, (9999, 12, 31, 23, 59, 59)),
        ] {
            let is = civil(seconds * 1000);
            assert_eq!((is.year, is.month, is.day, is.hour, is.minute, is.second), wanted);
        }
    }
}
