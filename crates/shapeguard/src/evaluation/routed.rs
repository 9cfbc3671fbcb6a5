//! Evaluation of a model for several categories: each category's own metrics, and where its scans are routed to.
//!
//! A category's metrics are those of its detector alone, as if the category had been given with every scan, so that they can be
//! compared with those of a model for it alone. Routing is measured beside them, on the same scans.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use shapeguard_core::routing::Route;
use shapeguard_core::seams::Progress;
use shapeguard_data::DataError;

use super::{Channel, ChannelMetrics, Evaluation, GOOD, LabelledScan, LoadFault, PixelFigures, evaluate_by, mean};
use crate::chunks::in_chunks;
use crate::detector::{Detector, Inspection, LoadedScan};
use crate::pipeline::NotJudged;
use crate::routed::RoutedDetector;

/// Where scans of one category were routed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoutingCounts {
    /// Scans that were routed: those that could be read and in which a part was found.
    pub scans: usize,
    /// To their own category.
    pub own: usize,
    /// To none: called unknown.
    pub unknown: usize,
    /// To each other category.
    pub elsewhere: BTreeMap<String, usize>,
}

impl RoutingCounts {
    /// Share that was routed to its own category; `None` if none was routed.
    pub fn accuracy(&self) -> Option<f64> {
        self.share(self.own)
    }

    /// Share that was called unknown; `None` if none was routed.
    pub fn unknown_share(&self) -> Option<f64> {
        self.share(self.unknown)
    }

    fn share(&self, count: usize) -> Option<f64> {
        (self.scans > 0).then(|| count as f64 / self.scans as f64)
    }

    /// Counts a scan of the category `own` that was routed here.
    fn count(&mut self, route: &Route, own: &str, model: &RoutedDetector) {
        self.scans += 1;
        let nearest = &model.detectors()[route.nearest].provenance().name;
        if !route.is_known {
            self.unknown += 1;
        } else if nearest == own {
            self.own += 1;
        } else {
            *self.elsewhere.entry(nearest.clone()).or_default() += 1;
        }
    }

    /// Adds the counts of another category.
    fn add(&mut self, other: &Self) {
        self.scans += other.scans;
        self.own += other.own;
        self.unknown += other.unknown;
        for (name, count) in &other.elsewhere {
            *self.elsewhere.entry(name.clone()).or_default() += count;
        }
    }
}

/// Where the good and the defective scans of one category, or of all, were routed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Routing {
    /// Good scans.
    pub good: RoutingCounts,
    /// Defective scans.
    pub defective: RoutingCounts,
}

impl Routing {
    /// Both together.
    pub fn all(&self) -> RoutingCounts {
        let mut all = self.good.clone();
        all.add(&self.defective);
        all
    }

    fn of(&mut self, kind: &str) -> &mut RoutingCounts {
        if kind == GOOD { &mut self.good } else { &mut self.defective }
    }

    fn add(&mut self, other: &Self) {
        self.good.add(&other.good);
        self.defective.add(&other.defective);
    }
}

/// One category's metrics and routing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CategoryEvaluation {
    /// The metrics of its own detector.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Where its scans were routed to.
    pub routing: Routing,
}

/// A category that the model does not know: its scans should be called unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StrangerEvaluation {
    /// Name of the category.
    pub name: String,
    /// Its scans that could not be read, or in which no part was found, by name, each with the reason.
    pub not_routed: Vec<(String, String)>,
    /// Where its scans were routed to; none to their own.
    pub routing: Routing,
}

/// The means of the categories' metrics for one channel; a figure that some category lacks is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanMetrics {
    /// Which channel.
    pub channel: Channel,
    /// Image-level AUROC.
    pub i_auroc: Option<f64>,
    /// Image-level F1-max.
    pub i_f1_max: Option<f64>,
    /// Pixel-level AUROC.
    pub p_auroc: Option<f64>,
    /// Pixel-level F1-max.
    pub p_f1_max: Option<f64>,
    /// Exact AUPRO at each limit.
    pub aupro: Option<[f64; 7]>,
    /// AUPRO with 100 thresholds at each limit.
    pub aupro_100_thresholds: Option<[f64; 7]>,
}

/// Several categories together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoutedSummary {
    /// Means over the categories: RGB, SDF, fused.
    pub means: Vec<MeanMetrics>,
    /// Mean share of good scans that were rejected.
    pub false_reject_rate: Option<f64>,
    /// Mean share of defective scans that were rejected.
    pub detection_rate: Option<f64>,
    /// Scans of all categories that could not be judged.
    pub not_judged: usize,
    /// Where the scans of all known categories were routed to.
    pub routing: Routing,
    /// Share of the good scans that were routed to their own category.
    pub routing_accuracy_good: Option<f64>,
    /// Share of the defective scans that were routed to their own category.
    pub routing_accuracy_defective: Option<f64>,
    /// Where the scans of categories that the model does not know were routed to.
    pub strangers: Routing,
}

