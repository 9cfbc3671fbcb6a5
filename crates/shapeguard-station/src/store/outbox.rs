//! Results that are still to be told to somebody.

use rusqlite::{Connection, params};

use super::{Rollback, Store, StoreError};

/// A result that is still to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The inspection's place in the order of arrival.
    pub n: i64,
    /// The inspection.
    pub id: String,
    /// Its record, as JSON.
    pub record: String,
}

impl Store {
    /// The oldest results that a sink is to be told, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn undelivered(&self, sink: &str, limit: usize) -> Result<Vec<Undelivered>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT n, id, record FROM outbox JOIN inspections ON inspection = n WHERE sink = ? ORDER BY inspection LIMIT ?",
                )?
                .query_map(params![sink, limit as i64], |row| {
                    Ok(Undelivered { n: row.get(0)?, id: row.get(1)?, record: row.get(2)? })
                })?
                .collect()
        })
    }

    /// How many results each sink is to be told.
    ///
    /// # Errors
    /// If the database fails.
    pub fn undelivered_counts(&self) -> Result<Vec<(String, usize)>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT sink, count(*) FROM outbox GROUP BY sink ORDER BY sink")?
                .query_map((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize)))?
                .collect()
        })
    }

    /// Notes that a sink was told a result.
    ///
    /// # Errors
    /// If the database fails; the sink will be told again.
    pub fn delivered(&self, sink: &str, n: i64) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction
                .prepare_cached("DELETE FROM outbox WHERE sink = ? AND inspection = ?")?
                .execute(params![sink, n])?;
            Ok(())
        })
    }
}

pub(super) fn put(transaction: &Connection, sinks: &[&str], n: i64) -> Result<(), Rollback> {
    let mut statement = transaction.prepare_cached("INSERT INTO outbox (sink, inspection) VALUES (?, ?)")?;
    for sink in sinks {
        statement.execute(params![sink, n])?;
    }
    Ok(())
}
