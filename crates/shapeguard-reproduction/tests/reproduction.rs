//! A reproduction on a few simulated scans: its figures are those of `fit` and `evaluate`, it goes on where it was
//! interrupted, and its pages hold what was measured.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use shapeguard::evaluation::{Channel, ChannelMetrics, LabelledScan, LoadFault, evaluate};
use shapeguard::experts::Experts;
use shapeguard::{Detector, FitInputs, LoadedScan};
use shapeguard_baselines::Backbone;
use shapeguard_core::seams::Silent;
use shapeguard_core::settings::{Coding, Preset, Settings};
use shapeguard_data::simulator::Suite;
use shapeguard_data::{DataError, Dataset, ReadOptions, SampleEntry, ScanSource, TestEntry, read_scan, read_truth};
use shapeguard_reproduction::category::{CategoryJob, CategoryResult};
use shapeguard_reproduction::estimate::estimate;
use shapeguard_reproduction::options::{Options, Part};
use shapeguard_reproduction::results::{MARKER, fingerprint};
use shapeguard_reproduction::sheets::Sheet;
use shapeguard_reproduction::study::Laboratory;
use shapeguard_reproduction::tables::{Made, Reproduction, RowKind};
use shapeguard_reproduction::variant::{CODINGS, CORESET, FULL_BANK, SHAPE_GUIDED, Variant};
use shapeguard_reproduction::{ReproductionError, Results};
use tempfile::TempDir;

/// What is measured once for all tests.
struct Fixture {
    _folder: TempDir,
    root: PathBuf,
    dataset: Dataset,
    settings: Settings,
    experts: Experts,
    options: Options,
    result: CategoryResult,
    sheets: Vec<Option<Sheet>>,
}

fn read(source: &ScanSource) -> Result<LoadedScan, DataError> {
    Ok(LoadedScan { scan: read_scan(source, &ReadOptions::default())?, mask: None })
}

fn settings() -> Settings {
    let mut settings = Settings::preset(Preset::Paper);
    settings.experts.shape = "compact".into();
    // Attainable with three good scans; and alignment by a choice of them.
    settings.threshold.false_reject_rate = 0.4;
    settings.fusion.alignment_samples = 2;
    settings
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut suite = Suite::demo();
        (suite.train, suite.validation, suite.test_good, suite.test_defective) = (3, 0, 2, 3);
        let root = suite.write(folder.path(), false, &Silent).unwrap().remove(0);
        let dataset = Dataset::open(&root).unwrap();
        let settings = settings();
        let experts = Experts::from_settings(&settings.experts).unwrap();
        let options = Options { parts: Part::ALL.into(), sweep_scans: None, timing_scans: 1 };
        let backbone = Arc::new(Backbone::embedded());
        let also = [(with_name(&settings, "other"), experts.clone())];
        let job = CategoryJob {
            laboratory: Laboratory { read: &read, experts: &experts, progress: &Silent },
            dataset: &dataset,
            settings: &settings,
            options: &options,
            backbone: Some(&backbone),
            also: &also,
            fingerprint: fingerprint(&root, &dataset, &settings, &experts, &also, Some("x"), &options),
        };
        let (result, sheets) = job.run().unwrap();
        Fixture { _folder: folder, root, dataset, settings, experts, options, result, sheets }
    })
}

fn with_name(settings: &Settings, name: &str) -> Settings {
    Settings { preset: name.into(), ..settings.clone() }
}

/// The product's own way with these settings: figures of RGB, SDF, fused.
fn by_fit_and_evaluate(change: impl Fn(&mut Settings)) -> Vec<ChannelMetrics> {
    let fixture = fixture();
    let mut settings = fixture.settings.clone();
    change(&mut settings);
    let dataset = &fixture.dataset;
    let inputs = FitInputs { name: "x", train: &dataset.train, validation: &dataset.validation, skip_unusable: false };
    let load = |entry: &SampleEntry| read(&entry.source);
    let name = |entry: &SampleEntry| entry.name.clone();
    let rule = settings.reference_quirks.into();
    let detector = Detector::fit(inputs, load, name, settings, fixture.experts.clone(), &Silent).unwrap();
    let load = |test: &TestEntry| -> Result<LabelledScan, LoadFault> {
        let loaded = read(&test.sample.source)?;
        let truth = test.truth.as_deref().map(|path| read_truth(path, loaded.scan.size(), rule).unwrap());
        Ok(LabelledScan { loaded, truth })
    };
    let kind = |test: &TestEntry| test.defect.clone();
    evaluate(&detector, &dataset.test, load, |test| test.sample.name.clone(), kind, |_, _, _| {}, &Silent)
        .unwrap()
        .all
        .channels
}

