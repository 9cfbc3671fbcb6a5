//! One inspection from its files' bytes to what is kept of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use shapeguard::outputs::{RecordVerdict, ScanRecord};
use shapeguard::routed::RoutedInspection;
use shapeguard::{Detector, LoadedScan};
use shapeguard_core::grid::{GridSize, ScoreMap};
use shapeguard_core::sample::Scan;
use shapeguard_core::settings::ForegroundMethod;
use shapeguard_data::{DataError, NamedBytes, ReadOptions, ScanBytes, decode_scan};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::drift::{Drift, DriftView, Observation};
use crate::maps::pack;
use crate::measures::Measures;
use crate::record::{MapPlace, ReadAs, Record, RecordParts};
use crate::shelf::{LoadedModel, Shelf};
use crate::store::{FeedbackKind, FileRole, Filter, NewInspection, Store, StoreError, Summary, WatchedScan};
use crate::thumbnail::{Heat, thumbnail};

/// Events that a slow listener may be behind before it misses some and reads everything again: some seconds of the fastest line.
const EVENTS_KEPT: usize = 256;

/// A file that came with a request.
#[derive(Clone, Debug)]
pub struct UploadedFile {
    /// What messages call it.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// A scan that is to be inspected.
#[derive(Clone, Debug)]
pub struct InspectionRequest {
    /// The model to judge with.
    pub model: Arc<LoadedModel>,
    /// The category, of a model for several, if it is known.
    pub category: Option<String>,
    /// The part's serial number.
    pub serial: Option<String>,
    /// What else is said of the part.
    pub meta: BTreeMap<String, String>,
    /// The cloud or depth image; without it the scan is not judged.
    pub cloud: Option<UploadedFile>,
    /// The colour image.
    pub rgb: Option<UploadedFile>,
    /// The camera's intrinsics, of depth images.
    pub intrinsics: Option<UploadedFile>,
    /// What the files don't say about themselves.
    pub options: ReadOptions,
    /// When it came, milliseconds since 1970 in UTC.
    pub received_ms: i64,
    /// The scan in a watched folder that it is.
    pub watched: Option<WatchedScan>,
    /// What becomes of it if its files cannot be read.
    pub if_unreadable: IfUnreadable,
}

/// What becomes of a scan whose files cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnreadable {
    /// It is kept, as not judged.
    Keep,
    /// It is an error and not kept: its files may still be on their way.
    Refuse,
}

impl InspectionRequest {
    /// What the scan is called: by its cloud, else by its colour image.
    pub fn name(&self) -> &str {
        self.cloud.as_ref().or(self.rgb.as_ref()).map_or("", |file| &file.name)
    }
}

/// An inspection that is kept.
#[derive(Debug)]
pub struct Inspected {
    /// What is stored of it.
    pub record: Record,
    /// What lists show of it.
    pub summary: Summary,
    /// The fused map, in full precision, which lies on the scan as [`Record::frame`] says; `None` if it was not judged.
    pub fused: Option<ScoreMap>,
}

/// What happened, for those who look on.
#[derive(Clone, Debug)]
pub enum Event {
    /// A scan was inspected.
    Inspection(Box<Summary>),
    /// An operator spoke.
    Feedback {
        /// The inspection.
        id: String,
        /// What was said.
        kind: FeedbackKind,
    },
    /// A model changed.
    Models {
        /// Its name.
        name: String,
    },
    /// A drift alarm began or ended.
    Drift {
        /// The model.
        model: String,
        /// What is known.
        drift: Box<DriftView>,
    },
    /// A fit went on.
    Fit(Box<crate::fits::FitView>),
    /// The station stops: nothing more will happen.
    Stopping,
}

/// Why a scan has no record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The model knows no such category.
    #[error(transparent)]
    Category(#[from] shapeguard::model::UnknownCategory),
    /// The model wants foreground masks, which requests cannot bring.
    #[error(
        "the model {model} was fitted with foreground masks, which a station does not take; fit it with foreground.method \"plane\" or \"none\""
    )]
    WantsMask {
        /// The model.
        model: String,
    },
    /// Its files cannot be read, and are not to be kept.
    #[error(transparent)]
    Unreadable(DataError),
    /// It was judged, but cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What judges, remembers and tells.
#[derive(Debug)]
pub struct Station {
    /// The memory.
    pub store: Arc<Store>,
    /// The models.
    pub shelf: Shelf,
    /// How late parts compare with good ones.
    pub drift: Drift,
    /// Counters for monitoring.
    pub measures: Measures,
    /// Who is told of every inspection, by name, beside those who listen: from the outbox, so that nothing gets lost.
    sinks: Vec<&'static str>,
    events: broadcast::Sender<Event>,
}

