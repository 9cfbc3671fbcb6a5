//! One model for several categories, with experts that can be worked out by hand.

use std::sync::{Arc, OnceLock};

use shapeguard::evaluation::routed::{RoutedSummary, evaluate_category, route_strangers};
use shapeguard::evaluation::{LabelledScan, evaluate};
use shapeguard::experts::Experts;
use shapeguard::outputs::{RecordVerdict, ScanRecord};
use shapeguard::routed::RoutedError;
use shapeguard::{Detector, FitInputs, FittedCategory, Model, NotJudged, RoutedDetector, Verdict};
use shapeguard_core::grid::Grid;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::routing::{RoutingError, UNKNOWN_FROM, descriptor};
use shapeguard_core::seams::{AppearanceExpert, CELL_COUNT, Silent};
use shapeguard_core::settings::{SampleScoring, Settings};

use crate::support::{Scene, bits, seeing_experts, settings, with_threads};

/// Colours of the two categories, and of a part that no model here knows.
pub const PLUM: [u8; 3] = [120, 60, 110];
pub const LEMON: [u8; 3] = [200, 190, 60];
const STRANGER: [u8; 3] = [40, 130, 200];

/// A good part of this colour, which varies a little.
pub fn part(colour: [u8; 3], number: usize) -> Scene {
    let shade = |channel: usize| colour[channel] - 8 + ((number * (5 + 2 * channel) + channel) % 17) as u8;
    Scene { colour: [shade(0), shade(1), shade(2)], ..Scene::rippled(number as f32 * 0.8) }
}

/// Good parts with these numbers.
pub fn parts(colour: [u8; 3], numbers: std::ops::Range<usize>) -> Vec<Scene> {
    numbers.map(|number| part(colour, number)).collect()
}

pub fn fit_category(name: &str, train: &[Scene], settings: Settings, experts: Experts) -> FittedCategory {
    let inputs = FitInputs { name, train, validation: &train[..1], skip_unusable: false };
    Detector::fit_category(inputs, |scene| Ok(scene.scan()), |_| "a scene".into(), settings, experts, &Silent).unwrap()
}

/// Settings by which one expert alone can reject a part.
fn settings_of_maps() -> Settings {
    let mut settings = settings();
    settings.fusion.sample_score = SampleScoring::FusedTop;
    settings
}

fn fitted(name: &str, colour: [u8; 3]) -> FittedCategory {
    fit_category(name, &parts(colour, 0..10), settings_of_maps(), seeing_experts())
}

/// A model that knows plums and lemons.
fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL
        .get_or_init(|| Model::Routed(RoutedDetector::new(vec![fitted("plum", PLUM), fitted("lemon", LEMON)]).unwrap()))
}

fn routed() -> &'static RoutedDetector {
    let Model::Routed(routed) = model() else { panic!("it knows two categories") };
    routed
}

#[test]
fn a_scan_is_compared_with_its_own_category() {
    let scenes = [part(PLUM, 21), part(LEMON, 22), Scene { bump_m: 0.003, ..part(LEMON, 23) }];
    for (scene, category) in scenes.iter().zip([0, 1, 1]) {
        let found = model().inspect(&scene.scan(), None);
        let route = found.route.unwrap();
        assert!(route.is_known && route.nearest == category && route.confidence > 0.5, "{route:?}");
        let detector = &routed().detectors()[category];
        assert_eq!(found.detector.unwrap().provenance(), detector.provenance());
        // Just as the detector of that category alone would judge it.
        assert_eq!(bits(&found.outcome.unwrap()), bits(&detector.inspect(&scene.scan()).unwrap()));
    }
    let defective = model().inspect(&scenes[2].scan(), None).outcome.unwrap();
    assert_eq!(defective.verdict, Verdict::Rejected, "a defect does not make a part unknown");
}

