//! What this processor's multiply-add units can do at most: the limit that kernels' figures stand beside.
//!
//! Chains of multiply-adds that depend on nothing but registers, as many side by side as hide their latency, with the
//! same vector instructions as the kernels'.

use crate::simd::{PORTABLE_FUSED, Simd, multiply_add};

/// Independent chains, in vectors: two units with a latency of four to five cycles need ten, and sixteen registers hold
/// twelve and the two factors.
const CHAINS: usize = 12;
/// Values of an AVX-512 register.
#[cfg(target_arch = "x86_64")]
const WIDE: usize = 16;
/// Values of an AVX2 register, and of what stands for one elsewhere.
const NARROW: usize = 8;

/// Runs `rounds` rounds of independent multiply-adds on this thread; returns how many multiply-adds that were, and a
/// value that depends on all of them, so that none is left out.
pub fn multiply_add_chains(rounds: u64) -> (u64, f32) {
    let (width, sum) = match Simd::detect() {
        // SAFETY: these levels exist only where `Simd::available` detected the instructions.
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => (WIDE, unsafe { chains_avx512(rounds) }),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => (NARROW, unsafe { chains_avx2(rounds) }),
        Simd::Portable => (NARROW, chains_portable(rounds)),
    };
    (rounds * (CHAINS * width) as u64, sum)
}

/// Name of the vector instructions that [`multiply_add_chains`] and the kernels use.
pub fn vector_instructions() -> &'static str {
    Simd::detect().name()
}

/// The factor draws every chain towards `SUMMAND / (1 - FACTOR)`, so that no value becomes subnormal or infinite.
const FACTOR: f32 = 0.999;
const SUMMAND: f32 = 0.001;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn chains_avx512(rounds: u64) -> f32 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (factor, summand) = (_mm512_set1_ps(FACTOR), _mm512_set1_ps(SUMMAND));
    let mut chains = [summand; CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, factor, summand);
        }
    }
    chains.into_iter().map(|chain| _mm512_reduce_add_ps(chain)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn chains_avx2(rounds: u64) -> f32 {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (factor, summand) = (_mm256_set1_ps(FACTOR), _mm256_set1_ps(SUMMAND));
    let mut chains = [summand; CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, factor, summand);
        }
    }
    chains.into_iter().map(|chain| _mm256_cvtss_f32(chain)).sum()
}

fn chains_portable(rounds: u64) -> f32 {
    let mut chains = [[SUMMAND; NARROW]; CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = chain.map(|value| multiply_add::<PORTABLE_FUSED>(value, FACTOR, SUMMAND));
        }
    }
    chains.into_iter().flatten().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_counted_and_really_computed() {
        let (count, sum) = multiply_add_chains(20_000);
        assert_eq!(count % (20_000 * CHAINS as u64), 0);
        let width = count / (20_000 * CHAINS as u64);
        assert!([8, 16].contains(&width), "{width}");
        // After so many rounds every chain has reached its limit, 0.001 / (1 - 0.999) = 1; AVX2's sum takes one lane of each.
        let lanes = sum / CHAINS as f32;
        assert!([1.0, 8.0, 16.0].iter().any(|expected| (lanes / expected - 1.0).abs() < 1e-2), "{lanes}");
        assert!((chains_portable(20_000) / (CHAINS * NARROW) as f32 - 1.0).abs() < 1e-2);
        // A chain that has not got there yet shows that rounds count.
        assert!(multiply_add_chains(10).1 < 0.1 * sum);
    }
}
