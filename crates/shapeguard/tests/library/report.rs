//! The report: one file that shows everything and loads nothing.

use std::sync::Mutex;

use shapeguard::evaluation::{Evaluation, LabelledScan, evaluate};
use shapeguard::report::{StripPng, render, write};
use shapeguard_core::grid::{GridSize, Mask};
use shapeguard_core::seams::Silent;

use crate::support::{SIDE, Scene, coded_detector};

/// A test scan: name, kind, scene, whether its defect is marked.
type Case = (&'static str, &'static str, Scene, bool);

const GOOD: Case3 = ("000", "good", 0);
const DENT: Case3 = ("001", "dent", 2);
/// Name, kind, amplitude of an unknown part; 0 for a known one.
type Case3 = (&'static str, &'static str, u8);

fn case((name, kind, amplitude): Case3, has_truth: bool) -> Case {
    let scene = if amplitude == 0 { Scene::coded(1, 1) } else { Scene::coded(20, amplitude) };
    (name, kind, scene, has_truth)
}

fn measured(cases: &[Case]) -> (Evaluation, Vec<Option<StripPng>>) {
    let detector = coded_detector();
    let strips = Mutex::new(vec![None; cases.len()]);
    let evaluation = evaluate(
        detector,
        cases,
        |(_, _, scene, has_truth)| {
            let marked = |row: usize, col: usize| Scene::is_defective(row, col);
            let truth = has_truth.then(|| Mask::from_fn(GridSize::new(SIDE, SIDE), marked));
            Ok(LabelledScan { loaded: scene.scan(), truth })
        },
        |case| case.0.to_owned(),
        |case| case.1.to_owned(),
        |number, labelled, inspection| {
            strips.lock().unwrap()[number] = Some(StripPng::new(labelled, inspection, detector).unwrap());
        },
        &Silent,
    )
    .unwrap();
    (evaluation, strips.into_inner().unwrap())
}

fn report(cases: &[Case]) -> String {
    let (evaluation, strips) = measured(cases);
    render(&evaluation, &strips).unwrap()
}

#[test]
fn it_shows_figures_curves_and_pictures() {
    let cases = [case(GOOD, false), case(DENT, true), case(("002", "dent", 0), true), case(("003", "stain", 3), true)];
    let html = report(&cases);
    assert_eq!(html.matches("src=\"data:image/png;base64,iVBOR").count(), 4, "a strip of each scan");
    assert_eq!(html.matches("<svg").count(), 4, "scores of three channels, and the PRO curves");
    assert_eq!(html.matches("class=\"threshold\"").count(), 1, "the threshold is one of the fused score");
    for part in [
        "<h1>coded</h1>",
        "Of 3 defective scans 2 were rejected; of 1 good scans none was.",
        "<td class=\"text wrap name\">dent</td>",
        "<td class=\"text wrap name\">stain</td>",
        "Defects with the highest scores",
        "Good parts with the highest scores",
        "mean overlap of defect regions",
        "AUPRO with 100 thresholds",
        "What the figures mean",
        "4 scans with their scores",
        "expected to be rejected",
    ] {
        assert!(html.contains(part), "the report lacks {part:?}");
    }
    // Two of three pairs in order and one tied, whatever the threshold: (1 + 0.5 + 1) / 3.
    assert!(html.contains("<b>0.833</b><span>image AUROC"));
    // Every picture has its words, every plot its own.
    assert_eq!(html.matches("<img").count(), html.matches(" alt=\"").count());
    assert_eq!(html.matches("role=\"img\" aria-label=\"").count(), 4);
    assert!(!html.contains("Not judged</h2>"));
}

#[test]
fn it_loads_nothing() {
    let html = report(&[case(GOOD, false), case(DENT, true)]);
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("//cdn"));
    assert!(!html.contains("<script") && !html.contains("@import") && !html.contains("url("));
    for source in html.split("src=\"").skip(1).chain(html.split("href=\"").skip(1)) {
        assert!(source.starts_with("data:"), "{}", &source[..40]);
    }
    // The browser is told so, too.
    assert!(html.contains("default-src 'none'; img-src data:; style-src 'unsafe-inline'"));
}

