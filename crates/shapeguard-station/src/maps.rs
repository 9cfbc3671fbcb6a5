//! The anomaly maps of an inspection as they are stored: SDF, RGB and fused on one scale, half precision, deflated. Half
//! precision keeps three decimal digits, far more than a colour shows; verdicts and regions were made before.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use half::f16;
use shapeguard_core::grid::{Grid, GridSize, ScoreMap};

/// Which of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// The shape expert's.
    Sdf,
    /// The appearance expert's.
    Rgb,
    /// Both.
    Fused,
}

impl MapKind {
    const ALL: [Self; 3] = [Self::Sdf, Self::Rgb, Self::Fused];

    /// Its name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sdf => "sdf",
            Self::Rgb => "rgb",
            Self::Fused => "fused",
        }
    }

    /// The kind of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Packs the three maps, in the order of [`MapKind`].
///
/// # Panics
/// If their sizes differ: a bug of the caller.
pub fn pack(maps: [&ScoreMap; 3]) -> Vec<u8> {
    assert!(maps.iter().all(|map| map.size() == maps[0].size()), "maps of one size");
    let halves = maps.into_iter().flat_map(|map| map.as_slice()).flat_map(|value| {
        // What half precision cannot hold would come back as infinite.
        f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32())).to_le_bytes()
    });
    let bytes: Vec<u8> = halves.collect();
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    encoder.write_all(&bytes).and_then(|()| encoder.finish()).expect("deflating to memory")
}

/// Takes one map of `side` x `side` pixels out of packed ones; `None` if they are not that.
pub fn unpack(packed: &[u8], side: usize, kind: MapKind) -> Option<ScoreMap> {
    let map_bytes = side.checked_mul(side)?.checked_mul(size_of::<f16>())?;
    let wanted = map_bytes.checked_mul(MapKind::ALL.len())?;
    let mut bytes = Vec::new();
    DeflateDecoder::new(packed).take(wanted as u64 + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() != wanted {
        return None;
    }
    let of_kind = &bytes[kind as usize * map_bytes..][..map_bytes];
    let values = of_kind.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect();
    Grid::new(GridSize::new(side, side), values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_come_back_to_half_precision() {
        let size = GridSize::new(7, 7);
        let map = |offset: f32| Grid::from_fn(size, |row, col| offset + row as f32 * 0.37 - col as f32 * 0.11);
        let [sdf, rgb] = [map(0.0), map(100.0)];
        let fused = map(1e9);
        let packed = pack([&sdf, &rgb, &fused]);
        for (kind, original) in [(MapKind::Sdf, &sdf), (MapKind::Rgb, &rgb)] {
            let back = unpack(&packed, 7, kind).unwrap();
            for (found, expected) in back.as_slice().iter().zip(original.as_slice()) {
                // Eleven significant bits.
                assert!((found - expected).abs() <= expected.abs() / 2048.0, "{found} {expected}");
            }
        }
        assert!(unpack(&packed, 7, MapKind::Fused).unwrap().as_slice().iter().all(|value| *value == 65504.0));
        for (packed, side) in [(&packed[..], 6), (&packed[..], 8), (&packed[..10], 7), (&b"not deflated"[..], 7)] {
            assert!(unpack(packed, side, MapKind::Sdf).is_none());
        }
        assert!(unpack(&packed, usize::MAX, MapKind::Sdf).is_none());
        assert_eq!(MapKind::of("fused"), Some(MapKind::Fused));
        assert_eq!(MapKind::of("../fused"), None);
    }
}
