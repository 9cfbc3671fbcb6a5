//! The report of `shapeguard bench` as Markdown.

use std::fmt::Write;

use shapeguard::bench::Cost;
use shapeguard_core::seams::IMAGE_SIDE;

use super::growth::GrowthCost;
use super::{PresetCost, Report};
use crate::output::{bytes, counted};

/// The report as Markdown.
pub(super) fn table(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |row: String| writeln!(text, "{row}").expect("writing to a string cannot fail");
    let machine = &report.machine;
    let peak = machine.fma_gflops_per_cpu_second;
    line(format!("{}, {}, {}", machine.platform, machine.vector_instructions, counted(machine.threads, "thread")));
    line(format!(
        "limits: {peak:.0} GFLOP per CPU second ({:.0} GFLOP/s with all threads); memory read at {:.1} GB/s by one thread, {:.1} by all",
        machine.fma_gflops_all_threads, machine.read_gb_per_second, machine.read_gb_per_second_all_threads
    ));
    if !report.is_on_cpu {
        line(format!("experts and bank search on {}", report.device));
    }
    for preset in &report.presets {
        preset_lines(preset, report.is_on_cpu, peak, &mut line);
    }
    if let Some(metrics) = &report.metrics {
        line(format!(
            "\nall metrics of {} maps of {IMAGE_SIDE} x {IMAGE_SIDE}: {} CPU s, {} at most (the maps included)",
            metrics.maps,
            or_dash(metrics.cost.cpu_seconds, |seconds| format!("{seconds:.2}")),
            or_dash(metrics.cost.peak_memory_bytes, bytes)
        ));
    }
    if !report.growth.is_empty() {
        growth_lines(&report.growth, &mut line);
    }
    text
}

/// The costs of one preset; without a share of the processor's limit, `peak`, where something else computes.
fn preset_lines(preset: &PresetCost, is_on_cpu: bool, peak: f64, line: &mut impl FnMut(String)) {
    let inspection = &preset.inspection;
    line(format!(
        "\nPreset `{}` ({} shape expert, {}), scans of {}, {} in the memory\n",
        preset.preset, preset.shape_expert, preset.appearance_expert, preset.scan_size, preset.good_scans
    ));
    line("| stage | wall ms | CPU ms | GMAC | GFLOP per CPU s | of the limit | peak memory |\n|---|---|---|---|---|---|---|".into());
    for stage in &inspection.stages {
        let rate = stage.gflops_per_cpu_second().filter(|_| is_on_cpu);
        line(row(stage.stage, &stage.cost, stage.multiply_adds, rate, peak));
    }
    let in_all = inspection.multiply_adds();
    let seconds = inspection.whole.cpu_seconds.filter(|_| is_on_cpu);
    let rate = seconds.map(|seconds| 2e-9 * in_all as f64 / seconds);
    line(row("**inspection in all**", &inspection.whole, Some(in_all), rate, peak));
    line(row("reading the files", &preset.reading, None, None, peak));
    line(row("**files to verdict**", &preset.files_to_verdict, None, None, peak));
    if let Some(fit) = &preset.fit {
        line(row(&format!("fit to {}", counted(preset.good_scans, "scan")), fit, None, None, peak));
    }
    line(format!(
        "\n{} points, {} patches, {} cells; memory of {} SDF and {} RGB features, {} of them searched{}",
        inspection.points,
        inspection.patches,
        inspection.cells,
        inspection.sdf_features,
        inspection.rgb_features,
        inspection.rgb_features_searched,
        preset.model_bytes.map_or_else(String::new, |count| format!("; model file of {}", bytes(count)))
    ));
    let stream = &preset.stream;
    line(format!(
        "stream of {}: {:.2} a second on {}, {:.2} a second one after the other on one thread: {:.2} times as many",
        counted(stream.scans, "scan"),
        stream.stream_scans_per_second,
        counted(stream.threads, "thread"),
        stream.one_thread_scans_per_second,
        stream.ratio
    ));
}

/// One line for each variant.
fn growth_lines(rows: &[GrowthCost], line: &mut impl FnMut(String)) {
    line("\n| preset | good scans | image side | K | SDF / RGB features | fit CPU s | fit memory | inspect CPU ms | inspect memory |\n|---|---|---|---|---|---|---|---|---|".into());
    for growth in rows {
        line(format!(
            "| {} | {} | {} | {} | {} / {} | {} | {} | {} | {} |",
            growth.preset,
            growth.good_scans,
            growth.image_side_px,
            growth.points_per_patch,
            growth.sdf_features,
            growth.rgb_features,
            or_dash(growth.fit.cpu_seconds, |seconds| format!("{seconds:.2}")),
            or_dash(growth.fit.peak_memory_bytes, bytes),
            or_dash(growth.inspect.cpu_seconds, |seconds| format!("{:.1}", 1e3 * seconds)),
            or_dash(growth.inspect.peak_memory_bytes, bytes)
        ));
    }
}

/// What the system tells, or a dash.
fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

fn row(name: &str, cost: &Cost, multiply_adds: Option<u64>, rate: Option<f64>, peak: f64) -> String {
    let milliseconds = |seconds| or_dash(seconds, |s: f64| format!("{:.2}", 1e3 * s));
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} |",
        milliseconds(Some(cost.wall_seconds)),
        milliseconds(cost.cpu_seconds),
        multiply_adds.map_or_else(String::new, |count| format!("{:.3}", 1e-9 * count as f64)),
        rate.map_or_else(String::new, |rate| format!("{rate:.1}")),
        rate.map_or_else(String::new, |rate| format!("{:.0} %", 100.0 * rate / peak)),
        or_dash(cost.peak_memory_bytes, bytes)
    )
}
