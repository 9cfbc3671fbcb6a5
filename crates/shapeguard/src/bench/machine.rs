//! What this machine can do at most, measured in the same run as everything that stands beside it.

use std::hint::black_box;
use std::time::Instant;

use cpu_time::ThreadTime;
use rayon::prelude::*;
use serde::Serialize;
use shapeguard_experts::peak::{multiply_add_chains, vector_instructions};

/// Measurements of each limit; the best counts, since others may use the machine.
const MEASUREMENTS: usize = 7;
/// Rounds of multiply-adds of one measurement: some tens of milliseconds.
const ROUNDS: u64 = 20_000_000;
/// Bytes that bandwidth is measured on: far more than any cache holds.
const BANDWIDTH_BYTES: usize = 256 << 20;

/// A machine's limits.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Operating system and processor family.
    pub platform: String,
    /// Vector instructions that the kernels use.
    pub vector_instructions: &'static str,
    /// Threads that work.
    pub threads: usize,
    /// Billions of floating-point operations in a CPU second of one thread: multiply-adds on registers, counted twice.
    pub fma_gflops_per_cpu_second: f64,
    /// The same in a second of wall time with all threads.
    pub fma_gflops_all_threads: f64,
    /// Billions of bytes that one thread reads in a second.
    pub read_gb_per_second: f64,
    /// Billions of bytes that all threads together read in a second.
    pub read_gb_per_second_all_threads: f64,
}

impl Machine {
    /// Measures this machine; takes about two seconds.
    pub fn measure() -> Self {
        let threads = rayon::current_num_threads();
        let data = vec![1u64; BANDWIDTH_BYTES / size_of::<u64>()];
        let best = |figure: &dyn Fn() -> f64| (0..MEASUREMENTS).map(|_| figure()).fold(0.0, f64::max);
        let giga_per_second = |count: f64, start: Instant| 1e-9 * count / start.elapsed().as_secs_f64();
        Self {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            vector_instructions: vector_instructions(),
            threads,
            fma_gflops_per_cpu_second: best(&|| {
                let (wall, cpu) = (Instant::now(), ThreadTime::try_now().ok());
                let (count, sum) = multiply_add_chains(ROUNDS);
                black_box(sum);
                let seconds = cpu.and_then(|start| start.try_elapsed().ok()).unwrap_or_else(|| wall.elapsed());
                2e-9 * count as f64 / seconds.as_secs_f64()
            }),
            fma_gflops_all_threads: best(&|| {
                let start = Instant::now();
                let counts = rayon::broadcast(|_| {
                    let (count, sum) = multiply_add_chains(ROUNDS);
                    black_box(sum);
                    count
                });
                giga_per_second(2.0 * counts.iter().sum::<u64>() as f64, start)
            }),
            read_gb_per_second: best(&|| {
                let start = Instant::now();
                black_box(sum(&data));
                giga_per_second(BANDWIDTH_BYTES as f64, start)
            }),
            read_gb_per_second_all_threads: best(&|| {
                let start = Instant::now();
                black_box(data.par_chunks(data.len().div_ceil(threads)).map(sum).sum::<u64>());
                giga_per_second(BANDWIDTH_BYTES as f64, start)
            }),
        }
    }
}

/// Wrapping sum in lanes that the compiler keeps in vector registers.
fn sum(values: &[u64]) -> u64 {
    let mut lanes = [0u64; 32];
    for part in values.as_chunks::<32>().0 {
        for (lane, value) in lanes.iter_mut().zip(part) {
            *lane = lane.wrapping_add(*value);
        }
    }
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_a_computer() {
        let machine = Machine::measure();
        assert_eq!(machine.threads, rayon::current_num_threads());
        // From a small board to many times today's fastest; all threads together do not beat one by more than their number.
        let flops = machine.fma_gflops_per_cpu_second;
        assert!((0.5..10_000.0).contains(&flops), "{machine:?}");
        assert!((0.05..10_000.0).contains(&machine.read_gb_per_second), "{machine:?}");
        assert!(machine.fma_gflops_all_threads > 0.0 && machine.read_gb_per_second_all_threads > 0.0);
    }

    #[test]
    fn every_word_is_read() {
        let values: Vec<u64> = (0..96).collect();
        assert_eq!(sum(&values), 95 * 96 / 2);
    }
}
