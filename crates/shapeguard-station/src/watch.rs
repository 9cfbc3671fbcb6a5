//! A folder that is watched: each scan that appears is inspected, once.
//!
//! The folder is listed again and again, since a camera's share on another machine sends no notices. What was inspected is
//! remembered in the same transaction that keeps the inspection ([`crate::store`], `watched`), by the sizes and times of the
//! scan's files and a hash of what they hold: whatever ends the program, a scan is inspected neither twice nor never. A scan
//! whose files change afterwards is another scan; one that is merely touched or copied again is not.

mod found;
mod waiting;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shapeguard::outputs::RecordVerdict;
use shapeguard_core::settings::ForegroundMethod;
use shapeguard_data::{DataError, ReadOptions, discover_arriving};
use tokio::sync::oneshot::error::TryRecvError;

use crate::queue::{Answer, Queue, Ticket};
use crate::shelf::ShelfError;
use crate::station::{IfUnreadable, InspectError, InspectionRequest, Station};
use crate::store::{Seen, StoreError, Summary, WatchedScan};
use crate::time::now_ms;
use found::{Files, Found, is_cleaned_up};
use waiting::Waiting;

/// How often the folder is listed: far below the takt of any line.
const PERIOD: Duration = Duration::from_millis(200);
/// Listing takes at most one part in so many of the time, however many files there are.
const IDLE_PARTS: u32 = 9;
/// How often it is looked what became of the scans in the line, so that the workers never wait for the next one for long.
const TICK: Duration = Duration::from_millis(20);
/// How long nothing new is begun after something failed that is not the scan's fault, like a full disk.
const PAUSE: Duration = Duration::from_secs(5);
/// How often it is said again that the folder cannot be listed.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);
/// How often scans that are gone are looked for: what is forgotten has been gone for a month.
const FORGET_PERIOD: Duration = Duration::from_secs(86_400);
/// Scans in the line at the same time for each worker: the next ones are read while those before them are judged.
const IN_LINE_PER_WORKER: usize = 2;
/// What the folder itself is remembered under: it has been watched, even if nothing lay there yet.
const ITSELF: &str = "";
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
    /// A scan can be neither judged nor kept.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// It cannot be told which scans lie there.
    #[error(transparent)]
    List(#[from] DataError),
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
    /// The folder's full name.
    root: PathBuf,
    /// What was inspected is remembered under it.
    folder: String,
    /// What was inspected of the scans that lie there; `None`: nothing.
    seen: HashMap<String, Option<Seen>>,
    waiting: Waiting,
    /// Scans that are to be tried, and what becomes of one that cannot be read; oldest first.
    ready: VecDeque<(Found, IfUnreadable)>,
    in_line: Vec<InLine>,
    /// Scans whose inspection panicked, as they were then.
    panicked: HashMap<String, Seen>,
    not_before: Instant,
    forget_at: Instant,
    /// The last complaint about the folder, so that it is not repeated five times a second, and when it was made.
    complaint: Option<(String, Instant)>,
    done: Watched,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("options", &self.options).field("done", &self.done).finish_non_exhaustive()
    }
}

impl Watcher {
    /// Makes sure that the folder can be watched.
    ///
    /// # Errors
    /// If the folder, the model or the category is not there, the model wants masks, or the store fails.
    pub fn new(station: Arc<Station>, queue: Arc<Queue>, options: WatchOptions) -> Result<Self, WatchError> {
        let fail = |source| WatchError::Folder { folder: options.folder.clone(), source };
        let root = options.folder.canonicalize().map_err(fail)?;
        std::fs::read_dir(&root).map_err(fail)?;
        let loaded = station.shelf.model(&options.model)?;
        options.category.as_deref().map(|category| loaded.model.category(category)).transpose()?;
        if loaded.model.settings().foreground.method == ForegroundMethod::Mask {
            return Err(InspectError::WantsMask { model: loaded.name.clone() }.into());
        }
        let now = Instant::now();
        let mut watcher = Self {
            waiting: Waiting::new(options.settle, options.patience),
            folder: root.to_string_lossy().into_owned(),
            station,
            queue,
            options,
            root,
            seen: HashMap::new(),
            ready: VecDeque::new(),
            in_line: Vec::new(),
            panicked: HashMap::new(),
            not_before: now,
            forget_at: now,
            complaint: None,
            done: Watched::default(),
        };
        if watcher.station.store.watched(&watcher.folder, ITSELF)?.is_none() {
            watcher.begin_first()?;
        }
        Ok(watcher)
    }

