//! Wall time, CPU time and memory of a computation.

use std::hint::black_box;
use std::time::Instant;

use cpu_time::ProcessTime;
use serde::Serialize;

/// What a computation costs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// Wall-clock seconds.
    pub wall_seconds: f64,
    /// Seconds of all processors together, where the system tells.
    pub cpu_seconds: Option<f64>,
    /// The process's highest resident memory meanwhile, where the system tells (Linux).
    pub peak_memory_bytes: Option<u64>,
    /// How often it was run; the seconds are those of one run.
    pub runs: u32,
}

/// Runs a computation again and again until it took so many seconds, after one run that does not count; its last result
/// and its mean cost.
pub fn measure<T>(least_seconds: f64, mut run: impl FnMut() -> T) -> (T, Cost) {
    black_box(run());
    let meter = Meter::start();
    let mut runs = 0;
    loop {
        let result = black_box(run());
        runs += 1;
        if meter.start.elapsed().as_secs_f64() >= least_seconds {
            return (result, meter.stop(runs));
        }
    }
}

/// Runs a computation once; its result and its cost.
pub fn measure_once<T>(run: impl FnOnce() -> T) -> (T, Cost) {
    let meter = Meter::start();
    let result = black_box(run());
    (result, meter.stop(1))
}

struct Meter {
    start: Instant,
    cpu_start: Option<ProcessTime>,
}

impl Meter {
    fn start() -> Self {
        // Linux counts the highest resident memory anew when told so; elsewhere there is no such file.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let cpu_start = ProcessTime::try_now().ok();
        Self { start: Instant::now(), cpu_start }
    }

    fn stop(&self, runs: u32) -> Cost {
        let per_run = |seconds: f64| seconds / f64::from(runs);
        Cost {
            wall_seconds: per_run(self.start.elapsed().as_secs_f64()),
            cpu_seconds: self
                .cpu_start
                .and_then(|start| start.try_elapsed().ok())
                .map(|cpu| per_run(cpu.as_secs_f64())),
            peak_memory_bytes: peak_memory_bytes(),
            runs,
        }
    }
}

/// The process's highest resident memory so far, or since [`measure`] or [`measure_once`] began last; where the system
/// tells (Linux).
pub fn peak_memory_bytes() -> Option<u64> {
    high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM` of Linux's process status, which is in KiB.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_and_the_last_result_is_given() {
        let mut count = 0;
        let (result, cost) = measure(0.02, || {
            count += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
            count
        });
        assert_eq!((result, cost.runs), (count, count - 1));
        // 20 ms of runs of at least 1 ms.
        assert!((1..=20).contains(&cost.runs) && cost.wall_seconds >= 1e-3, "{cost:?}");
        assert_eq!(measure_once(|| 7).0, 7);
    }

    #[test]
    fn the_high_water_mark_is_read_in_bytes() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t  123456 kB\nVmRSS:\t 1 kB\n"), Some(123_456 * 1024));
        assert_eq!(high_water_mark("Name:\tx\n"), None);
        assert_eq!(high_water_mark("VmHWM:\tmuch\n"), None);
    }

    #[test]
    fn memory_that_is_touched_shows() {
        let (_, before) = measure_once(|| ());
        let (length, cost) = measure_once(|| vec![1u8; 64 << 20].iter().map(|byte| u64::from(*byte)).sum::<u64>());
        assert_eq!(length, 64 << 20);
        let Some((before, peak)) = before.peak_memory_bytes.zip(cost.peak_memory_bytes) else { return };
        assert!(peak >= before.min(1 << 20) + (60 << 20), "{before} {peak}");
        assert!(cost.cpu_seconds.is_some_and(|seconds| seconds > 0.0));
    }
}
