//! `shapeguard inspect`: the verdict on each scan, as one line of JSON.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use shapeguard::outputs::{OutputFiles, RecordVerdict, ScanRecord, unique_names};
use shapeguard::{Detector, Model, model_file};
use shapeguard_core::seams::Progress;
use shapeguard_data::{DataError, ScanSource, check_folder};

use crate::Outcome;
use crate::device::DeviceOption;
use crate::output::{self, counted};
use crate::progress::Bars;
use crate::scans::{ScanOptions, ScanReader, expand};

/// Scans in work or waiting to be printed, per thread: bounds the memory that decoded scans take.
const SCANS_IN_FLIGHT_PER_THREAD: usize = 2;

/// Judge scans: one JSON line for each, in the order given.
///
/// A model for several categories first tells which of them a scan shows, and compares it with that one alone. A part that it
/// does not know is "not-judged".
///
/// Exit code 0: all are good; 1: some are rejected; 2: an error, or some cannot be judged (verdict "not-judged" with a
/// "reason"), or some pictures cannot be written (the verdict stands, "warnings" say why).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard inspect part.shapeguard parts/new/*.ply\n  shapeguard inspect part.shapeguard parts/test --out pictures --ply --human\n  shapeguard inspect all-parts.shapeguard new/*.ply --category gear"
)]
pub struct InspectArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Clouds (their colour images are found beside them), folders of scans, or patterns like 'scans/*.ply'
    #[arg(value_name = "SCAN", required = true)]
    scan: Vec<PathBuf>,
    /// Write NAME-heat.png and NAME-overlay.png of each scan to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write NAME.ply too: the point cloud in the overlay's colours, with each point's score
    #[arg(long, requires = "out")]
    ply: bool,
    /// Overwrite pictures that exist
    #[arg(long, requires = "out")]
    force: bool,
    /// Category of all scans, for a model that knows several: they are compared with it whatever they look like
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Print a table instead of JSON lines
    #[arg(long)]
    human: bool,
    #[command(flatten)]
    device: DeviceOption,
    #[command(flatten)]
    scans: ScanOptions,
}

/// Who judges.
#[derive(Clone, Copy)]
pub(crate) struct Inspector<'a> {
    pub(crate) model: &'a Model,
    /// The category that all scans are of, where that was said.
    pub(crate) category: Option<&'a Detector>,
    pub(crate) reader: &'a ScanReader,
    /// Whether pictures may be overwritten.
    pub(crate) force: bool,
}

/// A scan that is to be judged.
pub(crate) struct Task {
    source: ScanSource,
    files: Option<OutputFiles>,
}

/// What became of it.
pub(crate) struct Done {
    pub(crate) record: ScanRecord,
    /// The record's warnings say why.
    pub(crate) pictures_failed: bool,
}

/// Runs the command.
///
/// # Errors
/// If the model, the device or the arguments are unusable. What is wrong with a single scan is in its line.
pub fn run(args: &InspectArgs, bars: &Bars) -> Result<Outcome> {
    let device = args.device.open()?;
    let model = device.place_model(model_file::load_model(&args.model)?)?;
    let category = args.category.as_deref().map(|name| model.category(name)).transpose().context("--category")?;
    let reader = args.scans.reader(model.settings().foreground.method)?;
    let sources = expand(&args.scan)?;
    reader.check_masks(&sources)?;
    let tasks = tasks(sources, args.out.as_deref(), args.ply, args.force)?;

    let mut counts = [0usize; 3];
    let mut outcome = Outcome::Success;
    if args.human {
        let columns = matches!(model, Model::Routed(_)).then_some(["category", "confidence"]);
        output::text(&format!("{}\n", human_heading(columns)))?;
    }
    let inspector = Inspector { model: &model, category, reader: &reader, force: args.force };
    inspect_all(&tasks, inspector, bars, |done| {
        let line = if args.human { human(&done.record) } else { serde_json::to_string(&done.record)? };
        bars.suspend(|| output::text(&(line + "\n")))?;
        counts[done.record.verdict as usize] += 1;
        outcome = outcome.max(match done.record.verdict {
            _ if done.pictures_failed => Outcome::Incomplete,
            RecordVerdict::Good => Outcome::Success,
            RecordVerdict::Rejected => Outcome::Rejected,
            RecordVerdict::NotJudged => Outcome::Incomplete,
        });
        Ok(())
    })?;
    if args.human {
        let [good, rejected, not_judged] = counts;
        output::text(&format!(
            "\n{}: {good} good, {rejected} rejected, {not_judged} not judged; {}\n",
            counted(tasks.len(), "scan"),
            thresholds(&model, category)
        ))?;
    }
    device.check()?;
    Ok(outcome)
}