    /// Watches until it is told to stop, or everything is inspected if that is enough; what was taken is finished.
    ///
    /// # Errors
    /// If everything is to be inspected and something cannot be. Otherwise it is tried again.
    pub fn run(mut self, stop: &AtomicBool) -> Result<Watched, WatchError> {
        loop {
            let start = Instant::now();
            let listed = self.list();
            let next = Instant::now() + PERIOD.max(start.elapsed() * IDLE_PARTS);
            let is_listed = listed.is_ok();
            let sifted = listed.and_then(|found| self.sift(found, start));
            self.or_later(sifted)?;
            while Instant::now() < next {
                self.collect()?;
                if stop.load(Ordering::Relaxed) {
                    if self.in_line.is_empty() {
                        return Ok(self.done);
                    }
                } else {
                    self.fill()?;
                    if self.options.is_once && is_listed && self.waiting.is_empty() && self.in_line.is_empty() {
                        return Ok(self.done);
                    }
                }
                std::thread::sleep(TICK);
            }
        }
    }

    /// Remembers that the folder is watched, and if only new scans are wanted, what lies there as inspected.
    fn begin_first(&mut self) -> Result<(), WatchError> {
        let mut scans = vec![self.watched(ITSELF.to_owned(), String::new(), String::new())];
        if self.options.is_new_only {
            scans.extend(self.list()?.into_iter().map(|found| self.watched(found.name, found.stamp, String::new())));
        }
        Ok(self.station.store.note_watched(&scans, now_ms())?)
    }

    fn watched(&self, scan: String, stamp: String, content: String) -> WatchedScan {
        WatchedScan { folder: self.folder.clone(), scan, seen: Seen { stamp, content } }
    }

    /// The scans that lie in the folder.
    fn list(&self) -> Result<Vec<Found>, WatchError> {
        let sources = discover_arriving(&self.root)?;
        Ok(sources.into_iter().filter_map(|source| Found::of(&self.root, source)).collect())
    }

    /// Finds those that are whole and not inspected yet.
    fn sift(&mut self, found: Vec<Found>, now: Instant) -> Result<(), WatchError> {
        self.complaint = None;
        let there: HashSet<&str> = found.iter().map(|found| found.name.as_str()).collect();
        self.waiting.keep_only(|scan| there.contains(scan));
        self.seen.retain(|scan, _| there.contains(scan.as_str()));
        self.panicked.retain(|scan, _| there.contains(scan.as_str()));
        // A share that is away looks like an empty folder.
        if now >= self.forget_at && !there.is_empty() {
            self.station.store.forget_watched(&self.folder, there.into_iter().chain([ITSELF]), now_ms())?;
            self.forget_at = now + FORGET_PERIOD;
        }
        let in_line: HashSet<String> = self.in_line.iter().map(|one| one.watched.scan.clone()).collect();
        let mut ready = Vec::new();
        for found in found {
            if in_line.contains(&found.name) || self.is_inspected(&found)? {
                continue;
            }
            if let Some(if_unreadable) = self.waiting.look(&found.name, &found.awaited(), now) {
                ready.push((found, if_unreadable));
            }
        }
        ready.sort_by(|(a, _), (b, _)| (a.written, &a.name).cmp(&(b.written, &b.name)));
        self.ready = ready.into();
        Ok(())
    }

    fn is_inspected(&mut self, found: &Found) -> Result<bool, StoreError> {
        if !self.seen.contains_key(&found.name) {
            let seen = self.station.store.watched(&self.folder, &found.name)?;
            self.seen.insert(found.name.clone(), seen);
        }
        let seen = self.seen.get(&found.name).and_then(Option::as_ref);
        Ok(seen.is_some_and(|seen| seen.stamp == found.stamp || is_cleaned_up(&seen.stamp, &found.stamp)))
    }

