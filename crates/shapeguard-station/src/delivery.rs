//! Telling others of inspections, from the outbox: each result until it was taken, in the order of arrival, at least once.
//!
//! Exactly once cannot be had across a network: who acknowledged may not have been heard. Every result carries its
//! inspection's id, by which a receiver knows one that it had already.

use std::panic::{AssertUnwindSafe, catch_unwind};
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
/// Longest pause that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// How often the outbox is looked at.
const PERIOD: Duration = Duration::from_millis(100);
/// How long results are told at the end: service managers kill what has not ended after some ten seconds.
pub const GRACE: Duration = Duration::from_secs(5);

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
    schedule: Arc<Schedule>,
    threads: Vec<JoinHandle<()>>,
}

/// When it is to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nobody asked for it.
    Open,
    /// When all is told, or somebody has not taken anything for [`GRACE`].
    WhenTold,
    /// At this moment at the latest.
    By(Instant),
}

#[derive(Debug)]
struct Schedule {
    end: Mutex<End>,
    changed: Condvar,
}

impl Deliveries {
    /// Starts telling.
    pub fn start(station: &Arc<Station>, sinks: Vec<Sink>) -> Self {
        let schedule = Arc::new(Schedule { end: Mutex::new(End::Open), changed: Condvar::new() });
        let start = |sink: Sink| {
            let (station, schedule) = (Arc::clone(station), Arc::clone(&schedule));
            // The operating system grants a thread, or nothing works at all.
            std::thread::Builder::new()
                .name(format!("to-{}", sink.name))
                .spawn(move || deliver(&station, sink, &schedule))
                .expect("a thread")
        };
        let threads = sinks.into_iter().map(start).collect();
        Self { schedule, threads }
    }

    /// Tells all there is to be told, as long as it is taken, and ends. Who takes nothing for some seconds is told the rest after
    /// the next start.
    pub fn finish(self) {
        self.schedule.set(End::WhenTold);
        for thread in self.threads {
            // Panics are caught within.
            let _ = thread.join();
        }
    }

    /// Tells what there is to be told within [`GRACE`], and ends; the rest is told after the next start.
    pub fn stop(self) {
        let end = Instant::now() + GRACE;
        self.schedule.set(End::By(end));
        for thread in self.threads {
            // One that is stuck in a pipe that nobody reads ends with the process.
            while !thread.is_finished() && Instant::now() < end + GRACE {
                std::thread::sleep(PERIOD / 10);
            }
        }
    }
}

impl Schedule {
    fn set(&self, end: End) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        self.changed.notify_all();
    }

    fn end(&self) -> End {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        matches!(self.end(), End::By(moment) if Instant::now() >= moment)
    }

    /// Waits, but not beyond the moment when somebody asks for the end.
    fn wait(&self, time: Duration) {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(end, time, |end| *end == End::Open));
    }
}

fn deliver(station: &Station, mut sink: Sink, schedule: &Schedule) {
    let mut pause = FIRST_PAUSE;
    let mut refused_since = None;
    loop {
        // Asked before the look into the outbox, so that what was put there until then is told.
        let end = schedule.end();
        match deliver_some(station, &mut sink, schedule) {
            Ok(0) if end != End::Open => return,
            Ok(0) => schedule.wait(PERIOD),
            Ok(_) => (pause, refused_since) = (FIRST_PAUSE, None),
            Err(after) if end == End::Open => {
                schedule.wait(after.map_or(pause, |after| after.clamp(FIRST_PAUSE, LONGEST_ASKED)));
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
            Err(_) => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE {
                    return;
                }
                std::thread::sleep(FIRST_PAUSE);
            }
        }
        if schedule.is_over() {
            return;
        }
    }
}

/// Hands over the oldest results; how many. After a failure: how long the receiver wants to be left alone.
fn deliver_some(station: &Station, sink: &mut Sink, schedule: &Schedule) -> Result<usize, Option<Duration>> {
    let name = sink.name;
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(sink = name, "the outbox: {error}");
        None
    };
    let results = station.store.undelivered(name, BATCH).map_err(|error| failed(&error))?;
    for result in &results {
        if schedule.is_over() {
            break;
        }
        let sent = catch_unwind(AssertUnwindSafe(|| (sink.send)(result)));
        // The same would happen again and hold up the rest.
        let sent = sent.unwrap_or_else(|_| Err(NotTaken::Never { reason: "telling it panicked".to_owned() }));
        match sent {
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