#[test]
fn it_stands_without_good_scans_truth_pictures_or_scans() {
    let nothing_marked = report(&[case(GOOD, false), case(DENT, false)]);
    assert!(nothing_marked.contains("Without scans whose defects are marked"));
    assert_eq!(nothing_marked.matches("<svg").count(), 3, "no PRO curves");
    assert_eq!(nothing_marked.matches("<img").count(), 2);

    let no_good = report(&[case(DENT, true), case(("002", "dent", 1), true)]);
    assert!(no_good.contains("Of 2 defective scans 2 were rejected.") && !no_good.contains("Good parts with"));
    assert!(no_good.contains("<b>–</b><span>image AUROC"));

    let no_bad = report(&[case(GOOD, false), case(("001", "good", 1), false)]);
    assert!(no_bad.contains("Of 2 good scans 1 was rejected."), "{no_bad}");
    assert!(!no_bad.contains("Each kind of defect"));

    let (evaluation, _) = measured(&[case(GOOD, false), case(DENT, true)]);
    assert_eq!(render(&evaluation, &[]).unwrap().matches("<img").count(), 0, "pictures are optional");
    assert_eq!(render(&evaluation, &[None, None]).unwrap().matches("<img").count(), 0);

    let empty = report(&[]);
    assert!(empty.contains("There was no scan to test with.") && !empty.contains("Time per scan"));
    assert!(!empty.contains("NaN") && !empty.contains("inf"));
}

#[test]
fn scans_that_were_not_judged_are_listed_with_their_reason() {
    let html = report(&[
        case(GOOD, false),
        case(DENT, true),
        ("empty-tray", "missing-part", Scene::bare_table(), true),
        ("empty-table", "good", Scene::bare_table(), false),
    ]);
    assert!(html.contains("<strong>2 scans could not be judged.</strong>"));
    assert!(html.contains("<td class=\"text wrap name\">empty-tray</td><td class=\"text\">missing-part</td>"));
    assert!(html.contains("no part found: 0 measured points are off the table"));
    assert!(html.contains("<span class=\"badge unjudged\">Not judged</span>"));
    // The kind does not vanish from the table of kinds.
    assert!(html.contains("<td class=\"text wrap name\">missing-part</td><td>0</td><td>1</td>"));
}

#[test]
fn names_cannot_break_out_of_their_place() {
    const NAME: &str = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>";
    const KIND: &str = "a & b</td><svg onload=alert(2)>";
    let (mut evaluation, strips) = measured(&[
        (NAME, "good", Scene::coded(1, 1), false),
        (NAME, KIND, Scene::coded(20, 2), true),
        (NAME, KIND, Scene::bare_table(), true),
    ]);
    evaluation.name = NAME.into();
    evaluation.preset = NAME.into();
    evaluation.experts = [NAME.into(), NAME.into()];
    let html = render(&evaluation, &strips).unwrap();
    assert!(!html.contains("<script") && !html.contains("<img src=x") && !html.contains("<svg onload"));
    // Within an attribute, a quote would end it.
    assert!(!html.contains("</script>\"") && html.contains("&lt;script&gt;"));
    assert!(html.contains("a &amp; b&lt;"));
}

#[test]
fn scores_of_any_size_make_a_plot() {
    let (mut evaluation, _) = measured(&[case(GOOD, false), case(DENT, true), case(("002", "dent", 1), true)]);
    for scores in [[0.0; 3], [1.0; 3], [1e-30, 1.0, 1e30], [0.0, 1e-3, 5.0], [f32::NAN, f32::INFINITY, 1.0]] {
        for (scan, score) in evaluation.scans.iter_mut().zip(scores) {
            let all = scan.scores.as_mut().unwrap();
            (all.rgb, all.sdf, all.fused) = (score, score, score);
        }
        evaluation.threshold = scores[2];
        let html = render(&evaluation, &[]).unwrap();
        let plots: Vec<&str> = html.split("<svg").skip(1).map(|svg| svg.split("</svg>").next().unwrap()).collect();
        assert_eq!(plots.len(), 4);
        for plot in plots {
            assert!(!plot.contains("NaN") && !plot.contains("inf"), "{scores:?}: {plot}");
        }
    }
}

#[test]
fn it_is_written_whole_and_over_nothing() {
    let (evaluation, strips) = measured(&[case(GOOD, false), case(DENT, true)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out/report.html");
    write(&path, &evaluation, &strips, false).unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, render(&evaluation, &strips).unwrap());
    assert!(written.starts_with("<!doctype html>") && written.ends_with("</html>"));
    let error = write(&path, &evaluation, &strips, false).unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
    write(&path, &evaluation, &[], true).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().len() < written.len());
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}
