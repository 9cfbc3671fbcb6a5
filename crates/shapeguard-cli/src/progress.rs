//! Progress bars on stderr: drawn only where a person sees them, and never through the middle of a log line or a result.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shapeguard_core::seams::Progress;
use tracing_subscriber::fmt::MakeWriter;

/// How often a bar is redrawn although no step was done, so that its time goes on.
const TICK: Duration = Duration::from_millis(500);

/// The progress of a command, one bar per stage.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars on stderr; hidden if that is not a terminal.
    pub fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    /// No bars.
    pub fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        Self { all: MultiProgress::with_draw_target(target), current: Mutex::new(None) }
    }

    /// Runs `write` with the bars out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.all.suspend(write)
    }

    /// Where log lines go: stderr, between two drawings of the bars.
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.all.clone())
    }

    fn replace(&self, bar: Option<ProgressBar>) -> Option<ProgressBar> {
        std::mem::replace(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner), bar)
    }
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &str, total: usize) {
        if total == 0 {
            return;
        }
        let style = ProgressStyle::with_template("{msg:52} [{wide_bar}] {pos}/{len} {eta:>4}")
            .expect("the template is fixed")
            .progress_chars("=> ");
        let bar = self.all.add(ProgressBar::new(total as u64).with_style(style).with_message(stage.to_owned()));
        bar.enable_steady_tick(TICK);
        self.replace(Some(bar));
    }

    fn step(&self) {
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(1);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.replace(None) {
            bar.set_style(
                ProgressStyle::with_template("{msg:52} {pos}/{len} in {elapsed}").expect("the template is fixed"),
            );
            // Leaves the line as it is: `finish` would claim steps that were not done.
            bar.abandon();
        }
    }
}

/// The progress of one of several things, whose name stands before its stages.
pub struct Named<'a> {
    name: &'a str,
    progress: &'a dyn Progress,
}

impl<'a> Named<'a> {
    /// Puts this name before all stages.
    pub fn new(name: &'a str, progress: &'a dyn Progress) -> Self {
        Self { name, progress }
    }
}

impl Progress for Named<'_> {
    fn begin(&self, stage: &str, total: usize) {
        self.progress.begin(&format!("{}: {stage}", self.name), total);
    }

    fn step(&self) {
        self.progress.step();
    }

    fn end(&self) {
        self.progress.end();
    }
}

/// Writes log lines to stderr with the bars out of the way.
#[derive(Clone, Debug)]
pub struct LogWriter(MultiProgress);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_each_other_and_steps_are_counted_from_any_thread() {
        let bars = Bars::hidden();
        bars.step();
        bars.begin("nothing", 0);
        bars.end();
        bars.begin("first", 3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| bars.step());
            }
        });
        let bar = bars.current.lock().unwrap().clone().unwrap();
        assert_eq!((bar.position(), bar.length()), (3, Some(3)));
        bars.end();
        bars.begin("second", 2);
        bars.step();
        let bar = bars.current.lock().unwrap().clone().unwrap();
        bars.end();
        assert_eq!(bar.position(), 1, "steps that were not done are not claimed");
        assert!(bars.current.lock().unwrap().is_none());
    }

    #[test]
    fn stages_of_several_things_carry_their_names() {
        let bars = Bars::hidden();
        let named = Named::new("gear", &bars);
        named.begin("Alignment", 2);
        named.step();
        let bar = bars.current.lock().unwrap().clone().unwrap();
        assert_eq!((bar.message(), bar.position()), ("gear: Alignment".into(), 1));
        named.end();
        assert!(bars.current.lock().unwrap().is_none());
    }
}
