//! A folder that is watched: each scan that appears is inspected, once.
//!
//! The folder is listed again and again, since a camera's share on another machine sends no notices. What was inspected is
//! remembered in the same transaction that keeps the inspection ([`crate::store`], `watched`), by the sizes and times of the
//! scan's files and a hash of what they hold: whatever ends the program, a scan is inspected neither twice nor never. A scan
//! whose files change afterwards is another scan; one that is merely touched or copied again is not.

mod waiting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use shapeguard::outputs::RecordVerdict;
use shapeguard_data::{DataError, ReadOptions, ScanSource, discover_scans};

use crate::queue::{Answer, NotTaken, Queue, Ticket};
use crate::sha256;
use crate::shelf::ShelfError;
use crate::station::{IfUnreadable, InspectError, InspectionRequest, Station, UploadedFile};
use crate::store::{Seen, StoreError, Summary, WatchedScan};
use crate::time::now_ms;
use waiting::Waiting;

/// How often the folder is listed: far below the takt of any line.
const PERIOD: Duration = Duration::from_millis(200);
/// Listing takes at most one part in so many of the time, however many files there are.
const IDLE_PARTS: u32 = 9;
/// How long nothing new is begun after something failed that is not the scan's fault, like a full disk.
const PAUSE: Duration = Duration::from_secs(5);
/// How often scans that are gone are looked for: what is forgotten has been gone for a month.
const FORGET_PERIOD: Duration = Duration::from_secs(86_400);
/// Scans in the line at the same time for each worker: the next ones are read while those before them are judged.
const IN_LINE_PER_WORKER: usize = 2;
/// The free key that names the scan's file.
const FILE: &str = "file";

/// How a folder is watched.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The folder: clouds with the image of the same name beside them, or in `xyz/` (or `depth/`) and `rgb/`.
    pub folder: PathBuf,
    /// The model that judges, by its name.
    pub model: String,
    /// The category, of a model for several, if it is known.
    pub category: Option<String>,
    /// What the files don't say about themselves.
    pub read: ReadOptions,
    /// Largest file that is read, bytes.
    pub largest_bytes: u64,
    /// How long a scan's files stay the same before they are read.
    pub settle: Duration,
    /// How long they stay the same before one that cannot be read, or lacks its other file, is kept as not judged.
    pub patience: Duration,
    /// Whether what lies there at the very start is left alone.
    pub is_new_only: bool,
    /// Whether to end when everything that lies there is inspected.
    pub is_once: bool,
}

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It is not there.
    #[error("{folder}: cannot be watched: {source}; give a folder that is there and may be read")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// There is no such model.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The model knows no such category.
    #[error(transparent)]
    Category(#[from] shapeguard::model::UnknownCategory),
    /// What was inspected cannot be remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Scans that were found good.
    pub good: usize,
    /// Scans that were rejected.
    pub rejected: usize,
    /// Scans that were not judged.
    pub not_judged: usize,
}

/// A scan that is in the line.
struct InLine {
    watched: WatchedScan,
    ticket: Ticket,
}

/// A folder and what is known of the scans in it.
pub struct Watcher {
    station: Arc<Station>,
    queue: Arc<Queue>,
    options: WatchOptions,
    /// The folder's full name: what was inspected is remembered under it.
    folder: String,
    seen: HashMap<String, Seen>,
    waiting: Waiting,
    in_line: Vec<InLine>,
    /// Scans whose inspection panicked.
    panicked: HashSet<String>,
    not_before: Instant,
    /// The last complaint about the folder, so that it is not repeated five times a second.
    complaint: Option<String>,
    done: Watched,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("options", &self.options).field("done", &self.done).finish_non_exhaustive()
    }
}

/// A scan that lies in the folder.
struct Found {
    /// The file of its cloud, relative to the folder.
    name: String,
    source: ScanSource,
    stamp: String,
}

impl Watcher {
    /// Makes sure that the folder can be watched, and reads what was inspected of it.
    ///
    /// # Errors
    /// If the folder, the model or the category is not there, or the store fails.
    pub fn new(station: Arc<Station>, queue: Arc<Queue>, options: WatchOptions) -> Result<Self, WatchError> {
        let fail = |source| WatchError::Folder { folder: options.folder.clone(), source };
        let folder = options.folder.canonicalize().map_err(fail)?;
        std::fs::read_dir(&folder).map_err(fail)?;
        let model = station.shelf.model(&options.model)?;
        options.category.as_deref().map(|category| model.model.category(category)).transpose()?;
        let folder = folder.to_string_lossy().into_owned();
        let seen = station.store.watched(&folder)?;
        let mut watcher = Self {
            waiting: Waiting::new(options.settle, options.patience),
            station,
            queue,
            options,
            folder,
            seen,
            in_line: Vec::new(),
            panicked: HashSet::new(),
            not_before: Instant::now(),
            complaint: None,
            done: Watched::default(),
        };
        if watcher.options.is_new_only && watcher.seen.is_empty() {
            watcher.leave_alone()?;
        }
        Ok(watcher)
    }