impl Station {
    /// Puts a station together; drift goes on where the store's last inspections left it. What is kept from now on is put in
    /// the outbox for each of `sinks`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn new(store: Arc<Store>, shelf: Shelf, sinks: Vec<&'static str>) -> Result<Self, StoreError> {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let station = Self { store, shelf, drift: Drift::default(), measures: Measures::new(), sinks, events };
        for loaded in station.shelf.models() {
            station.remember_drift(&loaded)?;
        }
        Ok(station)
    }

    /// Everything that happens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Tells those who look on.
    pub fn tell(&self, event: Event) {
        // Nobody looking on is no fault.
        let _ = self.events.send(event);
    }

    /// Judges a scan and keeps what came of it. When this returns, it is on the disk. `is_wanted` is asked before anything is
    /// kept: whoever sent it may have gone.
    ///
    /// # Errors
    /// If the request does not fit the model, or the record cannot be kept. `None` if it was no longer wanted.
    pub fn inspect(
        &self,
        request: &InspectionRequest,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Option<Inspected>, InspectError> {
        let model = &request.model.model;
        let given = request.category.as_deref().map(|category| model.category(category)).transpose()?;
        if model.settings().foreground.method == ForegroundMethod::Mask {
            return Err(InspectError::WantsMask { model: request.model.name.clone() });
        }
        let start = Instant::now();
        let scan_name = request.name().to_owned();
        let judged = match decode(request) {
            Err(error) if request.if_unreadable == IfUnreadable::Refuse => return Err(InspectError::Unreadable(error)),
            Err(error) => Judged::without_scan(ScanRecord::not_read(scan_name, error.to_string(), given, model)),
            Ok(loaded) => {
                let read = start.elapsed().as_secs_f64();
                let inspection = model.inspect(&loaded, given);
                let mut record = ScanRecord::of(scan_name, &loaded.scan, &inspection, model);
                let drawing = Instant::now();
                let pictures = Pictures::of(&loaded.scan, &inspection);
                if let Some(seconds) = &mut record.seconds {
                    seconds.read = read;
                    seconds.pictures = drawing.elapsed().as_secs_f64();
                }
                Judged { scan: record, size: Some(loaded.scan.size()), pictures }
            }
        };
        if !is_wanted() {
            return Ok(None);
        }
        self.conclude(request, judged, start).map(Some)
    }

    /// Keeps a scan as not judged, for a reason that lies not in its files.
    ///
    /// # Errors
    /// If it cannot be kept, or the model knows no such category.
    pub fn keep_unjudged(&self, request: &InspectionRequest, reason: &str) -> Result<Inspected, InspectError> {
        let model = &request.model.model;
        let given = request.category.as_deref().map(|category| model.category(category)).transpose()?;
        let scan = ScanRecord::not_read(request.name().to_owned(), reason.to_owned(), given, model);
        self.conclude(request, Judged::without_scan(scan), Instant::now())
    }

    /// Keeps what came of a scan, and tells of it.
    fn conclude(&self, request: &InspectionRequest, judged: Judged, start: Instant) -> Result<Inspected, InspectError> {
        let Judged { scan, size, pictures } = judged;
        let record = Record::new(RecordParts {
            scan,
            id: Uuid::now_v7().to_string(),
            received_ms: request.received_ms,
            model: &request.model.name,
            model_sha256: &request.model.sha256,
            only_category: request.model.only_category(),
            serial: request.serial.clone(),
            meta: request.meta.clone(),
            scan_size: size,
            map: pictures.place,
            read_as: ReadAs::of(&request.options),
        });
        let summary = self.keep(request, &record, &pictures)?;
        self.measures.inspected(&record, start.elapsed());
        self.observe(&request.model, &summary);
        self.tell(Event::Inspection(Box::new(summary.clone())));
        Ok(Inspected { record, summary, fused: pictures.fused })
    }

    fn keep(&self, request: &InspectionRequest, record: &Record, pictures: &Pictures) -> Result<Summary, StoreError> {
        let files = [
            (FileRole::Cloud, request.cloud.as_ref().map(|file| &file.bytes)),
            (FileRole::Rgb, request.rgb.as_ref().map(|file| &file.bytes)),
            (FileRole::Intrinsics, request.intrinsics.as_ref().map(|file| &file.bytes)),
            (FileRole::Maps, pictures.maps.as_ref()),
            (FileRole::Thumbnail, pictures.thumbnail.as_ref()),
        ];
        let files = files.into_iter().filter_map(|(role, bytes)| Some((role, bytes?.as_slice()))).collect();
        // Plain numbers, texts and lists: there is nothing in it that JSON cannot hold.
        let text = serde_json::to_string(record).expect("a record as JSON");
        let started = Instant::now();
        let summary = self.store.keep(&NewInspection {
            summary: record.summary(request.received_ms),
            record: text,
            files,
            watched: request.watched.as_ref(),
            sinks: &self.sinks,
        })?;
        self.measures.kept(started.elapsed());
        Ok(summary)
    }

    fn observe(&self, loaded: &LoadedModel, summary: &Summary) {
        if let Some(drift) = self.drift.observe(&observation(loaded, summary)) {
            tracing::warn!(model = loaded.name, state = ?drift.state, category = drift.category, "drift");
            self.tell(Event::Drift { model: loaded.name.clone(), drift: Box::new(drift) });
        }
    }

    /// Goes through a version's last inspections again, oldest first. Scans of no category are counted from the start on.
    fn remember_drift(&self, loaded: &LoadedModel) -> Result<(), StoreError> {
        for detector in loaded.model.detectors() {
            let filter = Filter {
                model: Some(loaded.name.clone()),
                category: Some(detector.provenance().name.clone()),
                ..Filter::default()
            };
            let page = self.store.inspections(&filter, crate::drift::WINDOW)?;
            for summary in page.inspections.iter().rev().filter(|summary| summary.model_sha256 == loaded.sha256) {
                self.drift.observe(&observation(loaded, summary));
            }
        }
        Ok(())
    }
}