#[track_caller]
fn same(result: &CategoryResult, variant: &Variant, expected: &[ChannelMetrics]) {
    for (channel, metrics) in [Channel::Rgb, Channel::Sdf, Channel::Fused].into_iter().zip(expected) {
        if !variant.channels.contains(&channel) {
            continue;
        }
        let measures = result.of(variant, channel).unwrap();
        let pixels = metrics.pixels.as_ref().unwrap();
        assert_eq!(measures.i_auroc, metrics.i_auroc, "{} {channel:?}", variant.name);
        assert_eq!(measures.p_auroc, Some(pixels.p_auroc), "{} {channel:?}", variant.name);
        assert_eq!(measures.aupro, Some(pixels.aupro), "{} {channel:?}", variant.name);
        assert_eq!(measures.aupro_100, Some(pixels.aupro_100_thresholds), "{} {channel:?}", variant.name);
    }
}

#[test]
fn the_paper_s_way_scores_as_fit_and_evaluate_do() {
    let paper = by_fit_and_evaluate(|_| {});
    same(&fixture().result, &SHAPE_GUIDED, &paper);
    let also = &fixture().result.also["other"];
    assert_eq!(also.i_auroc[2], paper[2].i_auroc);
    assert_eq!(also.aupro[1], paper[1].pixels.as_ref().map(|pixels| pixels.aupro));
}

#[test]
fn every_ablation_is_a_setting_with_the_same_figures() {
    let result = &fixture().result;
    same(result, &FULL_BANK, &by_fit_and_evaluate(|s| s.memory.shape_guided = false));
    let coreset = by_fit_and_evaluate(|s| {
        s.memory.shape_guided = false;
        s.memory.appearance_share = 0.1;
    });
    same(result, &CORESET, &coreset);
    let codings = [
        (Coding::NearestNeighbour, Coding::NearestNeighbour),
        (Coding::NearestNeighbour, Coding::Sparse),
        (Coding::Sparse, Coding::NearestNeighbour),
    ];
    for (variant, (rgb, sdf)) in CODINGS.iter().zip(codings) {
        assert_eq!((variant.rgb, variant.sdf), (rgb, sdf));
        let by_settings = by_fit_and_evaluate(|s| {
            s.memory.appearance_coding = rgb;
            s.memory.shape_coding = sdf;
        });
        same(result, variant, &by_settings);
    }
    let k_250 = by_fit_and_evaluate(|s| s.patches.points_per_patch = 250);
    assert_eq!(result.sweeps["k-250"].aupro, k_250[2].pixels.as_ref().map(|pixels| pixels.aupro));
    assert_eq!(result.sweeps["k-250"].i_auroc, k_250[2].i_auroc);
    assert_ne!(result.sweeps["k-250"].aupro, result.sweeps["k-1000"].aupro);
}

#[test]
fn the_reference_s_deviations_are_those_of_fit_and_evaluate_too() {
    let fixture = fixture();
    let settings = fixture.settings.clone().with_reference_quirks();
    let options = Options { parts: vec![Part::FullBank], ..fixture.options.clone() };
    let job = CategoryJob {
        laboratory: Laboratory { read: &read, experts: &fixture.experts, progress: &Silent },
        dataset: &fixture.dataset,
        settings: &settings,
        options: &options,
        backbone: None,
        also: &[],
        fingerprint: String::new(),
    };
    let (result, _) = job.run().unwrap();
    let quirks = by_fit_and_evaluate(|s| *s = s.clone().with_reference_quirks());
    same(&result, &SHAPE_GUIDED, &quirks);
    assert_ne!(result.of(&SHAPE_GUIDED, Channel::Fused), fixture.result.of(&SHAPE_GUIDED, Channel::Fused));
    let full_bank = by_fit_and_evaluate(|s| {
        *s = s.clone().with_reference_quirks();
        s.memory.shape_guided = false;
    });
    same(&result, &FULL_BANK, &full_bank);
}