/// What scans were compared with.
fn thresholds(model: &Model, category: Option<&Detector>) -> String {
    let number = |detector: &Detector| output::number(f64::from(detector.threshold().score));
    match (model, category) {
        (Model::Single(detector), _) => format!("threshold {}", number(detector)),
        (Model::Routed(_), Some(detector)) => {
            format!("threshold of {} {}", detector.provenance().name, number(detector))
        }
        (Model::Routed(routed), None) => {
            let of_each = routed.detectors().iter().map(|d| format!("{} {}", d.provenance().name, number(d)));
            format!("thresholds {}", of_each.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Inspects scans and hands over each result in their order.
///
/// # Errors
/// The first error of `done`.
pub(crate) fn inspect_all(
    tasks: &[Task],
    inspector: Inspector<'_>,
    progress: &dyn Progress,
    mut done: impl FnMut(Done) -> Result<()>,
) -> Result<()> {
    progress.begin("Inspecting", tasks.len());
    let result = in_order(
        tasks,
        |task| inspect_one(task, inspector),
        |one| {
            progress.step();
            done(one)
        },
    );
    progress.end();
    result
}

/// The scans with the pictures that each will have.
///
/// # Errors
/// If pictures would overwrite something, or their folder cannot be made or written to.
pub(crate) fn tasks(sources: Vec<ScanSource>, out: Option<&Path>, ply: bool, force: bool) -> Result<Vec<Task>> {
    let Some(folder) = out else {
        return Ok(sources.into_iter().map(|source| Task { source, files: None }).collect());
    };
    let files: Vec<OutputFiles> =
        unique_names(&sources).iter().map(|name| OutputFiles::named(folder, name, ply)).collect();
    refuse_pictures(&files, &sources, force)?;
    check_folder(folder)?;
    Ok(sources.into_iter().zip(files).map(|(source, files)| Task { source, files: Some(files) }).collect())
}

/// Refuses pictures that would overwrite something: others without consent, the scans themselves ever.
fn refuse_pictures(files: &[OutputFiles], sources: &[ScanSource], force: bool) -> Result<()> {
    let inputs: HashSet<PathBuf> = sources
        .iter()
        .flat_map(|source| [Some(&source.cloud), source.rgb.as_ref()])
        .flatten()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    for path in files.iter().flat_map(OutputFiles::paths) {
        // What cannot be resolved does not exist.
        let Ok(resolved) = path.canonicalize() else { continue };
        if inputs.contains(&resolved) {
            bail!("{}: this is one of the scans, which are never overwritten; give another --out", path.display());
        }
        if !force {
            return Err(DataError::Exists { path: path.to_path_buf() }.into());
        }
    }
    Ok(())
}

/// Reads and judges one scan, and writes its pictures.
pub(crate) fn inspect_one(task: &Task, inspector: Inspector<'_>) -> Done {
    let Inspector { model, category, reader, force } = inspector;
    let name = task.source.cloud.display().to_string();
    let start = Instant::now();
    let loaded = match reader.load(&task.source) {
        Ok(loaded) => loaded,
        Err(error) => {
            let record = ScanRecord::not_read(name, error.to_string(), category, model);
            return Done { record, pictures_failed: false };
        }
    };
    let read = start.elapsed().as_secs_f64();
    let inspection = model.inspect(&loaded, category);
    let mut record = ScanRecord::of(name, &loaded.scan, &inspection, model);
    let drawing = Instant::now();
    let mut pictures_failed = false;
    if let (Some(files), Some(detector), Ok(judged)) = (&task.files, inspection.detector, &inspection.outcome) {
        // The verdict stands, whatever happens to its picture.
        match files.write(&loaded.scan, judged, detector.good_peak(), force) {
            Ok(()) => record.files = Some(files.clone()),
            Err(error) => {
                pictures_failed = true;
                record.warnings.push(error.to_string());
            }
        }
    }
    if let Some(seconds) = &mut record.seconds {
        seconds.read = read;
        if task.files.is_some() {
            seconds.pictures = drawing.elapsed().as_secs_f64();
        }
    }
    Done { record, pictures_failed }
}

/// Works on items in parallel, a bounded number at a time, and hands over the results in the items' order, each as soon
/// as it and all before it are there.
///
/// # Errors
/// The first error of `done`; then no further item is begun.
fn in_order<T: Sync, U: Send>(
    items: &[T],
    work: impl Fn(&T) -> U + Sync,
    mut done: impl FnMut(U) -> Result<()>,
) -> Result<()> {
    let window = SCANS_IN_FLIGHT_PER_THREAD * rayon::current_num_threads();
    let work = &work;
    // `in_place`: this thread waits for results, so it must not be one of those that work.
    rayon::in_place_scope(|scope| {
        let mut waiting = VecDeque::with_capacity(window);
        let mut items = items.iter();
        loop {
            while waiting.len() < window
                && let Some(item) = items.next()
            {
                let (sender, receiver) = mpsc::sync_channel(1);
                scope.spawn(move |_| {
                    // Nobody listens any more after an error.
                    let _ = sender.send(work(item));
                });
                waiting.push_back(receiver);
            }
            let Some(next) = waiting.pop_front() else { return Ok(()) };
            match next.recv() {
                Ok(result) => done(result)?,
                // The work panicked; the scope passes that on.
                Err(_) => return Ok(()),
            }
        }
    })
}

fn human(record: &ScanRecord) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), output::number);
    let columns = record.category.as_ref().map(|category| {
        // What was routed to no category is unknown; of what was not routed nothing is known.
        let none = if category.nearest_category.is_some() { "unknown" } else { "-" };
        let known = category.category.clone();
        let confidence = category.confidence.filter(|_| known.is_some());
        let confidence = confidence.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"));
        [known.unwrap_or_else(|| none.to_owned()), confidence]
    });
    let mut line = human_line(
        &record.verdict.to_string(),
        &number(record.score.map(f64::from)),
        &number(record.p_value),
        columns.as_ref().map(|[category, confidence]| [category.as_str(), confidence.as_str()]),
        &record.scan,
    );
    for note in record.reason.iter().chain(&record.warnings) {
        line += &format!("\n{:12}{note}", "");
    }
    line
}

/// What stands above the lines of [`human_line`].
pub(crate) fn human_heading(columns: Option<[&str; 2]>) -> String {
    human_line("verdict", "score", "p-value", columns, "scan")
}

/// `columns` are those of a model for several categories.
pub(crate) fn human_line(verdict: &str, score: &str, p_value: &str, columns: Option<[&str; 2]>, scan: &str) -> String {
    let columns =
        columns.map_or_else(String::new, |[category, confidence]| format!("{category:16}  {confidence:>10}  "));
    format!("{verdict:10}  {score:>10}  {p_value:>7}  {columns}{scan}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn results_come_in_order_and_only_so_many_are_in_flight() {
        let items: Vec<usize> = (0..200).collect();
        let (begun, handed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut seen = Vec::new();
        in_order(
            &items,
            |item| {
                let ahead = begun.fetch_add(1, Ordering::SeqCst).saturating_sub(handed.load(Ordering::SeqCst));
                // Later items are often ready first.
                std::thread::sleep(std::time::Duration::from_micros((item % 7) as u64 * 50));
                (*item, ahead)
            },
            |(item, ahead)| {
                handed.fetch_add(1, Ordering::SeqCst);
                assert!(ahead <= SCANS_IN_FLIGHT_PER_THREAD * rayon::current_num_threads(), "{ahead}");
                seen.push(item);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, items);
    }

    #[test]
    fn the_first_error_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let result = in_order(
            &(0..1000).collect::<Vec<i32>>(),
            |item| {
                begun.fetch_add(1, Ordering::SeqCst);
                *item
            },
            |item| if item == 3 { bail!("enough") } else { Ok(()) },
        );
        assert_eq!(result.unwrap_err().to_string(), "enough");
        assert!(begun.load(Ordering::SeqCst) <= 4 + SCANS_IN_FLIGHT_PER_THREAD * rayon::current_num_threads());
    }

    #[test]
    fn pictures_never_replace_the_scans() {
        let folder = tempfile::tempdir().unwrap();
        let scan = folder.path().join("part.ply");
        std::fs::write(&scan, b"").unwrap();
        let source = ScanSource::cloud_only(&scan);
        for force in [false, true] {
            let error = tasks(vec![source.clone()], Some(folder.path()), true, force).err().unwrap().to_string();
            assert!(error.contains("never overwritten"), "{error}");
        }
        assert_eq!(tasks(vec![source.clone()], Some(folder.path()), false, false).unwrap().len(), 1);
        std::fs::write(folder.path().join("part-heat.png"), b"").unwrap();
        let error = tasks(vec![source.clone()], Some(folder.path()), false, false).err().unwrap().to_string();
        assert!(error.contains("exists already"), "{error}");
        assert!(tasks(vec![source], Some(folder.path()), false, true).is_ok());
    }
}
