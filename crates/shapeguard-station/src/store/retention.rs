//! Letting old inspections go, by age or by size. Versions of models stay.

use rusqlite::params;

use super::{Store, StoreError};

/// Inspections that are let go in one transaction: some milliseconds, so that nobody waits long for the next.
const BATCH: usize = 200;

/// How long inspections are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// None older than this, milliseconds; `None` keeps all.
    pub oldest_ms: Option<i64>,
    /// No more bytes of files than this; `None` sets no limit.
    pub most_bytes: Option<u64>,
}

/// What was let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Number of inspections.
    pub inspections: usize,
    /// Bytes of files that nothing uses any more.
    pub bytes: u64,
}

impl Store {
    /// Lets the oldest inspections go until the rest is as it should be. `now_ms` is the present.
    ///
    /// # Errors
    /// If the database or the disk fails; what is left is whole.
    pub fn forget(&self, retention: Retention, now_ms: i64) -> Result<Forgotten, StoreError> {
        let mut all = Forgotten::default();
        if retention == Retention::default() {
            return Ok(all);
        }
        loop {
            let batch = self.forget_some(retention, now_ms)?;
            self.remove_unused()?;
            all.inspections += batch.inspections;
            all.bytes += batch.bytes;
            if batch.inspections == 0 {
                return Ok(all);
            }
        }
    }

    fn forget_some(&self, retention: Retention, now_ms: i64) -> Result<Forgotten, StoreError> {
        self.write(|transaction| {
            let total = |sql: &str| transaction.query_row(sql, (), |row| row.get::<_, i64>(0));
            const ALL: &str = "SELECT coalesce(sum(bytes), 0) FROM blobs WHERE uses > 0";
            let before = total(ALL)?;
            let mut doomed: Vec<i64> = Vec::new();
            if let Some(age) = retention.oldest_ms {
                doomed = transaction
                    .prepare_cached("SELECT n FROM inspections WHERE received_ms < ? ORDER BY received_ms LIMIT ?")?
                    .query_map(params![now_ms.saturating_sub(age), BATCH as i64], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
            }
            if let Some(most) = retention.most_bytes.filter(|most| doomed.is_empty() && before as u64 > *most) {
                // As many of the oldest as hold what is too much; files that others use too free nothing, hence the loop outside.
                let mut excess = before - most as i64;
                let mut statement = transaction.prepare_cached(
                    "SELECT n, (SELECT coalesce(sum(bytes), 0) FROM inspection_files JOIN blobs USING (sha256)
                     WHERE inspection = inspections.n) FROM inspections ORDER BY n LIMIT ?",
                )?;
                let oldest = statement.query_map([BATCH as i64], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
                for row in oldest {
                    let (n, bytes) = row?;
                    if excess <= 0 {
                        break;
                    }
                    doomed.push(n);
                    excess -= bytes;
                }
            }
            let mut untold = 0;
            for n in &doomed {
                untold += transaction
                    .prepare_cached("SELECT count(*) FROM outbox WHERE inspection = ?")?
                    .query_row([n], |row| row.get::<_, i64>(0))?;
                transaction
                    .prepare_cached(
                        "UPDATE blobs SET uses = uses - 1 WHERE sha256 IN (SELECT sha256 FROM inspection_files WHERE inspection = ?)",
                    )?
                    .execute([n])?;
                transaction.prepare_cached("DELETE FROM inspections WHERE n = ?")?.execute([n])?;
            }
            if untold > 0 {
                tracing::warn!("{untold} results were let go before everybody was told of them");
            }
            let freed = before - total(ALL)?;
            Ok(Forgotten { inspections: doomed.len(), bytes: freed as u64 })
        })
    }

    /// Removes the files that no row counts on any more: first their rows, then the files.
    fn remove_unused(&self) -> Result<(), StoreError> {
        let unused: Vec<String> = self.write(|transaction| {
            let unused = transaction
                .prepare_cached("DELETE FROM blobs WHERE uses = 0 RETURNING sha256")?
                .query_map((), |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            Ok(unused)
        })?;
        unused.iter().try_for_each(|sha256| self.blobs.remove(sha256, || self.is_used(sha256)).map(drop))
    }
}