#[test]
fn a_part_of_no_category_is_not_judged_and_never_good() {
    let found = model().inspect(&part(STRANGER, 3).scan(), None);
    let route = found.route.unwrap();
    assert!(!route.is_known && route.confidence < 0.5 && route.distance > UNKNOWN_FROM, "{route:?}");
    assert!(found.detector.is_none());
    let reason = found.outcome.unwrap_err();
    assert!(matches!(&reason, NotJudged::UnknownPart { .. }), "{reason:?}");
    let reason = reason.to_string();
    let nearest = routed().detectors()[route.nearest].provenance().name.clone();
    for expected in ["unknown part", &format!("nearest is {nearest}"), "at most 2", "the model knows plum, lemon"] {
        assert!(reason.contains(expected), "expected {expected:?} in: {reason}");
    }
}

/// An expert, or its device, that failed.
struct Broken;

impl AppearanceExpert for Broken {
    fn feature_dim(&self) -> usize {
        seeing_experts().appearance.feature_dim()
    }

    fn describe(&self, _: &Grid<[f32; 3]>) -> Matrix {
        Matrix::from_vec(CELL_COUNT, self.feature_dim(), vec![f32::NAN; CELL_COUNT * self.feature_dim()])
    }
}

#[test]
fn features_that_are_no_numbers_are_a_fault_and_not_an_unknown_part() {
    let model = RoutedDetector::new(vec![fitted("plum", PLUM), fitted("lemon", LEMON)]).unwrap();
    let model = model.with_experts(&Experts { appearance: Arc::new(Broken), ..seeing_experts() });
    let reason = model.inspect(&part(PLUM, 3).scan()).outcome.unwrap_err();
    assert!(matches!(reason, NotJudged::NotFinite { .. }), "{reason:?}");
    let (name, kind) = (|_: &Scene| "scan".to_owned(), |_: &Scene| "good".to_owned());
    let scenes = [part(PLUM, 3)];
    let strangers = route_strangers(&model, "fig", &scenes, |scene| Ok(scene.scan()), name, kind, &Silent);
    assert_eq!((strangers.routing.all().scans, strangers.not_routed.len()), (0, 1), "nothing was found out");
    let load = |scene: &Scene| Ok(LabelledScan { loaded: scene.scan(), truth: None });
    let detector = &model.detectors()[0];
    let category = evaluate_category(&model, detector, &scenes, load, name, kind, |_, _, _| (), &Silent).unwrap();
    assert_eq!((category.routing.all().scans, category.evaluation.not_judged), (0, 1));
}

#[test]
fn a_given_category_is_taken_without_routing() {
    let scan = part(STRANGER, 3).scan();
    let lemon = model().category("lemon").unwrap();
    let found = model().inspect(&scan, Some(lemon));
    assert!(found.route.is_none() && found.outcome.unwrap().verdict == Verdict::Rejected);
    let error = model().category("fig").unwrap_err().to_string();
    assert!(error.contains("no category \"fig\"") && error.contains("plum, lemon"), "{error}");
}

#[test]
fn a_scan_without_a_part_is_not_routed() {
    let found = model().inspect(&Scene::bare_table().scan(), None);
    assert!(found.route.is_none() && found.detector.is_none());
    assert!(found.outcome.unwrap_err().to_string().contains("no part found"));
}

#[test]
fn the_router_learns_of_all_good_scans() {
    let fitted = fitted("plum", PLUM);
    // Ten training scans and one that was kept aside, mean and deviation of each value.
    assert_eq!((fitted.descriptors.rows(), fitted.descriptors.cols()), (11, 2 * 27));
    let (experts, settings) = (fitted.detector.experts(), fitted.detector.settings());
    for (row, number) in [(0, 0), (9, 9), (10, 0)] {
        let prepared = experts.prepare(&part(PLUM, number).scan(), settings).unwrap();
        assert_eq!(fitted.descriptors.row(row), descriptor(&prepared.features));
    }
}

