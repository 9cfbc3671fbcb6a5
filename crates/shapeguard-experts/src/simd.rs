//! Which vector instructions the kernels use.

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simd {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Simd {
    /// All that this machine can run, the fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if fma && is_x86_feature_detected!("avx512f") {
                levels.push(Self::Avx512);
            }
            if fma {
                levels.push(Self::Avx2);
            }
        }
        levels.push(Self::Portable);
        levels
    }

    /// The fastest that this machine can run.
    pub(crate) fn detect() -> Self {
        Self::available()[0]
    }

    /// What people call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2 with FMA",
            Self::Portable => "portable",
        }
    }
}

/// `x * w + sum`, rounded once if `FUSED`: only where the processor does that in one instruction.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(x: f32, w: f32, sum: f32) -> f32 {
    if FUSED { x.mul_add(w, sum) } else { x * w + sum }
}

/// Whether portable code may fuse.
pub(crate) const PORTABLE_FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
