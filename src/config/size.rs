//! Settings with a unit: `"90s"`, `"10m"`, `"64KiB"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time: `500ms`, `8s`, `10m`, `24h`, `3d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// Whole milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }
    /// Whole seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
    /// Whole hours.
    pub const fn hours(n: u64) -> Self {
        Self::seconds(n * 3600)
    }
    /// Whole days of 24 hours.
    pub const fn days(n: u64) -> Self {
        Self::hours(n * 24)
    }
    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// A hundred years, in milliseconds: moments that lie so far away can still be written down, whichever way.
const LONGEST_PERIOD: u64 = 36_500 * 86_400_000;
const PERIOD_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let millis = number_with_unit(text, &PERIOD_UNITS).filter(|millis| *millis <= LONGEST_PERIOD);
        millis.map(Self::millis).ok_or_else(|| {
            format!(
                "\"{text}\" is not a length of time; write a whole number and ms, s, m, h or d, such as \"10m\", at most 36500d"
            )
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shortest(self.0.as_millis() as u64, &PERIOD_UNITS))
    }
}

/// A number of bytes: `512B`, `64KiB`, `8MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Units of 1,024 bytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }
    /// Units of 1,048,576 bytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        number_with_unit(text, &SIZE_UNITS).map(Self).ok_or_else(|| {
            format!("\"{text}\" is not a size; write a whole number and B, KiB, MiB or GiB, such as \"64KiB\"")
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shortest(self.0, &SIZE_UNITS))
    }
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn shortest(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |unit: &&(&str, u64)| value != 0 && value.is_multiple_of(unit.1);
    let (name, factor) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    format!("{}{name}", value / factor)
}

macro_rules! text_serde {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
text_serde!(Period);
text_serde!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written_back() {
        for text in ["500ms", "8s", "10m", "24h", "3d", "36500d", "0ms"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }
        assert_eq!("64KiB".parse::<ByteSize>(), Ok(ByteSize::kib(64)));
        for wrong in
            ["", "10", "m", "-1s", "1.5s", "99999999999999999999d", "18446744073709551615d", "36501d", "10 minutes"]
        {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }
}
