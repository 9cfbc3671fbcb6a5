//! The baselines as a whole, on samples that are made here.

use super::*;
use shapeguard_core::grid::{Grid, GridSize, Mask};
use shapeguard_core::sample::OrganizedCloud;
use shapeguard_core::seams::IMAGE_SIDE;
use shapeguard_experts::appearance::WideResNet50;

const SIZE: GridSize = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);

/// A bumpy, patterned disc of 28 pixels' radius about the centre, with or without a dent and a stain.
fn sample(number: usize, defective: bool) -> Sample {
    let inside = |row: usize, col: usize| (row as f32 - 112.0).hypot(col as f32 - 112.0) < 28.0;
    let near = |row: usize, col: usize| (row as f32 - 100.0).hypot(col as f32 - 120.0) < 7.0;
    let (phase, shade) = (number as f32 * 0.3, 1.0 + 0.02 * number as f32);
    let points_m = Grid::from_fn(SIZE, |row, col| {
        let (x, y) = (col as f32 * 0.0005, row as f32 * 0.0005);
        let dent = if defective && near(row, col) { 0.003 } else { 0.0 };
        [x, y, 0.4 + 0.0005 * (300.0 * x + phase).sin() * (250.0 * y).cos() + dent]
    });
    let rgb = Grid::from_fn(SIZE, |row, col| {
        let light = shade * (0.5 + 0.2 * (col as f32 * 0.4 + phase).sin());
        match (inside(row, col), defective && near(row, col)) {
            (false, _) => [0.0; 3],
            (true, true) => [0.9, 0.05, 0.05],
            (true, false) => [light, 0.8 * light, 0.4],
        }
    });
    Sample {
        cloud: OrganizedCloud::from_parts(points_m, Mask::from_fn(SIZE, inside)),
        rgb,
        square_side: IMAGE_SIDE,
        source_size: SIZE,
        offset: (0, 0),
    }
}

fn good(count: usize) -> Vec<Sample> {
    (0..count).map(|number| sample(number, false)).collect()
}

fn backbone() -> Arc<Backbone> {
    Arc::new(Backbone::embedded())
}

#[test]
fn a_defect_stands_out_in_every_baseline() {
    let backbone = backbone();
    for baseline in Baseline::ALL {
        let fitted = baseline.fit(&good(6), &backbone, &BaselineSettings::default()).unwrap();
        assert_eq!(fitted.baseline(), baseline);
        let (healthy, defective) = (fitted.score(&sample(2, false)), fitted.score(&sample(2, true)));
        assert!(defective.score > 1.5 * healthy.score, "{baseline:?}: {} {}", defective.score, healthy.score);
        let at = |map: &ScoreMap| (0..SIZE.area()).max_by(|a, b| map.as_slice()[*a].total_cmp(&map.as_slice()[*b]));
        let peak = at(&defective.map).unwrap();
        let away = ((peak / IMAGE_SIDE) as f32 - 100.0).hypot((peak % IMAGE_SIDE) as f32 - 120.0);
        assert!(away < 16.0, "{baseline:?}: the peak is {away} pixels from the defect");
    }
}

#[test]
fn a_memorised_sample_scores_0_in_a_full_bank() {
    let mut settings = BaselineSettings::default();
    settings.bank.coreset_share = 1.0;
    for baseline in [Baseline::PatchCore, Baseline::BtfFpfh, Baseline::Btf] {
        let fitted = baseline.fit(&good(2), &backbone(), &settings).unwrap();
        let scores = fitted.score(&sample(1, false));
        assert_eq!(scores.score, 0.0, "{baseline:?}");
        assert!(scores.map.as_slice().iter().all(|score| *score == 0.0), "{baseline:?}");
    }
}

#[test]
fn background_scores_0_beyond_the_blur() {
    // The disc ends at 28 pixels, its cells at most 8 further (on the diagonal 12), interpolation 8 and the blur 16.
    for baseline in Baseline::ALL {
        let fitted = baseline.fit(&good(3), &backbone(), &BaselineSettings::default()).unwrap();
        let map = fitted.score(&sample(7, true)).map;
        for (row, col) in (0..IMAGE_SIDE).flat_map(|row| (0..IMAGE_SIDE).map(move |col| (row, col))) {
            let away = (row as f32 - 112.0).hypot(col as f32 - 112.0);
            assert!(away < 70.0 || map[(row, col)] == 0.0, "{baseline:?} at {row}, {col}: {}", map[(row, col)]);
        }
        assert!(map[(100, 120)] > 0.0);
    }
}

#[test]
fn one_thread_and_many_give_the_same_bytes() {
    let backbone = backbone();
    for baseline in Baseline::ALL {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let fitted = baseline.fit(&good(3), &backbone, &BaselineSettings::default()).unwrap();
                (fitted.memory_size(), fitted.score(&sample(4, true)))
            })
        };
        assert_eq!(run(1), run(4), "{baseline:?}");
    }
}

#[test]
fn too_few_samples_and_senseless_settings_are_refused() {
    let settings = BaselineSettings::default();
    let error = Baseline::Padim.fit(&good(1), &backbone(), &settings).err().unwrap();
    assert_eq!(error.to_string(), "PaDiM needs at least 2 good samples, found 1; give more");
    let error = Baseline::PatchCore.fit(&[], &backbone(), &settings).err().unwrap();
    assert_eq!(error.to_string(), "PatchCore needs at least 1 good samples, found 0; give more");
    let mut settings = settings;
    settings.bank.coreset_share = f64::NAN;
    let error = Baseline::Btf.fit(&good(1), &backbone(), &settings).err().unwrap();
    assert_eq!(error.to_string(), "bank.coreset_share is NaN, expected a share above 0 and up to 1; correct it");
}

#[test]
fn wide_resnet_gives_the_papers_layers() {
    let backbone = Backbone::WideResNet50(WideResNet50::random_with_layer3(0));
    assert_eq!(backbone.name(), "random 0");
    let (sample, settings) = (sample(0, false), BaselineSettings::default());
    let levels = backbone.levels(&sample.rgb);
    let shapes: Vec<_> = levels.iter().map(|level| (level.side, level.features.cols())).collect();
    assert_eq!(shapes, [(56, 256), (28, 512), (14, 1024)]);
    // PatchCore: layers 2 and 3 on layer 2's grid, layer 2's part as it is but for the local average.
    let colour = patchcore::features(&sample, &backbone);
    assert_eq!((colour.rows(), colour.cols()), (28 * 28, 512 + 1024));
    assert_eq!(colour.row(100)[..512], *cells::local_average(&levels[1]).features.row(100));
    // PaDiM: 550 of all channels on layer 1's grid, each as it is at the position's pixel of its layer.
    let chosen = padim::features(&sample, &backbone, &settings.padim, settings.seed);
    assert_eq!((chosen.rows(), chosen.cols()), (56 * 56, 550));
    let (row, col) = (31, 22);
    let all: Vec<f32> = [(0, 1), (1, 2), (2, 4)]
        .iter()
        .flat_map(|(level, scale)| levels[*level].features.row(row / scale * (56 / scale) + col / scale).to_vec())
        .collect();
    let mut rest = all.iter();
    assert!(
        chosen.row(row * 56 + col).iter().all(|value| rest.any(|other| other == value)),
        "in the order of channels"
    );
}

#[test]
fn a_file_without_weights_is_refused() {
    assert!(Backbone::wide_resnet(b"no weights", "none").is_err());
}
