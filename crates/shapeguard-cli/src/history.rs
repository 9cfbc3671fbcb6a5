//! `shapeguard history`: what a station remembers, as a list, as tables for other programs, and whether it is whole.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use shapeguard::outputs::RecordVerdict;
use shapeguard_data::{DataError, atomic_write};
use shapeguard_station::store::{FeedbackKind, Filter, Store, StoreOptions, export_csv, export_parquet};
use shapeguard_station::time::{parse_rfc3339, to_rfc3339};
use shapeguard_station::views::SummaryView;

use crate::output::{self, counted};
use crate::progress::Bars;

/// Look into what a station remembers: list inspections, export them, or verify that everything is whole.
///
/// The station may run meanwhile.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard history list --data station --verdict rejected\n  shapeguard history export --data station --out parts.parquet\n  shapeguard history verify --data station"
)]
pub struct HistoryArgs {
    #[command(subcommand)]
    command: HistoryCommand,
}

#[derive(Debug, clap::Subcommand)]
enum HistoryCommand {
    /// List inspections, newest first
    #[command(
        after_help = "Example:\n  shapeguard history list --data station --model biscuit --since 2026-11-28T06:00:00Z"
    )]
    List {
        #[command(flatten)]
        which: Which,
        /// Most inspections
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Print a JSON line for each
        #[arg(long)]
        json: bool,
    },
    /// Write inspections as a table, oldest first: CSV or Parquet, by the file's extension
    #[command(
        after_help = "Example:\n  shapeguard history export --data station --out parts.csv\n  shapeguard history export --data station --verdict rejected --out rejected.parquet"
    )]
    Export {
        #[command(flatten)]
        which: Which,
        /// The file, *.csv or *.parquet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Overwrite it if it exists
        #[arg(long)]
        force: bool,
    },
    /// Read everything and make sure that nothing is lost or damaged; exit code 2 if something is
    #[command(after_help = "Example:\n  shapeguard history verify --data station")]
    Verify {
        /// The station's data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

/// Which inspections.
#[derive(Debug, clap::Args)]
struct Which {
    /// The station's data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Of this model only
    #[arg(long)]
    model: Option<String>,
    /// Of this category only
    #[arg(long)]
    category: Option<String>,
    /// With this verdict only: good, rejected or not-judged
    #[arg(long, value_parser = verdict)]
    verdict: Option<RecordVerdict>,
    /// With this serial number only
    #[arg(long)]
    serial: Option<String>,
    /// With this as the newest feedback only: false-reject, missed or confirmed
    #[arg(long, value_parser = feedback)]
    feedback: Option<FeedbackKind>,
    /// From this moment on, like 2026-11-28T06:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_rfc3339)]
    since: Option<i64>,
    /// Before this moment
    #[arg(long, value_name = "TIME", value_parser = parse_rfc3339)]
    until: Option<i64>,
}

fn verdict(text: &str) -> Result<RecordVerdict, String> {
    [RecordVerdict::Good, RecordVerdict::Rejected, RecordVerdict::NotJudged]
        .into_iter()
        .find(|verdict| verdict.to_string() == text)
        .ok_or_else(|| format!("expected good, rejected or not-judged, found {text:?}"))
}

fn feedback(text: &str) -> Result<FeedbackKind, String> {
    FeedbackKind::of(text).ok_or_else(|| format!("expected false-reject, missed or confirmed, found {text:?}"))
}

impl Which {
    fn open(&self) -> Result<(Store, Filter)> {
        let filter = Filter {
            model: self.model.clone(),
            category: self.category.clone(),
            verdict: self.verdict,
            serial: self.serial.clone(),
            feedback: self.feedback,
            since_ms: self.since,
            until_ms: self.until,
            before: None,
        };
        Ok((Store::open_existing(&self.data, StoreOptions::default())?, filter))
    }
}

/// Runs the command.
///
/// # Errors
/// If there is no such data, it cannot be read, or a table not be written; of `verify`, also if something is lost.
pub fn run(args: &HistoryArgs, bars: &Bars) -> Result<()> {
    match &args.command {
        HistoryCommand::List { which, limit, json } => {
            let (store, filter) = which.open()?;
            let page = store.inspections(&filter, *limit)?;
            for summary in page.inspections {
                let line = if *json {
                    serde_json::to_string(&SummaryView::from(summary))?
                } else {
                    let score = summary.score.map_or_else(|| "-".to_owned(), output::number);
                    let serial = summary.serial.as_deref().unwrap_or("-");
                    let part = summary.category.as_deref().unwrap_or("-");
                    let said = summary.feedback.map_or("", FeedbackKind::name);
                    format!(
                        "{}  {:10}  {score:>10}  {:16}  {part:16}  {serial:16}  {said:12}  {}",
                        to_rfc3339(summary.received_ms),
                        summary.verdict,
                        summary.model,
                        summary.id
                    )
                };
                output::text(&(line + "\n"))?;
            }
            Ok(())
        }
        HistoryCommand::Export { which, out, force } => export(which, out, *force),
        HistoryCommand::Verify { data } => {
            let store = Store::open_existing(data, StoreOptions::default())?;
            let found = store.verify(bars)?;
            for finding in &found.findings {
                output::text(&format!("{finding}\n"))?;
            }
            let counted =
                format!("{}, {}", counted(found.inspections as usize, "inspection"), counted(found.files, "file"));
            let lost = found.findings.iter().filter(|finding| finding.is_loss()).count();
            if lost > 0 {
                bail!(
                    "{counted}: {lost} of the findings above are losses; restore them from a copy of the data folder"
                );
            }
            output::text(&format!("{counted}: nothing is lost or damaged\n"))
        }
    }
}

fn export(which: &Which, out: &Path, force: bool) -> Result<()> {
    let extension = out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !["csv", "parquet"].contains(&extension.as_str()) {
        bail!("--out {}: expected a file *.csv or *.parquet", out.display());
    }
    output::refuse_existing(out, force)?;
    let (store, filter) = which.open()?;
    let mut rows = 0;
    let written = atomic_write(out, force, |file| {
        let exported = match extension.as_str() {
            "csv" => export_csv(&store, &filter, file),
            _ => export_parquet(&store, &filter, file),
        };
        rows = exported.map_err(std::io::Error::other)?;
        Ok(())
    });
    written.map_err(|error: DataError| error)?;
    output::text(&format!("{}: {}\n", out.display(), counted(rows, "inspection")))
}
