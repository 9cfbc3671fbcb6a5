//! What inspecting and fitting cost on this machine, stage by stage, beside what the machine can do at most
//! (docs/performance.md).
//!
//! The stages are the product's own public functions, in the order in which an inspection calls them. A stage is
//! repeated until it took long enough to be timed. Wall time is what a line waits for; CPU time is what comparisons are
//! made of, since it hardly depends on what else the machine does.

mod machine;
mod meter;
mod plot;

use std::hint::black_box;

use serde::Serialize;
use shapeguard_core::expert_inputs::{normalised_patch_points, patch_cells_with};
use shapeguard_core::foreground::segment_with;
use shapeguard_core::fusion::{fuse_with, sample_scores};
use shapeguard_core::memory::SampleFeatures;
use shapeguard_core::patches::extract_patches;
use shapeguard_core::resample::resample_with;
use shapeguard_core::routing::descriptor;
use shapeguard_core::scoring::{
    LeaveOut, cell_residuals, dictionary, raw_scores, rebuild_features, score_maps_with, shape_neighbours,
};

use crate::detector::LoadedScan;
use crate::model::Model;
use crate::pipeline::NotJudged;
use crate::routed::RoutedInspection;

pub use machine::Machine;
pub use meter::{Cost, measure, measure_once, peak_memory_bytes};
pub use plot::{Series, log_log_svg};

/// A stage is repeated until it took so many seconds.
const SECONDS_PER_STAGE: f64 = 0.5;

/// What one stage costs.
#[derive(Clone, Debug, Serialize)]
pub struct StageCost {
    /// What is done.
    pub stage: &'static str,
    /// What it costs.
    #[serde(flatten)]
    pub cost: Cost,
    /// Multiply-adds, where matrix products are nearly all of the work.
    pub multiply_adds: Option<u64>,
}

impl StageCost {
    /// Billions of floating-point operations for each CPU second, two for a multiply-add.
    pub fn gflops_per_cpu_second(&self) -> Option<f64> {
        Some(2e-9 * self.multiply_adds? as f64 / self.cost.cpu_seconds?)
    }
}

/// What inspecting one scan costs, and how large everything is.
#[derive(Clone, Debug, Serialize)]
pub struct InspectionCost {
    /// The stages, in their order.
    pub stages: Vec<StageCost>,
    /// [`Model::inspect`] as a whole, the scan being in memory.
    pub whole: Cost,
    /// Points of the part.
    pub points: usize,
    /// Patches.
    pub patches: usize,
    /// Cells that are compared with the memory.
    pub cells: usize,
    /// SDF features in the memory.
    pub sdf_features: usize,
    /// RGB features in the memory.
    pub rgb_features: usize,
    /// How many of them were searched.
    pub rgb_features_searched: usize,
}

impl InspectionCost {
    /// Sum of all stages' multiply-adds.
    pub fn multiply_adds(&self) -> u64 {
        self.stages.iter().filter_map(|stage| stage.multiply_adds).sum()
    }
}

/// Measures the inspection of a scan, compared with the category that it is routed to.
///
/// # Errors
/// If the scan cannot be judged.
pub fn inspection_cost(model: &Model, loaded: &LoadedScan) -> Result<InspectionCost, NotJudged> {
    let RoutedInspection { detector, outcome, .. } = model.inspect(loaded, None);
    outcome?;
    let detector = detector.expect("what was judged was compared with a category");
    let (settings, experts, memory) = (detector.settings(), detector.experts(), detector.memory());
    let (quirks, everything) = (settings.reference_quirks, LeaveOut::Nothing);
    let mut stages = Vec::new();
    let mut push = |stage: &'static str, cost: Cost, multiply_adds: Option<usize>| {
        stages.push(StageCost { stage, cost, multiply_adds: multiply_adds.map(|count| count as u64) });
    };

    let (part, cost) = measure(SECONDS_PER_STAGE, || {
        segment_with(&loaded.scan, &settings.foreground, loaded.mask.as_ref(), settings.seed, quirks)
    });
    push("foreground", cost, None);
    let part = part?;
    let (sample, cost) = measure(SECONDS_PER_STAGE, || resample_with(&part, settings.image.side_px, quirks));
    push("resampling", cost, None);
    let (patches, cost) = measure(SECONDS_PER_STAGE, || extract_patches(&sample, &settings.patches));
    push("patches", cost, None);
    let patches = patches?;
    let patch_size = patches.points_per_patch;
    let per_patch = |count: Option<usize>| count.map(|count| count * patches.patches.len());

    let ((points, patch_cells), cost) = measure(SECONDS_PER_STAGE, || {
        (normalised_patch_points(&patches), patch_cells_with(&patches, &settings.patches, quirks))
    });
    push("patch inputs", cost, None);
    let (shape, cost) = measure(SECONDS_PER_STAGE, || experts.shape.encode(&points, patch_size));
    push("shape encoder", cost, per_patch(experts.shape.encode_multiply_adds(patch_size)));
    let (appearance, cost) = measure(SECONDS_PER_STAGE, || experts.appearance.describe(&sample.rgb));
    push("colour network", cost, experts.appearance.multiply_adds(sample.side()));
    let features = SampleFeatures { shape, appearance, patch_cells };
    if let Model::Routed(routed) = model {
        let (_, cost) = measure(SECONDS_PER_STAGE, || routed.router().route(&descriptor(&features)));
        push("routing", cost, None);
    }

    let ((neighbours, rebuilt), cost) = measure(SECONDS_PER_STAGE, || {
        let neighbours = shape_neighbours(&features.shape, memory, &*experts.search, &settings.memory, everything);
        let (coding, nonzeros) = (settings.memory.shape_coding, settings.memory.nonzeros);
        let rebuilt = rebuild_features(&features.shape, &memory.shape, &neighbours, coding, nonzeros);
        (neighbours, rebuilt)
    });
    push("SDF search, sparse codes", cost, None);
    let (_, cost) =
        measure(SECONDS_PER_STAGE, || experts.shape.signed_distances(&rebuilt.features, &points, patch_size));
    push("signed distances", cost, per_patch(experts.shape.distance_multiply_adds(patch_size)));

    let cells = features.used_cells();
    let (searched, cost) = measure(SECONDS_PER_STAGE, || {
        let rows = dictionary(&neighbours, memory, &settings.memory, everything);
        let appearance = &features.appearance;
        black_box(cell_residuals(
            appearance,
            &cells,
            memory,
            rows.as_deref(),
            &*experts.search,
            &settings.memory,
            everything,
        ));
        rows.map_or(memory.appearance.rows(), |rows| rows.len())
    });
    push("RGB search, sparse codes", cost, None);
    let raw = raw_scores(&features, &patches, memory, &*experts.shape, &*experts.search, &settings.memory, everything);
    let (raw, cost) = measure(SECONDS_PER_STAGE, || score_maps_with(&raw, &patches, memory, &settings.memory, quirks));
    push("maps", cost, None);
    let (_, cost) = measure(SECONDS_PER_STAGE, || {
        let maps = fuse_with(&raw, detector.alignment(), &settings.fusion, quirks);
        sample_scores(&raw, &maps, &settings.fusion)
    });
    push("fusion, scores", cost, None);

    let (_, whole) = measure(SECONDS_PER_STAGE, || model.inspect(loaded, None).outcome);
    Ok(InspectionCost {
        stages,
        whole,
        points: patches.pixels.len(),
        patches: patches.patches.len(),
        cells: cells.len(),
        sdf_features: memory.shape.rows(),
        rgb_features: memory.appearance.rows(),
        rgb_features_searched: searched,
    })
}
