//! What the accuracy examples share: one category's scans, in memory, and how well settings do on them.

#![allow(dead_code, reason = "no example needs all of it")]

use std::error::Error;

use rayon::prelude::*;
use shapeguard::benchmark::{Benchmark, DEFAULT_SUITE, scan_kind, scan_name, take_option};
use shapeguard::evaluation::{Channel, ChannelMetrics, Evaluation, LabelledScan, evaluate, mean};
use shapeguard::experts::Experts;
use shapeguard::{Detector, FitInputs, Inspection, LoadedScan};
use shapeguard_core::seams::Silent;
use shapeguard_core::settings::Settings;
use shapeguard_data::TruthRule;
use shapeguard_data::simulator::{Category, PlannedScan, SimulatedScan, Split};

/// Positions of the limits 0.3 and 0.01 among the seven.
pub const LIMITS: [usize; 2] = [0, 6];

/// A category's scans.
pub struct Scans {
    category: Category,
    train: Vec<(PlannedScan, SimulatedScan)>,
    validation: Vec<(PlannedScan, SimulatedScan)>,
    test: Vec<(PlannedScan, SimulatedScan)>,
}

impl Scans {
    /// Simulates them: some hundred megabytes.
    pub fn simulate(benchmark: &Benchmark, category: Category) -> Self {
        let of = |split| {
            let planned = benchmark.scans(category, split);
            planned.into_par_iter().map(|scan| (scan, benchmark.simulate(category, &scan))).collect()
        };
        Self { category, train: of(Split::Train), validation: of(Split::Validation), test: of(Split::Test) }
    }

    /// Fits and evaluates; `watch` sees every test scan.
    pub fn evaluate(
        &self,
        settings: Settings,
        watch: impl Fn(&PlannedScan, &LabelledScan, &Inspection, &Detector) + Sync,
    ) -> Result<Evaluation, Box<dyn Error>> {
        let experts = Experts::from_settings(&settings.experts)?;
        let name = |(planned, _): &(PlannedScan, SimulatedScan)| scan_name(planned);
        let rule = TruthRule::from(settings.reference_quirks);
        let load = |simulated: &SimulatedScan| LoadedScan { scan: simulated.scan.clone(), mask: None };
        let detector = Detector::fit(
            FitInputs {
                name: self.category.name(),
                train: &self.train,
                validation: &self.validation,
                skip_unusable: false,
            },
            |(_, simulated)| Ok(load(simulated)),
            name,
            settings,
            experts,
            &Silent,
        )?;
        let evaluation = evaluate(
            &detector,
            &self.test,
            |(planned, simulated)| {
                // As the rule would read it from the file that the suite writes.
                let is_read = rule == TruthRule::AboveZero
                    || planned
                        .defect
                        .is_some_and(|defect| u32::from(defect.kind.mask_value()) * 2 > u32::from(u8::MAX));
                let truth = if is_read { simulated.truth.clone() } else { simulated.truth.map(|_| false) };
                Ok(LabelledScan { loaded: load(simulated), truth: Some(truth) })
            },
            name,
            |(planned, _)| scan_kind(planned).to_owned(),
            |index, labelled, inspection| watch(&self.test[index].0, labelled, inspection, &detector),
            &Silent,
        )?;
        if evaluation.not_judged > 0 {
            eprintln!("{}: {} scans not judged", self.category, evaluation.not_judged);
        }
        Ok(evaluation)
    }
}

/// Evaluates several settings on the suite and the categories that the command line names, `[SUITE] [CATEGORY...] [--seed N]`;
/// each category is simulated once. One list of categories' evaluations for each of the settings.
pub fn sweep(settings: &[Settings]) -> Result<Vec<Vec<Evaluation>>, Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = take_option(&mut arguments, "--seed").map(|seed| seed.parse()).transpose()?;
    let mut arguments = arguments.into_iter();
    let suite_name = arguments.next().unwrap_or_else(|| DEFAULT_SUITE.to_owned());
    let mut benchmark = Benchmark::new(&suite_name, &arguments.collect::<Vec<_>>())?;
    benchmark.suite.seed = seed.unwrap_or(benchmark.suite.seed);

    let mut evaluations: Vec<Vec<_>> = settings.iter().map(|_| Vec::new()).collect();
    for category in benchmark.categories.iter().copied() {
        let scans = Scans::simulate(&benchmark, category);
        for (settings, evaluations) in settings.iter().zip(&mut evaluations) {
            evaluations.push(scans.evaluate(settings.clone(), |_, _, _, _| ())?);
        }
        eprintln!("{category}");
    }
    Ok(evaluations)
}

/// The heading of the lines that [`row`] makes.
pub const HEADING: &str = "I-AUROC RGB / SDF / fused | P-AUROC | AUPRO 0.3 | AUPRO 0.01 | false rejects | detected |\n|---|---|---|---|---|---|---|";

/// Means over evaluations as a line of the table.
pub fn row(name: &str, evaluations: &[&Evaluation]) -> String {
    let mean_of =
        |figure: &dyn Fn(&Evaluation) -> Option<f64>| mean(evaluations.iter().map(|e| figure(e))).unwrap_or(f64::NAN);
    let three = |figure: fn(&ChannelMetrics) -> Option<f64>| {
        let of = |index: usize| format!("{:.3}", mean_of(&|e| figure(&e.all.channels[index])));
        (0..Channel::ALL.len()).map(of).collect::<Vec<_>>().join(" / ")
    };
    let cells = [
        three(|c| c.i_auroc),
        three(|c| c.pixels.as_ref().map(|p| p.p_auroc)),
        three(|c| c.pixels.as_ref().map(|p| p.aupro[LIMITS[0]])),
        three(|c| c.pixels.as_ref().map(|p| p.aupro[LIMITS[1]])),
        format!("{:.2}", mean_of(&|e| e.false_reject_rate)),
        format!("{:.2}", mean_of(&|e| e.detection_rate)),
    ];
    format!("| {name} | {} |", cells.join(" | "))
}