    /// Watches until it is told to stop, or everything is inspected if that is enough; what was taken is finished.
    ///
    /// # Errors
    /// If what was inspected can no longer be remembered.
    pub fn run(mut self, stop: &AtomicBool) -> Result<Watched, WatchError> {
        let mut forget_at = Instant::now();
        loop {
            let start = Instant::now();
            self.collect();
            let is_stopping = stop.load(Ordering::Relaxed);
            if is_stopping && self.in_line.is_empty() {
                return Ok(self.done);
            }
            if !is_stopping {
                let found = self.list();
                if start >= forget_at && !found.is_empty() {
                    let there = found.iter().map(|found| found.name.as_str());
                    self.station.store.forget_watched(&self.folder, there, now_ms())?;
                    forget_at = start + FORGET_PERIOD;
                }
                self.take(found, start)?;
                if self.options.is_once && self.waiting.is_empty() && self.in_line.is_empty() {
                    return Ok(self.done);
                }
            }
            std::thread::sleep(PERIOD.max(start.elapsed() * IDLE_PARTS));
        }
    }

    /// Remembers everything that lies there as inspected.
    fn leave_alone(&mut self) -> Result<(), StoreError> {
        let scans: Vec<WatchedScan> =
            self.list().into_iter().map(|found| self.watched(found.name, found.stamp, String::new())).collect();
        self.station.store.note_watched(&scans, now_ms())?;
        self.seen.extend(scans.into_iter().map(|scan| (scan.scan, scan.seen)));
        Ok(())
    }

    fn watched(&self, scan: String, stamp: String, content: String) -> WatchedScan {
        WatchedScan { folder: self.folder.clone(), scan, seen: Seen { stamp, content } }
    }

