//! scratch
use std::sync::Mutex;
use shapeguard::evaluation::{LabelledScan, evaluate};
use shapeguard::experts::Experts;
use shapeguard::report::{StripPng, write};
use shapeguard::{Detector, FitInputs, LoadedScan, presets};
use shapeguard_core::seams::Silent;
use shapeguard_data::simulator::{Category, PlannedScan, Split, Suite, simulate_scan};
fn main() {
    let suite = Suite::demo();
    let category = Category::by_name("biscuit").unwrap();
    let scans = suite.scans(category);
    let of = |split| scans.iter().filter(|s| s.split == split).copied().collect::<Vec<PlannedScan>>();
    let load = |p: &PlannedScan| { let s = simulate_scan(category, suite.seed, p.sample_index, p.defect);
        LabelledScan { loaded: LoadedScan { scan: s.scan, mask: None }, truth: Some(s.truth) } };
    let settings = presets::load("default").unwrap();
    let experts = Experts::from_settings(&settings.experts).unwrap();
    let (train, val, test) = (of(Split::Train), of(Split::Validation), of(Split::Test));
    let d = Detector::fit(FitInputs { name: "biscuit", train: &train, validation: &val, skip_unusable: false }, |p| Ok(load(p).loaded), |_| String::new(), settings, experts, &Silent).unwrap();
    shapeguard::model_file::save(&d, std::path::Path::new("/tmp/r/model.shapeguard"), true).unwrap();
    let strips = Mutex::new(vec![None; test.len()]);
    let e = evaluate(&d, &test, |p| { let mut l = load(p);
            if p.number == 3 && p.defect.is_none() { l.loaded.scan = shapeguard_core::sample::Scan::new(shapeguard_core::sample::OrganizedCloud::from_parts(l.loaded.scan.cloud().points_m().clone(), shapeguard_core::grid::Grid::from_fn(l.loaded.scan.size(), |r, _| r > 100)), l.loaded.scan.rgb().clone()).unwrap(); }
            Ok(l) },
        |p| format!("test/{}/{}", p.defect.map_or("good", |d| d.kind.name()), p.name()), |p| p.defect.map_or("good", |d| d.kind.name()).into(),
        |i, l, insp| { strips.lock().unwrap()[i] = Some(StripPng::new(l, insp, &d).unwrap()); }, &Silent).unwrap();
    let mut e = e;
    if std::env::args().nth(1).is_some() {
        e.scans[1].scores = None; e.scans[1].verdict = None; e.not_judged = 1;
        e.scans[1].not_judged = Some("no part found: 12 measured points are off the table, but no group of them is as dense as a part (30 points within 0.006 m); check that a part lies under the camera and the exposure".into());
    }
    write(std::path::Path::new("/tmp/r/report.html"), &e, &strips.into_inner().unwrap(), true).unwrap();
}