#[test]
fn categories_that_cannot_be_one_model_are_refused() {
    let refused = |categories: Vec<FittedCategory>| RoutedDetector::new(categories).unwrap_err();
    assert!(matches!(refused(vec![]), RoutedError::NoCategory));
    let error = refused(vec![fitted("plum", PLUM), fitted("plum", LEMON)]);
    assert!(matches!(&error, RoutedError::SameName { name } if name == "plum"), "{error}");
    let mut other = settings_of_maps();
    other.patches.overlap = 3;
    let lemon = fit_category("lemon", &parts(LEMON, 0..10), other, seeing_experts());
    let error = refused(vec![fitted("plum", PLUM), lemon]);
    assert!(matches!(error, RoutedError::Different { .. }), "{error}");
    assert!(error.to_string().contains("\"plum\" and \"lemon\""), "{error}");
    let copies = |name| {
        fit_category(name, &[part(PLUM, 1), part(PLUM, 1), part(PLUM, 1), part(PLUM, 1)], settings(), seeing_experts())
    };
    let error = refused(vec![copies("plum"), copies("prune")]);
    assert!(matches!(error, RoutedError::Routing { source: RoutingError::AllAlike, .. }), "{error}");
    assert!(error.to_string().contains("plum, prune"), "{error}");
}

#[test]
fn one_thread_and_many_give_the_same_model() {
    let fit = |threads| {
        with_threads(threads, || RoutedDetector::new(vec![fitted("plum", PLUM), fitted("lemon", LEMON)]).unwrap())
    };
    let (one, many) = (fit(1), fit(4));
    assert_eq!(one.router(), many.router());
    assert_eq!(one.router(), routed().router());
}

#[test]
fn records_say_what_part_it_is() {
    let record = |scene: &Scene, given: Option<&Detector>| {
        let scan = scene.scan();
        ScanRecord::of("scan".into(), &scan.scan, &model().inspect(&scan, given), model())
    };
    let keys = |record: &ScanRecord| {
        let json = serde_json::to_value(record).unwrap();
        json.as_object().unwrap().keys().filter(|key| *key != "reason").cloned().collect::<Vec<_>>().join(" ")
    };
    let known = record(&part(PLUM, 21), None);
    let category = known.category.clone().unwrap();
    assert_eq!((category.category.as_deref(), category.nearest_category.as_deref()), (Some("plum"), Some("plum")));
    assert_eq!(
        (known.verdict, known.threshold),
        (RecordVerdict::Good, Some(routed().detectors()[0].threshold().score))
    );

    let unknown = record(&part(STRANGER, 3), None);
    assert_eq!((unknown.verdict, unknown.threshold, unknown.threshold_basis), (RecordVerdict::NotJudged, None, None));
    let category = unknown.category.clone().unwrap();
    assert!(category.category.is_none() && category.nearest_category.is_some() && category.confidence.unwrap() < 0.5);

    let lemon = model().category("lemon").unwrap();
    let given = record(&part(STRANGER, 3), Some(lemon));
    let category = given.category.clone().unwrap();
    assert_eq!((category.category.as_deref(), category.confidence), (Some("lemon"), None));

    let unread = ScanRecord::not_read("scan".into(), "it is gone".into(), None, model());
    assert_eq!(unread.category.as_ref().unwrap().category, None);
    let expected = "category confidence distance false_reject_rate files nearest_category p_value patches peak region_level regions scan score scores seconds shares threshold threshold_basis verdict warnings";
    for record in [&known, &unknown, &given, &unread] {
        assert_eq!(keys(record), expected);
    }
    let single = Model::Single(Box::new(fitted("plum", PLUM).detector));
    let scan = part(PLUM, 21).scan();
    let record = ScanRecord::of("scan".into(), &scan.scan, &single.inspect(&scan, None), &single);
    assert!(!keys(&record).contains("category"), "a model of one kind of part says nothing of categories");
    assert_eq!(serde_json::to_value(&record).unwrap()["verdict"], "good");
    let unread = ScanRecord::not_read("scan".into(), "it is gone".into(), None, &single);
    assert_eq!(unread.threshold, Some(single.detectors()[0].threshold().score));
}