fn observation<'a>(loaded: &'a LoadedModel, summary: &'a Summary) -> Observation<'a> {
    let detector: Option<&Detector> =
        summary.category.as_deref().and_then(|category| loaded.model.category(category).ok());
    Observation {
        model_sha256: &loaded.sha256,
        category: summary.category.as_deref(),
        good_scores: detector.map_or(&[], |detector| &detector.threshold().good_scores),
        score: summary.score.filter(|_| summary.verdict != RecordVerdict::NotJudged).map(|score| score as f32),
        at_ms: summary.received_ms,
    }
}

/// Reads a request's files.
fn decode(request: &InspectionRequest) -> Result<LoadedScan, DataError> {
    fn named(file: &UploadedFile) -> NamedBytes<'_> {
        NamedBytes { name: Path::new(&file.name), bytes: &file.bytes }
    }
    let Some(cloud) = &request.cloud else {
        let path = request.rgb.as_ref().map(|file| file.name.as_str()).unwrap_or_default();
        return Err(DataError::MissingPartner {
            path: path.into(),
            wanted: "cloud",
            partner: Path::new(path).with_extension("*"),
        });
    };
    let files = ScanBytes {
        cloud: named(cloud),
        rgb: request.rgb.as_ref().map(named),
        intrinsics: request.intrinsics.as_ref().map(named),
    };
    Ok(LoadedScan { scan: decode_scan(&files, &request.options)?, mask: None })
}

/// What came of a scan.
struct Judged {
    scan: ScanRecord,
    /// Size of the scan, if it could be read.
    size: Option<GridSize>,
    pictures: Pictures,
}

impl Judged {
    fn without_scan(scan: ScanRecord) -> Self {
        Self { scan, size: None, pictures: Pictures::default() }
    }
}

/// What is kept of a scan beside its record and its own files.
#[derive(Default)]
struct Pictures {
    place: Option<MapPlace>,
    maps: Option<Vec<u8>>,
    fused: Option<ScoreMap>,
    thumbnail: Option<Vec<u8>>,
}

impl Pictures {
    fn of(scan: &Scan, inspection: &RoutedInspection<'_>) -> Self {
        let Some((detector, judged)) = inspection.detector.zip(inspection.outcome.as_ref().ok()) else {
            return Self { thumbnail: thumbnail(scan.rgb(), None), ..Self::default() };
        };
        let [sdf, rgb] = detector.maps_on_fused_scale(&judged.maps);
        let (frame, good_peak) = (judged.sample.frame(), detector.good_peak());
        Self {
            place: Some(MapPlace {
                side: frame.side,
                square_side: frame.square_side,
                offset: [frame.offset.0, frame.offset.1],
                good_peak,
            }),
            maps: Some(pack([&sdf, &rgb, &judged.maps.fused])),
            fused: Some(judged.maps.fused.clone()),
            thumbnail: thumbnail(scan.rgb(), Some(Heat { map: &judged.maps.fused, frame, good_peak })),
        }
    }
}
