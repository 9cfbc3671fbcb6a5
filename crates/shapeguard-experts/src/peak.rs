//! What this processor's multiply-add units can do at most: the limit that kernels' figures stand beside.
//!
//! Chains of multiply-adds that depend on nothing but registers, as many side by side as hide their latency, with the
//! same vector instructions as the kernels'.

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
    #[cfg(target_arch = "x86_64")]
    {
        let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if fma && is_x86_feature_detected!("avx512f") {
            // SAFETY: the instructions were detected.
            return (rounds * (CHAINS * WIDE) as u64, unsafe { chains_avx512(rounds) });
        }
        if fma {
            // SAFETY: the instructions were detected.
            return (rounds * (CHAINS * NARROW) as u64, unsafe { chains_avx2(rounds) });
        }
    }
    (rounds * (CHAINS * NARROW) as u64, chains_portable(rounds))
}

/// Name of the vector instructions that [`multiply_add_chains`] and the kernels use.
pub fn vector_instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if fma && is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if fma {
            return "AVX2 with FMA";
        }
    }
    "portable"
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
            // Fused only where the target has it in one instruction.
            *chain = chain.map(|value| {
                if cfg!(target_arch = "aarch64") { value.mul_add(FACTOR, SUMMAND) } else { value * FACTOR + SUMMAND }
            });
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
