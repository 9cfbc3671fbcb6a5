//! The figures of an evaluation, on cases whose results can be worked out by hand.

use std::sync::Mutex;

use shapeguard::Verdict;
use shapeguard::evaluation::{Channel, Evaluation, KindMetrics, LabelledScan, LoadFault, evaluate};
use shapeguard_core::grid::{GridSize, Mask};
use shapeguard_core::seams::Silent;
use shapeguard_data::DataError;

use crate::support::{Scene, coded_detector};

/// A test scan: kind, scene, ground truth.
type Case = (&'static str, Scene, Option<Mask>);

fn measure(cases: &[Case]) -> Evaluation {
    try_measure(cases).unwrap()
}

fn try_measure(cases: &[Case]) -> Result<Evaluation, DataError> {
    let numbered: Vec<(usize, &Case)> = cases.iter().enumerate().collect();
    evaluate(
        coded_detector(),
        &numbered,
        |(_, (_, scene, truth))| Ok(LabelledScan { loaded: scene.scan(), truth: truth.clone() }),
        |(number, _)| format!("scan {number}"),
        |(_, (kind, ..))| (*kind).to_owned(),
        |_, _, _| (),
        &Silent,
    )
}

/// A part that the detector knows scores 0.
fn known() -> Scene {
    Scene::coded(1, 1)
}

/// A part that it doesn't know scores 1 in shape, and in colour as much as this.
fn unknown(colour: u8) -> Scene {
    Scene::coded(20, colour)
}

fn channel(metrics: &KindMetrics, channel: Channel) -> (Option<f64>, Option<f64>) {
    let of = metrics.channels.iter().find(|of| of.channel == channel).unwrap();
    (of.i_auroc, of.i_f1_max)
}

#[test]
fn a_perfect_detector_scores_one_everywhere() {
    let detector = coded_detector();
    // What it marks on an unknown part is the truth, so that it can be perfect.
    let marked = detector.inspect(&unknown(2).scan()).unwrap().maps.fused;
    let peak = marked.as_slice().iter().copied().fold(0.0, f32::max);
    let background = detector.inspect(&known().scan()).unwrap().maps.fused;
    assert!(background.as_slice().iter().all(|score| *score < 0.5 * peak), "known parts are below the marks");
    let truth = marked.map(|score| *score >= 0.5 * peak);
    let good = ("good", known(), None);
    let evaluation = measure(&[good.clone(), ("dent", unknown(2), Some(truth)), good]);
    assert_eq!(channel(&evaluation.all, Channel::Fused), (Some(1.0), Some(1.0)));
    let pixels = evaluation.all.channels[2].pixels.as_ref().unwrap();
    // Every distinct score is a threshold, so there is nothing to round but the sums' last digits.
    for (name, figure) in [("P-AUROC", pixels.p_auroc), ("F1-max", pixels.f1_max)] {
        assert!((figure - 1.0).abs() < 1e-12, "{name} is {figure}");
    }
    for (limit, aupro) in evaluation.aupro_limits.iter().zip(pixels.aupro) {
        assert!((aupro - 1.0).abs() < 1e-12, "AUPRO {limit} is {aupro}");
    }
    assert_eq!((evaluation.false_reject_rate, evaluation.detection_rate), (Some(0.0), Some(1.0)));
    assert_eq!(evaluation.kinds.len(), 1);
    assert_eq!(evaluation.kinds[0].channels, evaluation.all.channels, "there is but one kind");
}

#[test]
fn figures_equal_what_a_hand_works_out() {
    // RGB scores: good 0 0 1, dent 2 2, stain 1 0. SDF scores: 1 wherever RGB is above 0.
    let cases: Vec<Case> = [
        ("good", known()),
        ("good", known()),
        ("good", unknown(1)),
        ("stain", unknown(1)),
        ("dent", unknown(2)),
        ("stain", known()),
        ("dent", unknown(2)),
    ]
    .map(|(kind, scene)| (kind, scene, None))
    .into();
    let evaluation = measure(&cases);
    let names: Vec<(&str, usize)> = evaluation.kinds.iter().map(|kind| (&*kind.kind, kind.scans)).collect();
    assert_eq!(names, [("dent", 2), ("stain", 2)]);
    let (dent, stain) = (&evaluation.kinds[0], &evaluation.kinds[1]);
    // Pairs of a defective and a good scan that are in order, ties half; the best F1 over all thresholds.
    assert_eq!(channel(dent, Channel::Rgb), (Some(1.0), Some(1.0)));
    assert_eq!(channel(dent, Channel::Sdf), (Some(5.0 / 6.0), Some(0.8)));
    assert_eq!(channel(stain, Channel::Rgb), (Some(3.5 / 6.0), Some(4.0 / 7.0)));
    assert_eq!(channel(stain, Channel::Sdf), (Some(3.5 / 6.0), Some(4.0 / 7.0)));
    assert_eq!(channel(stain, Channel::Fused), (Some(3.5 / 6.0), Some(4.0 / 7.0)));
    assert_eq!(channel(&evaluation.all, Channel::Rgb), (Some(9.5 / 12.0), Some(0.75)));
    assert_eq!(evaluation.all.scans, 4);
    // The threshold is 0.
    assert_eq!(evaluation.false_reject_rate, Some(1.0 / 3.0));
    assert_eq!((dent.detection_rate, stain.detection_rate), (Some(1.0), Some(0.5)));
    assert_eq!(evaluation.detection_rate, Some(0.75));
    let verdicts: Vec<bool> = evaluation.scans.iter().map(|s| s.verdict == Some(Verdict::Rejected)).collect();
    assert_eq!(verdicts, [false, false, true, true, true, false, true]);
    let scores = evaluation.scans[4].scores.unwrap();
    assert_eq!((scores.rgb, scores.sdf, scores.fused, scores.p_value), (2.0, 1.0, 2.0, 0.2));
    assert_eq!(evaluation.scans[4].name, "scan 4");
}

#[test]
fn a_scan_that_cannot_be_judged_is_counted_and_in_no_figure() {
    let judged: Vec<Case> =
        vec![("good", known(), None), ("dent", unknown(2), None), ("good", unknown(1), None), ("dent", known(), None)];
    let mut cases = judged.clone();
    cases.insert(1, ("good", Scene::bare_table(), None));
    cases.push(("dent", Scene::bare_table(), None));
    cases.push(("missing-part", Scene::bare_table(), None));
    let (with, without) = (measure(&cases), measure(&judged));
    assert_eq!(with.not_judged, 3);
    assert_eq!(with.all.channels, without.all.channels);
    assert_eq!((with.false_reject_rate, with.detection_rate), (without.false_reject_rate, without.detection_rate));
    assert_eq!((with.all.scans, with.all.not_judged), (2, 2));
    assert_eq!((with.kinds[0].scans, with.kinds[0].not_judged), (2, 1));
    // A kind of which nothing could be judged does not vanish.
    let missing = &with.kinds[1];
    assert_eq!((&*missing.kind, missing.scans, missing.not_judged), ("missing-part", 0, 1));
    assert_eq!((missing.detection_rate, channel(missing, Channel::Fused)), (None, (None, None)));
    let scan = &with.scans[1];
    assert_eq!((scan.verdict, scan.scores), (None, None));
    assert!(scan.not_judged.as_ref().unwrap().contains("no part found"));
}

#[test]
fn a_defect_whose_place_is_unknown_is_in_no_pixel_figure() {
    let truth = Mask::from_fn(GridSize::new(224, 224), |row, col| row.abs_diff(112) < 20 && col.abs_diff(112) < 20);
    let good = ("good", known(), None);
    let known_place = ("dent", unknown(2), Some(truth));
    let with = measure(&[good.clone(), known_place.clone(), ("stain", unknown(3), None)]);
    let without = measure(&[good.clone(), known_place]);
    assert!(with.all.channels[2].pixels.is_some());
    assert_eq!(with.all.channels[2].pixels, without.all.channels[2].pixels);
    let stain = with.kinds.iter().find(|kind| kind.kind == "stain").unwrap();
    assert_eq!(stain.channels[2].pixels, None);
    assert_eq!(stain.channels[2].i_auroc, Some(1.0));
    // A good scan has no defective pixel, whether there is a mask that says so or not.
    let empty = Some(Mask::filled(GridSize::new(224, 224), false));
    let cases = [("dent", unknown(2), Some(Mask::filled(GridSize::new(224, 224), true)))];
    let of_good = |truth: Option<Mask>| measure(&[&[("good", known(), truth)][..], &cases[..]].concat()).all;
    assert_eq!(of_good(empty), of_good(None));
}

#[test]
fn without_good_or_without_defective_scans_there_are_no_comparisons() {
    let only_bad = measure(&[("dent", unknown(2), None), ("dent", unknown(1), None)]);
    assert_eq!(channel(&only_bad.all, Channel::Fused), (None, None));
    assert_eq!((only_bad.false_reject_rate, only_bad.detection_rate), (None, Some(1.0)));
    let only_good = measure(&[("good", known(), None)]);
    assert_eq!(channel(&only_good.all, Channel::Fused), (None, None));
    assert_eq!((only_good.false_reject_rate, only_good.detection_rate), (Some(0.0), None));
    assert!(only_good.kinds.is_empty() && only_good.all.channels[0].pixels.is_none());
    let nothing = measure(&[]);
    assert_eq!((nothing.scans.len(), nothing.not_judged, nothing.all.scans), (0, 0, 0));
}

#[test]
fn a_truth_of_another_size_or_that_cannot_be_read_ends_the_evaluation() {
    let error = try_measure(&[("dent", unknown(1), Some(Mask::filled(GridSize::new(100, 224), true)))]).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("scan 0") && message.contains("100 rows x 224 columns"), "{message}");
    let error = with_a_fault(LoadFault::Truth).unwrap_err();
    assert!(error.to_string().contains("000.tiff"), "{error}");
}

