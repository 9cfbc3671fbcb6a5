//! Moments, as milliseconds since 1970 in UTC in the program and as RFC 3339 outside.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// The present.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// As text: `2026-11-28T01:22:40.000Z`.
pub fn to_rfc3339(ms: i64) -> String {
    let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{moment:.3}")
}

/// From text with any offset.
///
/// # Errors
/// A message that says what was expected.
pub fn parse_rfc3339(text: &str) -> Result<i64, String> {
    let moment: Timestamp = text.parse().map_err(|error| {
        format!("expected a moment like 2026-11-28T06:00:00Z or 2026-11-28T07:00:00+01:00, found {text:?}: {error}")
    })?;
    Ok(moment.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_were_written() {
        let ms = 1_795_826_560_007;
        assert_eq!(to_rfc3339(ms), "2026-11-28T00:42:40.007Z");
        assert_eq!(parse_rfc3339(&to_rfc3339(ms)), Ok(ms));
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(parse_rfc3339("yesterday").unwrap_err().contains("expected a moment"));
        assert!((now_ms() - ms).abs() < 100 * 366 * 86_400_000);
    }
}