#[test]
fn sizes_and_seconds_are_those_of_the_banks() {
    let result = &fixture().result;
    let sizes = &result.sizes;
    assert_eq!((sizes.samples, sizes.all_cells), (3, 3 * 784));
    assert_eq!(sizes.searched["full-bank"], sizes.appearance as f64);
    assert_eq!(sizes.searched["coreset"], (sizes.appearance as f64 * 0.1).round());
    assert!(sizes.searched["shape-guided"] <= sizes.appearance as f64 && sizes.searched["shape-guided"] > 100.0);
    assert_eq!(result.seconds.keys().collect::<Vec<_>>(), ["coreset", "full-bank", "shape-guided"]);
    assert!(result.seconds.values().all(|seconds| *seconds > 0.0) && result.mean_patches.unwrap() > 50.0);
    assert_eq!(result.baselines.keys().collect::<Vec<_>>(), ["BTF (FPFH)", "BTF (RGB + FPFH)", "PaDiM", "PatchCore"]);
    assert_eq!((result.scans.len(), fixture().sheets.iter().flatten().count()), (5, 5));
}

#[test]
fn sweeps_on_fewer_scans_have_intervals() {
    let fixture = fixture();
    let options = Options { parts: vec![Part::Coding], sweep_scans: Some(3), ..fixture.options.clone() };
    let job = CategoryJob {
        laboratory: Laboratory { read: &read, experts: &fixture.experts, progress: &Silent },
        dataset: &fixture.dataset,
        settings: &fixture.settings,
        options: &options,
        backbone: None,
        also: &[],
        fingerprint: String::new(),
    };
    let (result, _) = job.run().unwrap();
    let sweep = &result.sweeps[CODINGS[0].name];
    assert!(sweep.good + sweep.defective < fixture.dataset.test.len());
    assert!(sweep.resampled.iter().all(|resampled| resampled.aupro_001.is_some()));
    assert_eq!(result.sweeps.len(), 4, "Table 4 was not wanted: {:?}", result.sweeps.keys());
    assert!(result.baselines.is_empty() && result.seconds.is_empty() && result.of(&FULL_BANK, Channel::Rgb).is_none());
    // The paper's own way is measured on all scans all the same, and its figures do not depend on what else is.
    assert_eq!(result.of(&SHAPE_GUIDED, Channel::Fused), fixture.result.of(&SHAPE_GUIDED, Channel::Fused));
}

fn reproduction(result: CategoryResult) -> Reproduction {
    let fixture = fixture();
    let made = Made {
        dataset: "data <set>".into(),
        shape_expert: "compact".into(),
        settings_toml: "seed = 0\n".into(),
        reference_quirks: false,
    };
    Reproduction::new(made, vec![result], &fixture.settings, &fixture.experts, fixture.options.clone())
}

#[test]
fn results_are_kept_and_belong_to_their_settings() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let results = Results::open(&out).unwrap();
    let mut kept = fixture.result.clone();
    let name = kept.name.clone();
    let print = kept.fingerprint.clone();
    assert!(results.load(&name, &print).unwrap().is_none());
    results.save(&mut kept, &fixture.sheets).unwrap();
    let again = Results::open(&out).unwrap().load(&name, &print).unwrap().unwrap();
    assert_eq!(again, kept, "numbers come back to the last bit");
    assert!(!kept.pictures.is_empty() && kept.pictures.iter().all(|picture| out.join(&picture.file).is_file()));

    let other = results.load(&name, "other").unwrap_err();
    assert!(
        matches!(other, ReproductionError::OtherResults { .. }) && other.to_string().contains("--force"),
        "{other}"
    );
    std::fs::write(out.join("categories").join(format!("{name}.json")), "{").unwrap();
    assert!(matches!(results.load(&name, &print), Err(ReproductionError::OtherResults { .. })));

    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("mine.txt"), "mine").unwrap();
    let refused = Results::open(&foreign).unwrap_err().to_string();
    assert!(refused.contains(MARKER) && refused.contains("--out"), "{refused}");
}

#[test]
fn what_figures_depend_on_is_in_their_fingerprint() {
    let fixture = fixture();
    let of = |settings: &Settings, options: &Options, backbone: Option<&str>| {
        fingerprint(&fixture.root, &fixture.dataset, settings, &fixture.experts, &[], backbone, options)
    };
    let base = of(&fixture.settings, &fixture.options, None);
    assert_eq!(base, of(&fixture.settings, &fixture.options, None));
    let mut settings = fixture.settings.clone();
    settings.seed = 1;
    let fewer = Options { sweep_scans: Some(2), ..fixture.options.clone() };
    let others = [
        of(&settings, &fixture.options, None),
        of(&fixture.settings, &fewer, None),
        of(&fixture.settings, &fixture.options, Some("another network")),
    ];
    assert!(others.iter().all(|other| *other != base));
}