#[test]
fn an_unreadable_scan_is_counted_as_not_judged_and_the_others_are_measured() {
    let evaluation = with_a_fault(LoadFault::Scan).unwrap();
    assert_eq!((evaluation.not_judged, evaluation.scans.len()), (1, 2));
    let [unreadable, other] = &evaluation.scans[..] else { panic!("two scans") };
    assert!(unreadable.not_judged.as_ref().is_some_and(|reason| reason.contains("000.tiff")));
    assert_eq!((unreadable.verdict, other.verdict), (None, Some(Verdict::Good)));
    assert_eq!(evaluation.false_reject_rate, Some(0.0));
}

/// Two good scans, the first of which meets a fault.
fn with_a_fault(fault: fn(DataError) -> LoadFault) -> Result<Evaluation, DataError> {
    evaluate(
        coded_detector(),
        &["000.tiff", "001.tiff"],
        |path| match *path {
            "000.tiff" => Err(fault(DataError::EmptyFolder { path: path.into() })),
            _ => Ok(LabelledScan { loaded: known().scan(), truth: None }),
        },
        |path| (*path).to_owned(),
        |_| "good".into(),
        |_, _, _| (),
        &Silent,
    )
}

#[test]
fn every_judged_scan_is_watched_with_its_own_number() {
    let cases = [known(), Scene::bare_table(), unknown(3), known()];
    let seen = Mutex::new(Vec::new());
    evaluate(
        coded_detector(),
        &cases,
        |scene| Ok(LabelledScan { loaded: scene.scan(), truth: None }),
        |_| String::new(),
        |_| "good".into(),
        |number, _, inspection| seen.lock().unwrap().push((number, inspection.scores.fused as u8)),
        &Silent,
    )
    .unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, [(0, 0), (2, 3), (3, 0)]);
}

#[test]
fn the_json_keeps_its_keys() {
    let truth = Mask::from_fn(GridSize::new(224, 224), |row, _| row == 100);
    let evaluation = measure(&[("good", known(), None), ("dent", unknown(2), Some(truth))]);
    let json = serde_json::to_value(&evaluation).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&json),
        "all aupro_limits detection_rate experts false_reject_rate kinds mean_stage_seconds name not_judged preset scans threshold threshold_basis wished_false_reject_rate"
    );
    assert_eq!(keys(&json["all"]), "channels detection_rate kind not_judged scans");
    assert_eq!(keys(&json["all"]["channels"][0]), "channel i_auroc i_f1_max pixels");
    assert_eq!(
        keys(&json["all"]["channels"][0]["pixels"]),
        "aupro aupro_100_thresholds curve_fpr curve_pro f1_max p_auroc"
    );
    assert_eq!(keys(&json["scans"][0]), "kind name not_judged scores verdict");
    assert_eq!(json["scans"][1]["verdict"], "rejected");
    assert_eq!(json["all"]["channels"][2]["channel"], "fused");
}