    /// The scans that lie in the folder.
    fn list(&mut self) -> Vec<Found> {
        let root = Path::new(&self.folder);
        match discover_scans(root) {
            Ok(sources) => {
                self.complaint = None;
                sources.into_iter().filter_map(|source| Found::of(root, source)).collect()
            }
            // Nothing has come yet.
            Err(DataError::EmptyFolder { path }) if path == root => Vec::new(),
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!("nothing to inspect: {complaint}");
                }
                self.complaint = Some(complaint);
                Vec::new()
            }
        }
    }

    /// Puts the scans that are whole in the line, oldest first.
    fn take(&mut self, found: Vec<Found>, now: Instant) -> Result<(), WatchError> {
        {
            let there: HashSet<&str> = found.iter().map(|found| found.name.as_str()).collect();
            self.waiting.keep_only(|scan| there.contains(scan));
        }
        let in_line: HashSet<String> = self.in_line.iter().map(|one| one.watched.scan.clone()).collect();
        let mut ready: Vec<(Found, IfUnreadable)> = found
            .into_iter()
            .filter(|found| self.seen.get(&found.name).is_none_or(|seen| seen.stamp != found.stamp))
            .filter(|found| !in_line.contains(&found.name))
            .filter_map(|found| {
                let readiness = self.waiting.look(&found.name, &found.stamp, now)?;
                Some((found, readiness))
            })
            .collect();
        let most = (IN_LINE_PER_WORKER * self.queue.workers()).min(self.queue.capacity());
        if now < self.not_before || self.in_line.len() >= most {
            return Ok(());
        }
        ready.sort_by_cached_key(|(found, _)| (modified(&found.source.cloud), found.name.clone()));
        for (found, if_unreadable) in ready {
            if self.in_line.len() >= most || !self.begin(found, if_unreadable)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads a scan and puts it in the line; `false` if no more can be taken now.
    fn begin(&mut self, found: Found, if_unreadable: IfUnreadable) -> Result<bool, WatchError> {
        let Found { name, source, stamp } = found;
        let (files, fault) = match read(&source, self.options.largest_bytes) {
            Ok(files) => (files, None),
            Err(_) if if_unreadable == IfUnreadable::Refuse => {
                self.waiting.refuse(&name);
                return Ok(true);
            }
            Err(error) => (Files::default(), Some(error.to_string())),
        };
        if stamp_of(&source) != stamp {
            // It was written to meanwhile.
            return Ok(true);
        }
        let content = files.content();
        let watched = self.watched(name.clone(), stamp, content);
        if fault.is_none() && self.seen.get(&name).is_some_and(|seen| seen.content == watched.seen.content) {
            self.station.store.note_watched(std::slice::from_ref(&watched), now_ms())?;
            self.waiting.remove(&name);
            self.seen.insert(name, watched.seen);
            return Ok(true);
        }
        let request = InspectionRequest {
            model: self.station.shelf.model(&self.options.model)?,
            category: self.options.category.clone(),
            serial: source.cloud.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
            meta: BTreeMap::from([(FILE.to_owned(), name.clone())]),
            cloud: files.cloud,
            rgb: files.rgb,
            intrinsics: files.intrinsics,
            options: self.options.read.clone(),
            received_ms: now_ms(),
            watched: Some(watched.clone()),
            if_unreadable,
        };
        let panicked = self.panicked.contains(&name).then(|| "the inspection panicked; the log has more".to_owned());
        if let Some(reason) = fault.or(panicked) {
            match self.station.keep_unjudged(&request, &reason) {
                Ok(kept) => self.kept(watched, &kept.summary),
                Err(error) => self.pause(&error),
            }
            return Ok(true);
        }
        match self.queue.submit(request) {
            Ok(ticket) => {
                self.in_line.push(InLine { watched, ticket });
                Ok(true)
            }
            Err(NotTaken::Full | NotTaken::Stopping) => Ok(false),
        }
    }

    /// Notes what became of the scans that were in the line.
    fn collect(&mut self) {
        for InLine { watched, mut ticket } in std::mem::take(&mut self.in_line) {
            match ticket.answer.try_recv() {
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => self.in_line.push(InLine { watched, ticket }),
                Ok(Answer::Kept(kept)) => self.kept(watched, &kept.summary),
                Ok(Answer::Failed(InspectError::Unreadable(error))) => {
                    tracing::info!(scan = watched.scan, "not whole yet: {error}");
                    self.waiting.refuse(&watched.scan);
                }
                Ok(Answer::Failed(error)) => self.pause(&error),
                Ok(Answer::Panicked) => {
                    tracing::error!(scan = watched.scan, "the inspection panicked");
                    self.panicked.insert(watched.scan);
                }
                // The line was closed: it is inspected after the next start.
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => {}
            }
        }
    }

    fn kept(&mut self, watched: WatchedScan, summary: &Summary) {
        let count = match summary.verdict {
            RecordVerdict::Good => &mut self.done.good,
            RecordVerdict::Rejected => &mut self.done.rejected,
            RecordVerdict::NotJudged => &mut self.done.not_judged,
        };
        *count += 1;
        self.waiting.remove(&watched.scan);
        self.panicked.remove(&watched.scan);
        self.seen.insert(watched.scan, watched.seen);
    }

    /// Something is wrong that is not the scan's fault: it stays where it is, and is tried again.
    fn pause(&mut self, error: &InspectError) {
        tracing::error!("{error}; trying again in {} s", PAUSE.as_secs());
        self.not_before = Instant::now() + PAUSE;
    }
}

impl Found {
    /// `None` if it has vanished again.
    fn of(root: &Path, source: ScanSource) -> Option<Self> {
        let stamp = stamp_of(&source);
        let is_there = stamp.split(' ').any(|file| file != GONE);
        let name = source.cloud.strip_prefix(root).unwrap_or(&source.cloud).to_string_lossy().replace('\\', "/");
        is_there.then_some(Self { name, source, stamp })
    }
}

/// What the stamp says of a file that is not there.
const GONE: &str = "-";

/// Sizes and times of a scan's files.
fn stamp_of(source: &ScanSource) -> String {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        let nanos = metadata.modified().ok()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Some(format!("{}:{nanos}", metadata.len()))
    };
    let files = [Some(&source.cloud), source.rgb.as_ref()];
    let stamps = files.into_iter().flatten().map(|path| stamp(path).unwrap_or_else(|| GONE.to_owned()));
    stamps.collect::<Vec<_>>().join(" ")
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// What a scan's files hold.
#[derive(Default)]
struct Files {
    cloud: Option<UploadedFile>,
    rgb: Option<UploadedFile>,
    intrinsics: Option<UploadedFile>,
}

impl Files {
    fn content(&self) -> String {
        let hash = |file: &Option<UploadedFile>| file.as_ref().map_or(GONE.to_owned(), |file| sha256(&file.bytes));
        format!("{} {}", hash(&self.cloud), hash(&self.rgb))
    }
}

/// Reads a scan's files; one that is not there is left out.
fn read(source: &ScanSource, largest: u64) -> Result<Files, DataError> {
    let read = |path: &Path| -> Result<Option<UploadedFile>, DataError> {
        let fail = |source| DataError::Read { path: path.to_path_buf(), source };
        let bytes = match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > largest => {
                return Err(DataError::Unsupported {
                    path: path.to_path_buf(),
                    expected: format!("a file of at most {} MiB", largest >> 20),
                    found: format!("{} MiB", metadata.len() >> 20),
                    remedy: "raise --max-upload-mib".into(),
                });
            }
            Ok(_) => std::fs::read(path).map_err(fail)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(UploadedFile { name, bytes }))
    };
    Ok(Files {
        cloud: read(&source.cloud)?,
        rgb: source.rgb.as_deref().map(read).transpose()?.flatten(),
        intrinsics: source.intrinsics.as_deref().map(read).transpose()?.flatten(),
    })
}
