//! What a step found, and how the gate speaks.

use std::io::Write;

/// A step's result. It passed if there are no errors.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What must be mended, each with its remedy.
    pub errors: Vec<String>,
    /// What deserves a look but doesn't fail the gate.
    pub warnings: Vec<String>,
    /// What was looked at, in a few words, for the summary.
    pub note: String,
}

/// Writes one line to standard output at once, so that it keeps its place among the output of the commands.
/// A closed pipe is the reader's wish and no fault.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes one line to standard error.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
