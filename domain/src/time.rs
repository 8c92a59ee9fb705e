//! Two kinds of time: [`Timestamp`], which people and stores read, and [`Moment`], which timeouts are made of.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point of wall-clock time in whole milliseconds since 1970, UTC. Milliseconds because that is what the coarsest
/// store (BSON) keeps, so that one message has one time everywhere.
///
/// Its one textual form is RFC 3339 with three digits and `Z` (`2026-11-22T10:00:00.000Z`): 24 bytes, and texts sort
/// as times do. Any RFC 3339 time is read, finer digits are cut. Years outside 0–9999 cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const YEAR_0: i64 = -62_167_219_200_000;
const YEAR_9999_END: i64 = 253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since 1970; what lies outside the years 0–9999 is moved to the nearest end.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(YEAR_0, YEAR_9999_END))
    }

    /// A time as others wrote it into records: RFC 3339, also with a space in its middle, or without its offset, which then
    /// is UTC's. None if it is none of these.
    pub fn parse_lenient(text: &str) -> Option<Self> {
        let text = text.replacen(' ', "T", 1);
        text.parse().or_else(|_| format!("{text}Z").parse()).ok()
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The same point as a chrono value.
    pub fn as_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// This time, or one millisecond after `previous` if that is later: times within a session strictly increase,
    /// whatever the clocks of the replicas say.
    #[must_use]
    pub fn after(self, previous: Timestamp) -> Self {
        Self::from_millis(self.0.max(previous.0 + 1))
    }

    /// The 24 ASCII bytes of the textual form. Written by hand: a turn writes a dozen of them.
    pub fn to_ascii(self) -> [u8; 24] {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        // Counted from the year 0 on it is never negative, which is what makes it quick to divide.
        let since_0 = (self.0 - YEAR_0) as u64;
        let (year, month, day) = civil((since_0 / DAY) as u32);
        let millis = (since_0 % DAY) as u32;
        let mut out = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, value: u32| out[at..at + 2].copy_from_slice(&TWO_DIGITS[value as usize]);
        put(0, year / 100);
        put(2, year % 100);
        put(5, month);
        put(8, day);
        put(11, millis / 3_600_000);
        put(14, millis / 60_000 % 60);
        put(17, millis / 1000 % 60);
        put(20, millis % 1000 / 10);
        out[22] += (millis % 10) as u8;
        out
    }
}

/// All numbers of two digits.
static TWO_DIGITS: [[u8; 2]; 100] = {
    let mut all = [*b"00"; 100];
    let mut value = 0;
    while value < all.len() {
        all[value] = [b'0' + value as u8 / 10, b'0' + value as u8 % 10];
        value += 1;
    }
    all
};

/// Year, month and day of a day counted from 0000-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is a year's last: then a month begins `(153 * month + 2) / 5` days
/// into its year, and 400 years always have 146,097 days.
fn civil(day: u32) -> (u32, u32, u32) {
    const ERA: u32 = 146_097;
    // From March of the year -400 on: January and February of the year 0 belong to the year before, so counted.
    let day = day + ERA - 60;
    let era = day / ERA;
    let day = day % ERA;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next - 400, month, day)
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_millis(time.timestamp_millis())
    }
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc).into())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_ascii()).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_datetime().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.to_ascii()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom("not an RFC 3339 time"))
    }
}

/// A point on the process's monotonic clock, as the time since an origin that only [`Clock`](crate::ports::Clock) knows.
/// Deadlines are moments; they mean nothing in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub Duration);

impl Moment {
    /// This moment and `duration`, or the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long from `earlier` to this moment; zero if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Datelike;

    #[test]
    fn writes_as_chrono_does() {
        for millis in [0, 1, 999, 951_782_400_123, 1_763_805_600_000, -1, YEAR_0, YEAR_9999_END] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string(), format!("{time:?}"));
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn every_day_of_the_calendar_is_chronos() {
        for day in 0..=((YEAR_9999_END - YEAR_0) / 86_400_000) as u32 {
            let time = Timestamp::from_millis(YEAR_0 + i64::from(day) * 86_400_000 + 45_296_789);
            let expected = time.as_datetime().date_naive();
            let (year, month, day) = civil(day);
            assert_eq!((year as i32, month, day), (expected.year(), expected.month(), expected.day()));
        }
    }

    #[test]
    fn reads_what_the_python_service_wrote() {
        let time: Timestamp = "2024-05-01T12:30:00.123456+03:30".parse().expect("RFC 3339");
        assert_eq!(time.to_string(), "2024-05-01T09:00:00.123Z");
    }

    #[test]
    fn reads_times_of_every_kind_that_records_have() {
        let expected: Timestamp = "2024-05-01T09:00:00.123Z".parse().expect("a time");
        for text in [
            "2024-05-01T09:00:00.123456+00:00",
            "2024-05-01T12:30:00.123456+03:30",
            "2024-05-01 12:30:00.123456+03:30",
            "2024-05-01T09:00:00.123456",
            "2024-05-01 09:00:00.123456",
            "2024-05-01T09:00:00.123Z",
        ] {
            assert_eq!(Timestamp::parse_lenient(text), Some(expected), "{text}");
        }
        for text in ["", "then", "2024-05-01", "1714554000"] {
            assert_eq!(Timestamp::parse_lenient(text), None, "{text}");
        }
    }

    #[test]
    fn times_strictly_increase() {
        let (early, late) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(late.after(early), late);
        assert_eq!(early.after(late), Timestamp::from_millis(10));
        assert_eq!(late.after(late), Timestamp::from_millis(10));
    }
}
