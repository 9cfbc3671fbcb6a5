//! What operators say of verdicts.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use shapeguard::outputs::RecordVerdict;

use super::{Store, StoreError};

/// What an operator says of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FeedbackKind {
    /// Rejected, but good.
    FalseReject,
    /// Passed, but defective.
    Missed,
    /// The verdict is right.
    Confirmed,
}

impl FeedbackKind {
    const ALL: [Self; 3] = [Self::FalseReject, Self::Missed, Self::Confirmed];

    /// Its name in the database and in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::FalseReject => "false-reject",
            Self::Missed => "missed",
            Self::Confirmed => "confirmed",
        }
    }

    /// The kind of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it can be said of a verdict: only what was rejected can be a false reject.
    fn fits(self, verdict: RecordVerdict) -> bool {
        match verdict {
            RecordVerdict::Good => self != Self::FalseReject,
            RecordVerdict::Rejected => self != Self::Missed,
            RecordVerdict::NotJudged => false,
        }
    }
}

/// One thing that an operator said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// When, milliseconds since 1970 in UTC.
    pub at_ms: i64,
    /// What.
    pub kind: FeedbackKind,
    /// In words.
    pub comment: Option<String>,
    /// Who: the name of a token.
    pub given_by: Option<String>,
}

/// A score and what its part really is, as an operator says.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The category that the part was compared with.
    pub category: String,
    /// The score.
    pub score: f64,
    /// Whether the part is good.
    pub is_good: bool,
    /// What the operator said.
    pub kind: FeedbackKind,
}

impl Store {
    /// Adds what an operator says of an inspection; what was said before is kept.
    ///
    /// # Errors
    /// If there is no such inspection, it cannot be said of its verdict, or the database fails.
    pub fn add_feedback(&self, id: &str, feedback: &Feedback) -> Result<(), StoreError> {
        self.check_room(0)?;
        self.write(|transaction| {
            let found = transaction
                .query_row("SELECT n, verdict FROM inspections WHERE id = ?", [id], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })
                .optional()?;
            let (n, verdict) = found.ok_or_else(|| StoreError::NotFound { what: format!("inspection {id}") })?;
            let known = [RecordVerdict::Good, RecordVerdict::Rejected].into_iter().find(|v| v.to_string() == verdict);
            if !feedback.kind.fits(known.unwrap_or(RecordVerdict::NotJudged)) {
                let kind = feedback.kind.name();
                let message = format!("the verdict {verdict} cannot be called {kind}; a rejected part may be a false-reject, a good one missed, and either confirmed");
                Err(StoreError::Refused { message })?;
            }
            transaction.execute(
                "INSERT INTO feedback (inspection, at_ms, kind, comment, given_by) VALUES (?, ?, ?, ?, ?)",
                params![n, feedback.at_ms, feedback.kind.name(), feedback.comment, feedback.given_by],
            )?;
            transaction.execute("UPDATE inspections SET feedback = ? WHERE n = ?", params![feedback.kind.name(), n])?;
            Ok(())
        })
    }

    /// What operators said of an inspection, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn feedback(&self, inspection: i64) -> Result<Vec<Feedback>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT at_ms, kind, comment, given_by FROM feedback WHERE inspection = ? ORDER BY n")?
                .query_map([inspection], |row| {
                    let kind: String = row.get(1)?;
                    Ok(Feedback {
                        at_ms: row.get(0)?,
                        // The database takes no other values.
                        kind: FeedbackKind::of(&kind).unwrap_or(FeedbackKind::Confirmed),
                        comment: row.get(2)?,
                        given_by: row.get(3)?,
                    })
                })?
                .collect()
        })
    }

    /// All scores of a model's version that operators spoke of, with what the parts really are.
    ///
    /// # Errors
    /// If the database fails.
    pub fn judgements(&self, model: &str, model_sha256: &str) -> Result<Vec<Judgement>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT category, score, verdict, feedback FROM inspections
                     WHERE model = ? AND model_sha256 = ? AND feedback IS NOT NULL AND score IS NOT NULL AND category IS NOT NULL ORDER BY n",
                )?
                .query_map([model, model_sha256], |row| {
                    let (verdict, kind): (String, String) = (row.get(2)?, row.get(3)?);
                    let kind = FeedbackKind::of(&kind).unwrap_or(FeedbackKind::Confirmed);
                    let was_good = verdict == RecordVerdict::Good.to_string();
                    Ok(Judgement {
                        category: row.get(0)?,
                        score: row.get(1)?,
                        is_good: was_good == (kind == FeedbackKind::Confirmed),
                        kind,
                    })
                })?
                .collect()
        })
    }
}