#[test]
fn evaluation_measures_each_category_and_where_its_scans_go() {
    let dent = |scene: Scene| Scene { bump_m: 0.003, ..scene };
    // A stranger among the tests of plums, a lemon among them, and a table without a part.
    let plums = [
        ("good", part(PLUM, 30)),
        ("dent", dent(part(PLUM, 31))),
        ("good", part(LEMON, 32)),
        ("good", part(STRANGER, 33)),
        ("dent", Scene::bare_table()),
    ];
    let lemons = [("good", part(LEMON, 40)), ("dent", dent(part(LEMON, 41)))];
    let load = |(_, scene): &(&str, Scene)| Ok(LabelledScan { loaded: scene.scan(), truth: None });
    let name = |_: &(&str, Scene)| "scan".to_owned();
    let kind = |(kind, _): &(&str, Scene)| (*kind).to_owned();
    let measure = |detector: &Detector, tests: &[(&str, Scene)]| {
        evaluate_category(routed(), detector, tests, load, name, kind, |_, _, _| (), &Silent).unwrap()
    };
    let [plum, lemon] =
        [(&plums[..], 0), (&lemons[..], 1)].map(|(tests, at)| measure(&routed().detectors()[at], tests));

    // The metrics are those of the category's own detector.
    let alone = evaluate(&routed().detectors()[0], &plums, load, name, kind, |_, _, _| (), &Silent).unwrap();
    assert_eq!((&plum.evaluation.all, &plum.evaluation.scans), (&alone.all, &alone.scans));

    let good = &plum.routing.good;
    assert_eq!((good.scans, good.own, good.unknown, good.elsewhere["lemon"]), (3, 1, 1, 1));
    let defective = &plum.routing.defective;
    assert_eq!((defective.scans, defective.own, defective.unknown), (1, 1, 0), "a scan without a part is not routed");
    assert_eq!((good.accuracy(), good.unknown_share()), (Some(1.0 / 3.0), Some(1.0 / 3.0)));

    let figs = [
        ("good", part(STRANGER, 50)),
        ("dent", dent(part(STRANGER, 51))),
        ("good", Scene::bare_table()),
        ("good", part(LEMON, 52)),
    ];
    let figs = route_strangers(routed(), "fig", &figs, |(_, scene)| Ok(scene.scan()), name, kind, &Silent);
    assert!(figs.not_routed[0].0 == "scan" && figs.not_routed[0].1.contains("no part found"), "{:?}", figs.not_routed);
    assert_eq!((figs.not_routed.len(), figs.routing.good.unknown, figs.routing.defective.unknown), (1, 1, 1));
    assert_eq!(figs.routing.all().unknown_share(), Some(2.0 / 3.0));

    let summary = RoutedSummary::of(&[plum.clone(), lemon.clone()], &[figs]);
    assert_eq!((summary.routing.good.own, summary.routing.good.scans), (2, 4));
    assert_eq!((summary.routing_accuracy_good, summary.routing_accuracy_defective), (Some(0.5), Some(1.0)));
    assert_eq!((summary.not_judged, summary.strangers.all().unknown), (2, 2));
    let rates = [&plum, &lemon].map(|category| category.evaluation.false_reject_rate.unwrap());
    assert_eq!(summary.false_reject_rate, Some((rates[0] + rates[1]) / 2.0));
    let i_auroc = [&plum, &lemon].map(|category| category.evaluation.all.channels[2].i_auroc.unwrap());
    assert_eq!(summary.means[2].i_auroc, Some((i_auroc[0] + i_auroc[1]) / 2.0));
    assert_eq!(summary.means[2].aupro, None, "no defect's place is known");
    let json = serde_json::to_value(&plum).unwrap();
    assert_eq!((&json["name"], &json["routing"]["good"]["own"]), (&"plum".into(), &1.into()));
}
