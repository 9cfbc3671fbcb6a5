//! Telling others of inspections, from the outbox: each result until it was taken, in the order of arrival, at least once.
//!
//! Exactly once cannot be had across a network: who acknowledged may not have been heard. Every result carries its
//! inspection's id, by which a receiver knows one that it had already.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::station::Station;
use crate::store::Undelivered;

/// Results that are read from the outbox at once.
const BATCH: usize = 32;
/// Pause after the first failure; it doubles with every one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause: how much later a receiver that was away for long hears of it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the outbox is looked at.
const PERIOD: Duration = Duration::from_millis(100);
/// How long who does not take a result is asked again at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Why a result was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It may be later: it is sent again, after the time that the receiver asked for, if it did.
    Later {
        /// What is wrong.
        reason: String,
        /// How long the receiver wants to be left alone.
        after: Option<Duration>,
    },
    /// It never will be: the log says so, and the next one is sent.
    Never {
        /// Why.
        reason: String,
    },
}

impl NotTaken {
    /// A failure that may pass.
    pub fn later(reason: impl std::fmt::Display) -> Self {
        Self::Later { reason: reason.to_string(), after: None }
    }
}

/// Hands a result over.
pub type Hand = Box<dyn FnMut(&Undelivered) -> Result<(), NotTaken> + Send>;

/// What takes results.
pub struct Sink {
    /// Its name in the outbox.
    pub name: &'static str,
    /// What hands a result over.
    pub send: Hand,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The threads that tell others, one for each sink, so that one that is away holds up none.
#[derive(Debug)]
pub struct Deliveries {
    end: Arc<End>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct End {
    /// Since when the end is near.
    since: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Deliveries {
    /// Starts telling.
    pub fn start(station: &Arc<Station>, sinks: Vec<Sink>) -> Self {
        let end = Arc::<End>::default();
        let start = |sink: Sink| {
            let (station, end) = (Arc::clone(station), Arc::clone(&end));
            // The operating system grants a thread, or nothing works at all.
            std::thread::Builder::new()
                .name(format!("to-{}", sink.name))
                .spawn(move || deliver(&station, sink, &end))
                .expect("a thread")
        };
        let threads = sinks.into_iter().map(start).collect();
        Self { end, threads }
    }

    /// Tells what there is to be told, and ends; who does not take it within some seconds is told after the next start.
    pub fn finish(self) {
        *self.end.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.end.changed.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("telling others panicked; the rest is told after the next start");
            }
        }
    }
}

impl End {
    fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but not beyond the moment when the end comes near.
    fn wait(&self, time: Duration) {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(since, time, |since| since.is_none()));
    }
}

fn deliver(station: &Station, mut sink: Sink, end: &End) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Asked before the look into the outbox, so that what was put there until then is told.
        let end_since = end.since();
        match (deliver_some(station, &mut sink), end_since) {
            (Ok(0), Some(_)) => return,
            (Ok(0), None) => end.wait(PERIOD),
            (Ok(_), _) => pause = FIRST_PAUSE,
            (Err(_), Some(since)) if since.elapsed() >= GRACE => return,
            (Err(_), Some(_)) => std::thread::sleep(FIRST_PAUSE),
            (Err(after), None) => {
                end.wait(after.map_or(pause, |after| after.min(LONGEST_PAUSE)));
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Hands over the oldest results; how many. After a failure: how long the receiver wants to be left alone.
fn deliver_some(station: &Station, sink: &mut Sink) -> Result<usize, Option<Duration>> {
    let name = sink.name;
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(sink = name, "the outbox: {error}");
        None
    };
    let results = station.store.undelivered(name, BATCH).map_err(|error| failed(&error))?;
    for result in &results {
        match (sink.send)(result) {
            Ok(()) => station.measures.delivered(name, "taken"),
            Err(NotTaken::Never { reason }) => {
                station.measures.delivered(name, "refused");
                tracing::error!(sink = name, inspection = result.id, "not taken, and not sent again: {reason}");
            }
            Err(NotTaken::Later { reason, after }) => {
                station.measures.delivered(name, "failed");
                tracing::warn!(sink = name, inspection = result.id, "not taken yet: {reason}");
                return Err(after);
            }
        }
        station.store.delivered(name, result.n).map_err(|error| failed(&error))?;
    }
    Ok(results.len())
}

#[cfg(test)]
mod tests;
