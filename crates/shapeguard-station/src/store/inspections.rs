//! Inspections and their files.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use shapeguard::outputs::RecordVerdict;

use super::blobs::Pin;
use super::{FeedbackKind, Rollback, Store, StoreError, WatchedScan, outbox, watched};

/// Most inspections of one page: a few hundred kB of JSON.
pub const LARGEST_PAGE: usize = 1000;

/// What a file of an inspection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileRole {
    /// The cloud or depth image, as it came.
    Cloud,
    /// The colour image, as it came.
    Rgb,
    /// The camera's intrinsics, as they came.
    Intrinsics,
    /// The anomaly maps ([`crate::maps`]).
    Maps,
    /// A small picture of the part, PNG.
    Thumbnail,
}

impl FileRole {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Cloud, Self::Rgb, Self::Intrinsics, Self::Maps, Self::Thumbnail];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Rgb => "rgb",
            Self::Intrinsics => "intrinsics",
            Self::Maps => "maps",
            Self::Thumbnail => "thumbnail",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What lists show of an inspection.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its place in the order of arrival.
    pub n: i64,
    /// Its name, a UUID.
    pub id: String,
    /// When it came, milliseconds since 1970 in UTC.
    pub received_ms: i64,
    /// The model's name.
    pub model: String,
    /// The model's file.
    pub model_sha256: String,
    /// The category that it was compared with.
    pub category: Option<String>,
    /// The part's serial number.
    pub serial: Option<String>,
    /// The verdict.
    pub verdict: RecordVerdict,
    /// The fused score.
    pub score: Option<f64>,
    /// The score above which a part is rejected.
    pub threshold: Option<f64>,
    /// Share of good parts that score at least as high.
    pub p_value: Option<f64>,
    /// Why it was not judged.
    pub reason: Option<String>,
    /// Number of warnings.
    pub warnings: usize,
    /// Number of defect regions.
    pub regions: usize,
    /// What an operator said last.
    pub feedback: Option<FeedbackKind>,
}

/// An inspection that is to be kept.
#[derive(Clone, Debug)]
pub struct NewInspection<'a> {
    /// What lists show; `n` and `feedback` are the store's.
    pub summary: Summary,
    /// Everything, as JSON.
    pub record: String,
    /// Its files.
    pub files: Vec<(FileRole, &'a [u8])>,
    /// The scan in a watched folder that it is of.
    pub watched: Option<&'a WatchedScan>,
    /// Who is to be told of it.
    pub sinks: &'a [&'static str],
}

/// An inspection that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredInspection {
    /// What lists show.
    pub summary: Summary,
    /// Everything, as JSON.
    pub record: String,
    /// The hash of each of its files.
    pub files: Vec<(FileRole, String)>,
}

impl StoredInspection {
    /// The hash of a file; `None` if it has none of that role.
    pub fn file(&self, role: FileRole) -> Option<&str> {
        self.files.iter().find(|(of, _)| *of == role).map(|(_, sha256)| sha256.as_str())
    }
}

/// Which inspections to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this model.
    pub model: Option<String>,
    /// Of this category.
    pub category: Option<String>,
    /// With this verdict.
    pub verdict: Option<RecordVerdict>,
    /// With this serial number.
    pub serial: Option<String>,
    /// With this as the newest feedback.
    pub feedback: Option<FeedbackKind>,
    /// From this moment on, milliseconds.
    pub since_ms: Option<i64>,
    /// Before this moment, milliseconds.
    pub until_ms: Option<i64>,
    /// That came before this place in the order of arrival.
    pub before: Option<i64>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The inspections, newest first.
    pub inspections: Vec<Summary>,
    /// Where the next page begins, for [`Filter::before`]; `None` on the last.
    pub next: Option<i64>,
}

const COLUMNS: &str = "n, id, received_ms, model, model_sha256, category, serial, verdict, score, threshold, p_value, reason, warnings, regions, feedback";

