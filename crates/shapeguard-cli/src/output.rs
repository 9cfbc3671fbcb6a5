//! Results on stdout, and what their files and numbers look like.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;
use shapeguard_data::{DataError, check_folder};

/// Prints text as it is.
///
/// # Errors
/// If nobody reads it.
pub fn text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Tells people something on stderr, beside the results.
pub fn note(text: &str) {
    // Nobody is left to be told if stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints indented JSON with a final newline.
///
/// # Errors
/// As [`text`].
pub fn json(value: &impl Serialize) -> Result<()> {
    text(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Refuses to start a long computation whose result could not be written in the end.
///
/// # Errors
/// If the file exists and may not be overwritten, is a folder, or its own folder cannot be made or written to.
pub fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    if path.is_dir() {
        bail!("{}: expected the name of a file, found a folder; give a file in it", path.display());
    }
    if !force && path.symlink_metadata().is_ok() {
        return Err(DataError::Exists { path: path.to_path_buf() }.into());
    }
    Ok(check_folder(path.parent().unwrap_or(Path::new("")))?)
}

/// A number with four significant digits.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let before_point = if magnitude < 1.0 { 0 } else { magnitude.log10() as usize + 1 };
    format!("{value:.*}", 4usize.saturating_sub(before_point))
}

/// A share as percent.
pub fn percent(share: f64) -> String {
    let text = format!("{:.1}", 100.0 * share);
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

/// A size in the unit that fits it.
pub fn bytes(count: u64) -> String {
    match count {
        0..=1023 => format!("{count} bytes"),
        1024..=1_048_575 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// `1 scan`, `2 scans`.
pub fn counted(count: usize, noun: &str) -> String {
    count_of(count, noun, &format!("{noun}s"))
}

/// `1 category`, `2 categories`.
pub fn count_of(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        let cases = [
            (0.0, "0.0000"),
            (0.012345, "0.0123"),
            (1.23456, "1.235"),
            (123.456, "123.5"),
            (123_456.0, "123456"),
            (1e-7, "1.000e-7"),
            (-2.5, "-2.500"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!((percent(0.05), percent(0.123)), ("5 %".into(), "12.3 %".into()));
        assert_eq!(
            (bytes(1023), bytes(2048), bytes(3 << 20)),
            ("1023 bytes".into(), "2.0 KiB".into(), "3.0 MiB".into())
        );
        assert_eq!((counted(1, "scan"), counted(0, "scan")), ("1 scan".into(), "0 scans".into()));
        assert_eq!(count_of(2, "category", "categories"), "2 categories");
    }

    #[test]
    fn what_cannot_be_written_is_refused_early() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model");
        refuse_existing(&file, false).unwrap();
        std::fs::write(&file, b"mine").unwrap();
        assert!(refuse_existing(&file, false).unwrap_err().to_string().contains("exists already"));
        refuse_existing(&file, true).unwrap();
        assert!(refuse_existing(folder.path(), true).unwrap_err().to_string().contains("found a folder"));
        refuse_existing(&folder.path().join("new/folder/model"), false).unwrap();
        refuse_existing(Path::new("of-the-working-directory"), false).unwrap();
        let below_a_file = refuse_existing(&file.join("model"), true).unwrap_err().to_string();
        assert!(below_a_file.contains("model is not a folder"), "{below_a_file}");
    }
}