impl RoutedSummary {
    /// Of these categories.
    pub fn of(categories: &[CategoryEvaluation], strangers: &[StrangerEvaluation]) -> Self {
        let evaluations: Vec<&Evaluation> = categories.iter().map(|category| &category.evaluation).collect();
        let mut routing = Routing::default();
        categories.iter().for_each(|category| routing.add(&category.routing));
        let mut of_strangers = Routing::default();
        strangers.iter().for_each(|stranger| of_strangers.add(&stranger.routing));
        Self {
            means: Channel::ALL.iter().map(|channel| means(*channel, &evaluations)).collect(),
            false_reject_rate: mean(evaluations.iter().map(|evaluation| evaluation.false_reject_rate)),
            detection_rate: mean(evaluations.iter().map(|evaluation| evaluation.detection_rate)),
            not_judged: evaluations.iter().map(|evaluation| evaluation.not_judged).sum::<usize>()
                + strangers.iter().map(|stranger| stranger.not_routed.len()).sum::<usize>(),
            routing_accuracy_good: routing.good.accuracy(),
            routing_accuracy_defective: routing.defective.accuracy(),
            routing,
            strangers: of_strangers,
        }
    }
}

fn means(channel: Channel, evaluations: &[&Evaluation]) -> MeanMetrics {
    let of_channel = |evaluation: &&Evaluation| -> Option<ChannelMetrics> {
        evaluation.all.channels.iter().find(|metrics| metrics.channel == channel).cloned()
    };
    let metrics: Vec<Option<ChannelMetrics>> = evaluations.iter().map(of_channel).collect();
    let image = |figure: fn(&ChannelMetrics) -> Option<f64>| mean(metrics.iter().map(|m| figure(m.as_ref()?)));
    let pixels =
        |figure: &dyn Fn(&PixelFigures) -> f64| mean(metrics.iter().map(|m| m.as_ref()?.pixels.as_ref().map(figure)));
    let areas = |figure: fn(&PixelFigures) -> &[f64; 7]| -> Option<[f64; 7]> {
        let means: Option<Vec<f64>> = (0..7).map(|limit| pixels(&|p| figure(p)[limit])).collect();
        means?.try_into().ok()
    };
    MeanMetrics {
        channel,
        i_auroc: image(|m| m.i_auroc),
        i_f1_max: image(|m| m.i_f1_max),
        p_auroc: pixels(&|p| p.p_auroc),
        p_f1_max: pixels(&|p| p.f1_max),
        aupro: areas(|p| &p.aupro),
        aupro_100_thresholds: areas(|p| &p.aupro_100_thresholds),
    }
}

/// Measures one category of a model on its test scans, with the arguments of [`evaluate`](super::evaluate). A scan that cannot be
/// prepared is not routed.
///
/// # Errors
/// As [`evaluate`](super::evaluate).
#[expect(clippy::too_many_arguments, reason = "those of `evaluate`, and the model")]
pub fn evaluate_category<I: Sync>(
    model: &RoutedDetector,
    detector: &Detector,
    inputs: &[I],
    load: impl Fn(&I) -> Result<LabelledScan, LoadFault> + Sync,
    name: impl Fn(&I) -> String + Sync,
    kind: impl Fn(&I) -> String + Sync,
    watch: impl Fn(usize, &LabelledScan, &Inspection) + Sync,
    progress: &dyn Progress,
) -> Result<CategoryEvaluation, DataError> {
    let routes: Vec<Mutex<Option<Route>>> = inputs.iter().map(|_| Mutex::default()).collect();
    let inspect = |index: usize, loaded: &LoadedScan| {
        let prepared = model.experts().prepare(loaded, model.settings())?;
        let route = finite(model.route(&prepared))?;
        *routes[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(route);
        detector.judge(prepared)
    };
    let evaluation = evaluate_by(detector, inspect, inputs, load, name, &kind, watch, progress)?;
    let mut routing = Routing::default();
    for (input, route) in inputs.iter().zip(routes) {
        if let Some(route) = route.into_inner().unwrap_or_else(PoisonError::into_inner) {
            routing.of(&kind(input)).count(&route, &detector.provenance().name, model);
        }
    }
    Ok(CategoryEvaluation { evaluation, routing })
}

/// Routes the scans of a category that the model does not know. `name` is the category's, `scan_name` a scan's.
pub fn route_strangers<I: Sync>(
    model: &RoutedDetector,
    name: &str,
    inputs: &[I],
    load: impl Fn(&I) -> Result<LoadedScan, DataError> + Sync,
    scan_name: impl Fn(&I) -> String + Sync,
    kind: impl Fn(&I) -> String + Sync,
    progress: &dyn Progress,
) -> StrangerEvaluation {
    progress.begin("Routing scans of unknown parts", inputs.len());
    let routes = in_chunks(inputs, |input| -> Result<Route, String> {
        let loaded = load(input).map_err(|error| error.to_string());
        let prepared = loaded
            .and_then(|loaded| model.experts().prepare(&loaded, model.settings()).map_err(|error| error.to_string()));
        progress.step();
        finite(model.route(&prepared?)).map_err(|error| error.to_string())
    });
    progress.end();
    let mut stranger =
        StrangerEvaluation { name: name.to_owned(), not_routed: Vec::new(), routing: Routing::default() };
    for (input, route) in inputs.iter().zip(routes) {
        match route {
            Ok(route) => stranger.routing.of(&kind(input)).count(&route, name, model),
            Err(reason) => stranger.not_routed.push((scan_name(input), reason)),
        }
    }
    stranger
}

/// A route, unless the descriptor is no number: then the expert or its device failed, and nothing was found out.
fn finite(route: Route) -> Result<Route, NotJudged> {
    if route.distance.is_finite() { Ok(route) } else { Err(NotJudged::NotFinite { score: route.distance }) }
}