impl Filter {
    /// The condition and its parameters.
    fn sql(&self) -> (String, Vec<Value>) {
        let mut terms = Vec::new();
        let mut values = Vec::new();
        let mut add = |term: &'static str, value: Option<Value>| {
            if let Some(value) = value {
                terms.push(term);
                values.push(value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        add("model = ?", text(&self.model));
        add("category = ?", text(&self.category));
        add("verdict = ?", self.verdict.map(|verdict| Value::Text(verdict.to_string())));
        add("serial = ?", text(&self.serial));
        add("feedback = ?", self.feedback.map(|kind| Value::Text(kind.name().to_owned())));
        add("received_ms >= ?", self.since_ms.map(Value::Integer));
        add("received_ms < ?", self.until_ms.map(Value::Integer));
        add("n < ?", self.before.map(Value::Integer));
        if terms.is_empty() {
            terms.push("true");
        }
        (terms.join(" AND "), values)
    }
}

impl Store {
    /// Keeps an inspection: its files are on the disk and its row is committed when this returns.
    ///
    /// # Errors
    /// If the disk is full or fails; then nothing of it is kept.
    pub fn keep(&self, new: &NewInspection<'_>) -> Result<Summary, StoreError> {
        let bytes: usize = new.files.iter().map(|(_, bytes)| bytes.len()).sum();
        self.check_room((bytes + new.record.len()) as u64)?;
        let files: Vec<(FileRole, Pin)> =
            new.files.iter().map(|(role, bytes)| Ok((*role, self.blobs.put(bytes)?))).collect::<Result<_, _>>()?;
        let n = self.write(|transaction| {
            let s = &new.summary;
            transaction.prepare_cached(
                "INSERT INTO inspections (id, received_ms, model, model_sha256, category, serial, verdict, score, threshold, p_value, reason, warnings, regions, record)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                s.id, s.received_ms, s.model, s.model_sha256, s.category, s.serial, s.verdict.to_string(), s.score,
                s.threshold, s.p_value, s.reason, s.warnings as i64, s.regions as i64, new.record
            ])?;
            let n = transaction.last_insert_rowid();
            for (role, pin) in &files {
                use_blob(transaction, pin)?;
                transaction
                    .prepare_cached("INSERT INTO inspection_files (inspection, role, sha256) VALUES (?, ?, ?)")?
                    .execute(params![n, role.name(), pin.sha256])?;
            }
            if let Some(scan) = new.watched {
                watched::note(transaction, scan, s.received_ms)?;
            }
            outbox::put(transaction, new.sinks, n)?;
            Ok(n)
        })?;
        Ok(Summary { n, ..new.summary.clone() })
    }

    /// One inspection.
    ///
    /// # Errors
    /// If there is none of that name, or the database fails.
    pub fn inspection(&self, id: &str) -> Result<StoredInspection, StoreError> {
        let found = self.read(|connection| {
            let row = connection
                .prepare_cached(&format!("SELECT {COLUMNS}, record FROM inspections WHERE id = ?"))?
                .query_row([id], |row| Ok((summary(row)?, row.get::<_, String>("record")?)))
                .optional()?;
            let Some((summary, record)) = row else { return Ok(None) };
            let files = connection
                .prepare_cached("SELECT role, sha256 FROM inspection_files WHERE inspection = ? ORDER BY role")?
                .query_map([summary.n], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Some((summary, record, files)))
        })?;
        let (summary, record, files) =
            found.ok_or_else(|| StoreError::NotFound { what: format!("inspection {id}; it may have been let go") })?;
        let role = |name: &str| {
            FileRole::of(name).ok_or_else(|| self.damaged_row(format!("a file of the unknown role {name:?}")))
        };
        let files =
            files.into_iter().map(|(name, sha256)| Ok((role(&name)?, sha256))).collect::<Result<_, StoreError>>()?;
        Ok(StoredInspection { summary, record, files })
    }

    /// What a file holds.
    ///
    /// # Errors
    /// If it cannot be read or was changed.
    pub fn file(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        self.blobs.get(sha256)
    }

    /// Where a file lies, once it is sure that it is what it was.
    ///
    /// # Errors
    /// As for [`Self::file`].
    pub fn checked_path(&self, sha256: &str) -> Result<std::path::PathBuf, StoreError> {
        self.blobs.get(sha256).map(|_| self.blobs.path(sha256))
    }

    /// A page of inspections, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn inspections(&self, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, LARGEST_PAGE);
        let (condition, mut values) = filter.sql();
        // One more tells whether there is a next page.
        values.push(Value::Integer(limit as i64 + 1));
        let mut inspections = self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM inspections WHERE {condition} ORDER BY n DESC LIMIT ?"
                ))?
                .query_map(params_from_iter(values), summary)?
                .collect::<Result<Vec<_>, _>>()
        })?;
        let has_more = inspections.len() > limit;
        inspections.truncate(limit);
        let next = inspections.last().filter(|_| has_more).map(|last| last.n);
        Ok(Page { inspections, next })
    }

    /// All inspections of a filter, oldest first, one after the other.
    ///
    /// # Errors
    /// If the database fails, or the first error of `each`.
    pub fn each_inspection<E: From<StoreError>>(
        &self,
        filter: &Filter,
        mut each: impl FnMut(Summary) -> Result<(), E>,
    ) -> Result<(), E> {
        let (condition, values) = filter.sql();
        let mut outcome = Ok(());
        let visited = self.read(|connection| {
            let mut statement =
                connection.prepare(&format!("SELECT {COLUMNS} FROM inspections WHERE {condition} ORDER BY n"))?;
            for summary in statement.query_map(params_from_iter(values), summary)? {
                outcome = each(summary?);
                if outcome.is_err() {
                    break;
                }
            }
            Ok(())
        });
        outcome?;
        Ok(visited?)
    }
}

/// Counts one use more of a file.
pub(super) fn use_blob(transaction: &Connection, pin: &Pin) -> Result<(), Rollback> {
    transaction
        .prepare_cached(
            "INSERT INTO blobs (sha256, bytes, uses) VALUES (?, ?, 1) ON CONFLICT (sha256) DO UPDATE SET uses = uses + 1",
        )?
        .execute(params![pin.sha256, pin.bytes as i64])?;
    Ok(())
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let verdict: String = row.get("verdict")?;
    let feedback: Option<String> = row.get("feedback")?;
    Ok(Summary {
        n: row.get("n")?,
        id: row.get("id")?,
        received_ms: row.get("received_ms")?,
        model: row.get("model")?,
        model_sha256: row.get("model_sha256")?,
        category: row.get("category")?,
        serial: row.get("serial")?,
        // The database takes no other values.
        verdict: match verdict.as_str() {
            "good" => RecordVerdict::Good,
            "rejected" => RecordVerdict::Rejected,
            _ => RecordVerdict::NotJudged,
        },
        score: row.get("score")?,
        threshold: row.get("threshold")?,
        p_value: row.get("p_value")?,
        reason: row.get("reason")?,
        warnings: row.get::<_, i64>("warnings")? as usize,
        regions: row.get::<_, i64>("regions")? as usize,
        feedback: feedback.as_deref().and_then(FeedbackKind::of),
    })
}
