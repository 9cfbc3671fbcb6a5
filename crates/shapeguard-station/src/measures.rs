//! Counters for monitoring, in the text format of Prometheus: inspections and verdicts, the time of each stage, the queue,
//! scores as quantiles. Each station has its own recorder, so that several in one process do not add up.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use crate::record::Record;
use crate::store::StoreSize;

const INSPECTIONS: &str = "shapeguard_inspections_total";
const STAGE_SECONDS: &str = "shapeguard_stage_seconds";
const SCORE: &str = "shapeguard_score_of_threshold";
const REQUESTS: &str = "shapeguard_http_requests_total";
const REQUEST_SECONDS: &str = "shapeguard_http_request_seconds";
const REFUSED: &str = "shapeguard_refused_total";
const QUEUE: &str = "shapeguard_queue";
const STORED: &str = "shapeguard_stored_inspections";
const STORED_BYTES: &str = "shapeguard_stored_bytes";
const FREE_BYTES: &str = "shapeguard_free_bytes";
const DELIVERIES: &str = "shapeguard_deliveries_total";
const DRIFT_ALARMS: &str = "shapeguard_drift_alarms";

/// Bounds of the histograms of time: a stage takes milliseconds, an inspection with `paper` some seconds.
const SECONDS_BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The counters of a station.
pub struct Measures {
    recorder: PrometheusRecorder,
}

impl std::fmt::Debug for Measures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measures").finish_non_exhaustive()
    }
}

impl Default for Measures {
    fn default() -> Self {
        Self::new()
    }
}

impl Measures {
    /// With nothing counted yet.
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BOUNDS)
            // The bounds are a constant that is not empty.
            .expect("bounds of histograms")
            .build_recorder();
        with_local_recorder(&recorder, || {
            describe_counter!(INSPECTIONS, "Inspections by model and verdict");
            describe_histogram!(STAGE_SECONDS, Unit::Seconds, "Wall-clock time of each stage of an inspection");
            describe_histogram!(SCORE, "Scores divided by their thresholds, quantiles by model; above 1 is rejected");
            describe_counter!(REQUESTS, "Requests by route, method and status");
            describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time to answer by route");
            describe_counter!(REFUSED, "Inspections that were refused, by reason");
            describe_gauge!(QUEUE, "Inspections that wait or run");
            describe_gauge!(STORED, "Inspections that are kept");
            describe_gauge!(STORED_BYTES, Unit::Bytes, "Bytes of all kept files");
            describe_gauge!(FREE_BYTES, Unit::Bytes, "Bytes that are free on the disk");
            describe_counter!(DELIVERIES, "Results that were told to others, by sink and outcome");
            describe_gauge!(DRIFT_ALARMS, "Categories with a drift alarm, by model");
        });
        Self { recorder }
    }

    /// Counts an inspection.
    pub fn inspected(&self, record: &Record, total: Duration) {
        with_local_recorder(&self.recorder, || {
            let (model, verdict) = (record.model.clone(), record.verdict.to_string());
            counter!(INSPECTIONS, "model" => model.clone(), "verdict" => verdict).increment(1);
            for (stage, seconds) in record.seconds.as_ref().unwrap_or(&BTreeMap::new()) {
                histogram!(STAGE_SECONDS, "stage" => stage.clone()).record(*seconds);
            }
            histogram!(STAGE_SECONDS, "stage" => "total").record(total.as_secs_f64());
            if let (Some(score), Some(threshold)) = (record.score, record.threshold)
                && threshold > 0.0
            {
                histogram!(SCORE, "model" => model).record(f64::from(score / threshold));
            }
        });
    }

    /// Counts the time that keeping an inspection took.
    pub fn kept(&self, time: Duration) {
        with_local_recorder(&self.recorder, || {
            histogram!(STAGE_SECONDS, "stage" => "keep").record(time.as_secs_f64());
        });
    }

    /// Counts a request.
    pub fn requested(&self, route: &str, method: &str, status: u16, time: Duration) {
        with_local_recorder(&self.recorder, || {
            let (route, method) = (route.to_owned(), method.to_owned());
            histogram!(REQUEST_SECONDS, "route" => route.clone()).record(time.as_secs_f64());
            counter!(REQUESTS, "route" => route, "method" => method, "status" => status.to_string()).increment(1);
        });
    }

    /// Counts an inspection that was refused.
    pub fn refused(&self, reason: &'static str) {
        with_local_recorder(&self.recorder, || counter!(REFUSED, "reason" => reason).increment(1));
    }

    /// Counts an attempt to tell somebody of an inspection.
    pub fn delivered(&self, sink: &'static str, outcome: &'static str) {
        with_local_recorder(&self.recorder, || {
            counter!(DELIVERIES, "sink" => sink, "outcome" => outcome).increment(1);
        });
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self, present: &Present) -> String {
        with_local_recorder(&self.recorder, || {
            gauge!(QUEUE, "state" => "waiting").set(present.waiting as f64);
            gauge!(QUEUE, "state" => "running").set(present.running as f64);
            if let Some(size) = present.stored {
                gauge!(STORED).set(size.inspections as f64);
                gauge!(STORED_BYTES).set(size.bytes as f64);
                gauge!(FREE_BYTES).set(size.free_bytes as f64);
            }
            for (model, alarms) in &present.alarms {
                gauge!(DRIFT_ALARMS, "model" => model.clone()).set(*alarms as f64);
            }
        });
        let handle = self.recorder.handle();
        handle.run_upkeep();
        handle.render()
    }
}

/// What is at the moment of asking.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Inspections that wait.
    pub waiting: usize,
    /// Inspections that run.
    pub running: usize,
    /// What the store holds; `None` if it cannot be read.
    pub stored: Option<StoreSize>,
    /// Number of categories with a drift alarm, of each model.
    pub alarms: Vec<(String, usize)>,
}
