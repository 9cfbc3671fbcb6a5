//! The waiting line of inspections: so many workers, so many that wait, and no more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::station::{InspectError, Inspected, InspectionRequest, Station};

/// What became of an inspection.
#[derive(Debug)]
pub enum Answer {
    /// It is judged and kept.
    Kept(Box<Inspected>),
    /// It cannot be.
    Failed(InspectError),
    /// A bug interrupted it. The worker lives on.
    Panicked,
}

/// Why an inspection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// So many wait already.
    Full,
    /// The station is stopping.
    Stopping,
}

struct Job<R> {
    request: R,
    /// The request to the server that it belongs to, so that what is logged on the way bears its id.
    span: tracing::Span,
    is_cancelled: Arc<AtomicBool>,
    reply: oneshot::Sender<Answer>,
}

/// An inspection that was taken. Letting it go tells the workers that nobody waits for it any more.
#[derive(Debug)]
pub struct Ticket {
    /// What will become of it.
    pub answer: oneshot::Receiver<Answer>,
    is_cancelled: Arc<AtomicBool>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// The waiting line and its workers.
#[derive(Debug)]
pub struct Queue<R = InspectionRequest> {
    sender: Mutex<Option<SyncSender<Job<R>>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    state: Arc<State>,
    capacity: usize,
    count: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: AtomicUsize,
    running: AtomicUsize,
}

impl<R> std::fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Queue {
    /// Starts the workers. Each inspection uses all threads of the process; several workers keep them busy while one reads or
    /// writes.
    pub fn start(station: &Arc<Station>, workers: usize, capacity: usize) -> Self {
        let station = Arc::clone(station);
        Self::start_with(workers, capacity, move |request, is_wanted| station.inspect(request, is_wanted))
    }
}

/// What comes of a request at a worker; `None` if it was no longer wanted.
type Outcome = Result<Option<Inspected>, InspectError>;

impl<R: Send + 'static> Queue<R> {
    fn start_with(
        workers: usize,
        capacity: usize,
        inspect: impl Fn(&R, &dyn Fn() -> bool) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        let (sender, receiver) = sync_channel(capacity);
        let (receiver, inspect) = (Arc::new(Mutex::new(receiver)), Arc::new(inspect));
        let state = Arc::new(State::default());
        let start = |i: usize| {
            let (inspect, receiver, state) = (Arc::clone(&inspect), Arc::clone(&receiver), Arc::clone(&state));
            let name = format!("inspector-{i}");
            // The operating system grants a thread, or nothing works at all.
            std::thread::Builder::new().name(name).spawn(move || work(&*inspect, &receiver, &state)).expect("a thread")
        };
        let handles = (0..workers).map(start).collect();
        Self { sender: Mutex::new(Some(sender)), workers: Mutex::new(handles), state, capacity, count: workers }
    }

    /// Takes an inspection.
    ///
    /// # Errors
    /// If too many wait already, or the station is stopping.
    pub fn submit(&self, request: R) -> Result<Ticket, NotTaken> {
        let (reply, answer) = oneshot::channel();
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let span = tracing::Span::current();
        let job = Job { request, span, is_cancelled: Arc::clone(&is_cancelled), reply };
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(NotTaken::Stopping)?;
        // Before it can be taken out, so that the number never falls below zero.
        self.state.waiting.fetch_add(1, Ordering::Relaxed);
        sender.try_send(job).map_err(|error| {
            self.state.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => NotTaken::Full,
                TrySendError::Disconnected(_) => NotTaken::Stopping,
            }
        })?;
        Ok(Ticket { answer, is_cancelled })
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::Relaxed)
    }

    /// Whether one more would be turned away now.
    pub fn is_full(&self) -> bool {
        self.waiting() >= self.capacity
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.state.running.load(Ordering::Relaxed)
    }

    /// How many may wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.count
    }

    /// Takes nothing more, and waits until everything that was taken is done.
    pub fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        for worker in std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner)) {
            // A worker does not panic: what it works on is caught.
            let _ = worker.join();
        }
    }
}

fn work<R>(inspect: &impl Fn(&R, &dyn Fn() -> bool) -> Outcome, receiver: &Mutex<Receiver<Job<R>>>, state: &State) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        state.waiting.fetch_sub(1, Ordering::Relaxed);
        let is_wanted = || !job.is_cancelled.load(Ordering::Relaxed);
        if !is_wanted() {
            continue;
        }
        state.running.fetch_add(1, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| job.span.in_scope(|| inspect(&job.request, &is_wanted))));
        state.running.fetch_sub(1, Ordering::Relaxed);
        let answer = match outcome {
            Ok(Ok(None)) => continue,
            Ok(Ok(Some(kept))) => Answer::Kept(Box::new(kept)),
            Ok(Err(error)) => Answer::Failed(error),
            Err(_) => Answer::Panicked,
        };
        // Whoever asked may have gone; what is kept stays kept.
        let _ = job.reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_panics_says_so_and_lives_on() {
        let queue = Queue::start_with(1, 4, |request: &&str, _| match *request {
            "bug" => panic!("a bug, on purpose"),
            model => Err(InspectError::WantsMask { model: model.to_owned() }),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = |request| runtime.block_on(&mut queue.submit(request).unwrap().answer).unwrap();
        for _ in 0..3 {
            assert!(matches!(answer("bug"), Answer::Panicked));
            assert!(matches!(answer("part"), Answer::Failed(InspectError::WantsMask { model }) if model == "part"));
        }
        queue.stop();
        assert_eq!((queue.waiting(), queue.running()), (0, 0));
        assert_eq!(queue.submit("part").unwrap_err(), NotTaken::Stopping);
    }
}