#[test]
fn the_pages_hold_published_and_own_figures_side_by_side() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let mut result = fixture.result.clone();
    let results = Results::open(folder.path()).unwrap();
    results.save(&mut result, &fixture.sheets).unwrap();
    let reproduction = reproduction(result);
    reproduction.write(results.folder()).unwrap();
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (markdown, html) = (text("reproduction.md"), text("reproduction.html"));

    let ids: Vec<&str> = reproduction.tables.iter().map(|table| table.id).collect();
    assert_eq!(ids, ["table-1", "table-2", "figure-6", "table-3", "table-4", "table-5", "table-6", "fired"]);
    for table in &reproduction.tables {
        assert!(table.rows.iter().all(|row| row.cells.len() + 1 == table.header.len()), "{}", table.id);
        assert!(table.rows.iter().any(|row| row.kind == RowKind::Ours), "{}", table.id);
        assert!(markdown.contains(&table.title) && html.contains(&table.title));
    }
    // Table 1: the published mean of the method, and below it ours.
    let of = |name: &str| -> Vec<_> {
        reproduction.tables[0]
            .rows
            .iter()
            .filter(|row| row.name == name)
            .map(|row| (row.kind, row.cells.last().unwrap().as_str()))
            .collect()
    };
    let ours = fixture.result.of(&SHAPE_GUIDED, Channel::Fused).unwrap().i_auroc.unwrap();
    assert_eq!(of("Shape-Guided"), [(RowKind::Published, "0.947"), (RowKind::Ours, format!("{ours:.3}").as_str())]);
    assert_eq!(of("AST (RGB + depth)"), [(RowKind::Published, "0.937")]);
    assert!(markdown.contains("| PatchCore | **ours** |") && markdown.contains("presumed"));
    assert!(reproduction.warnings[0].contains("not the categories and scans of MVTec 3D-AD"));
    assert!(html.contains("data &lt;set&gt;") && !html.contains("data <set>"), "names are escaped");
    let pictures = html.matches("<img ").count();
    assert_eq!(pictures, reproduction.categories[0].pictures.len());
    for plot in ["figures/aupro-limits.svg", "figures/scores.svg"] {
        assert!(text(plot).starts_with("<svg") && markdown.contains(plot));
    }
    let json: serde_json::Value = serde_json::from_str(&text("reproduction.json")).unwrap();
    assert_eq!(json["categories"][0]["name"], fixture.result.name.as_str());
    assert_eq!(json["doubts"].as_array().unwrap().len(), 4);
}

#[test]
fn the_estimate_counts_what_is_wanted() {
    let fixture = fixture();
    let laboratory = Laboratory { read: &read, experts: &fixture.experts, progress: &Silent };
    let of = |parts: &[Part]| {
        let options = Options { parts: parts.into(), ..fixture.options.clone() };
        estimate(&laboratory, &[&fixture.dataset], &fixture.settings, &options, None, &[]).unwrap()
    };
    let (least, most) = (of(&[]), of(&[Part::PointsPerPatch, Part::Coding, Part::FullBank]));
    // Training and test scans once, and once more for each of three numbers of points.
    assert_eq!((least.scans, most.scans), (8, 4 * 8));
    assert!(least.cpu_seconds > 0.0 && most.bytes >= least.bytes);
}

#[test]
fn a_category_without_defects_is_refused() {
    let fixture = fixture();
    let mut dataset = fixture.dataset.clone();
    dataset.test.retain(|test| test.defect == "good");
    let error = shapeguard_reproduction::category::check(&dataset).unwrap_err().to_string();
    assert!(error.contains("defective test scans") && error.contains("found 0"), "{error}");
}

#[test]
fn a_training_scan_that_cannot_be_used_is_named() {
    let fixture = fixture();
    let mut dataset = fixture.dataset.clone();
    dataset.train[1].source.cloud = Path::new("missing.tiff").into();
    let laboratory = Laboratory { read: &read, experts: &fixture.experts, progress: &Silent };
    let error = laboratory.fit(&dataset, &fixture.settings, &[SHAPE_GUIDED]).unwrap_err().to_string();
    assert!(error.contains("missing.tiff") && error.contains(&dataset.name), "{error}");
}