    /// Puts scans in the line, as long as there is room.
    fn fill(&mut self) -> Result<(), WatchError> {
        let most = IN_LINE_PER_WORKER * self.queue.workers();
        while Instant::now() >= self.not_before && self.in_line.len() < most && !self.queue.is_full() {
            let Some((found, if_unreadable)) = self.ready.pop_front() else { break };
            let begun = self.begin(found, if_unreadable);
            self.or_later(begun)?;
        }
        Ok(())
    }

    /// Reads a scan and puts it in the line.
    fn begin(&mut self, found: Found, if_unreadable: IfUnreadable) -> Result<(), WatchError> {
        let (files, fault) = match Files::read(&found.source, self.options.largest_bytes) {
            Ok(files) => (files, found.source.check_partner().err()),
            Err(error) => (Files::default(), Some(error)),
        };
        if found.has_changed() {
            // It was written to meanwhile.
            return Ok(());
        }
        let Found { name, source, stamp, .. } = found;
        if fault.is_some() && if_unreadable == IfUnreadable::Refuse {
            self.waiting.refuse(&name);
            return Ok(());
        }
        let watched = self.watched(name.clone(), stamp, files.content());
        let seen = self.seen.get(&name).and_then(Option::as_ref);
        if fault.is_none() && seen.is_some_and(|seen| seen.content == watched.seen.content) {
            self.station.store.note_watched(std::slice::from_ref(&watched), now_ms())?;
            self.settled(watched);
            return Ok(());
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
        let panicked = self.panicked.get(&name) == Some(&watched.seen);
        let panicked = panicked.then(|| "the inspection panicked; the log has more".to_owned());
        if let Some(reason) = fault.map(|error| error.to_string()).or(panicked) {
            let kept = self.station.keep_unjudged(&request, &reason)?;
            self.kept(watched, &kept.summary);
        } else if let Ok(ticket) = self.queue.submit(request) {
            self.in_line.push(InLine { watched, ticket });
        }
        Ok(())
    }

    /// Notes what became of the scans that were in the line.
    fn collect(&mut self) -> Result<(), WatchError> {
        for InLine { watched, mut ticket } in std::mem::take(&mut self.in_line) {
            match ticket.answer.try_recv() {
                Err(TryRecvError::Empty) => self.in_line.push(InLine { watched, ticket }),
                Ok(Answer::Kept(kept)) => self.kept(watched, &kept.summary),
                Ok(Answer::Failed(InspectError::Unreadable(error))) => {
                    tracing::info!(scan = watched.scan, "not whole yet: {error}");
                    self.waiting.refuse(&watched.scan);
                }
                Ok(Answer::Failed(error)) => self.or_later(Err(error.into()))?,
                Ok(Answer::Panicked) => {
                    tracing::error!(scan = watched.scan, "the inspection panicked");
                    self.panicked.insert(watched.scan, watched.seen);
                }
                // The line was closed: it is inspected after the next start.
                Err(TryRecvError::Closed) => {}
            }
        }
        Ok(())
    }

    fn kept(&mut self, watched: WatchedScan, summary: &Summary) {
        let count = match summary.verdict {
            RecordVerdict::Good => &mut self.done.good,
            RecordVerdict::Rejected => &mut self.done.rejected,
            RecordVerdict::NotJudged => &mut self.done.not_judged,
        };
        *count += 1;
        self.settled(watched);
    }

    /// A scan need no longer be waited for.
    fn settled(&mut self, watched: WatchedScan) {
        self.waiting.remove(&watched.scan);
        self.panicked.remove(&watched.scan);
        self.seen.insert(watched.scan, Some(watched.seen));
    }

    /// Something is wrong that is not a scan's fault: everything stays where it is and is tried again, unless it was to be done
    /// at once.
    fn or_later(&mut self, result: Result<(), WatchError>) -> Result<(), WatchError> {
        let Err(error) = result else { return Ok(()) };
        if self.options.is_once {
            return Err(error);
        }
        let text = error.to_string();
        let is_new = self.complaint.as_ref().is_none_or(|(last, at)| *last != text || at.elapsed() >= COMPLAINT_PERIOD);
        if is_new {
            tracing::error!("{text}; tried again until it is mended");
            self.complaint = Some((text, Instant::now()));
        }
        self.not_before = Instant::now() + PAUSE;
        Ok(())
    }
}
