//! Scans that lie in the folder and are not inspected yet: which of them are whole.
//!
//! Nothing tells that a file is finished. So a scan is tried once its files have stayed the same for a while (`settle`); if they
//! cannot be read then, they may be half written or half there, and it is left alone until they change, or until they have
//! stayed the same for so long (`patience`) that nothing more is to be expected.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::station::IfUnreadable;

/// The scans that are waited for.
#[derive(Debug)]
pub(super) struct Waiting {
    settle: Duration,
    patience: Duration,
    scans: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    stamp: String,
    /// When the stamp was first seen.
    since: Instant,
    /// Whether files of this stamp could not be read.
    is_refused: bool,
}

impl Waiting {
    pub(super) fn new(settle: Duration, patience: Duration) -> Self {
        Self { settle, patience: patience.max(settle), scans: HashMap::new() }
    }

    /// Notes what is seen of a scan; says whether it is to be tried, and what then becomes of it if it cannot be read.
    pub(super) fn look(&mut self, scan: &str, stamp: &str, now: Instant) -> Option<IfUnreadable> {
        let entry = match self.scans.get_mut(scan) {
            Some(entry) if entry.stamp == stamp => entry,
            _ => {
                let entry = Entry { stamp: stamp.to_owned(), since: now, is_refused: false };
                self.scans.entry(scan.to_owned()).insert_entry(entry).into_mut()
            }
        };
        let unchanged = now.duration_since(entry.since);
        if unchanged >= self.patience {
            return Some(IfUnreadable::Keep);
        }
        (unchanged >= self.settle && !entry.is_refused).then_some(IfUnreadable::Refuse)
    }

    /// Notes that its files could not be read.
    pub(super) fn refuse(&mut self, scan: &str) {
        if let Some(entry) = self.scans.get_mut(scan) {
            entry.is_refused = true;
        }
    }

    /// It need no longer be waited for.
    pub(super) fn remove(&mut self, scan: &str) {
        self.scans.remove(scan);
    }

    /// Forgets scans that no longer lie there.
    pub(super) fn keep_only(&mut self, is_there: impl Fn(&str) -> bool) {
        self.scans.retain(|scan, _| is_there(scan));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scans.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_tried_once_they_settled_and_again_when_they_changed() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let mut waiting = Waiting::new(Duration::from_millis(500), Duration::from_secs(10));
        assert_eq!(waiting.look("a", "1", at(0)), None);
        assert_eq!(waiting.look("a", "2", at(4)), None, "it grew");
        assert_eq!(waiting.look("a", "2", at(8)), None);
        assert_eq!(waiting.look("a", "2", at(9)), Some(IfUnreadable::Refuse));
        waiting.refuse("a");
        assert_eq!(waiting.look("a", "2", at(20)), None, "it was tried as it is");
        assert_eq!(waiting.look("a", "3", at(21)), None, "it grew again");
        assert_eq!(waiting.look("a", "3", at(26)), Some(IfUnreadable::Refuse));
        waiting.refuse("a");
        assert_eq!(waiting.look("a", "3", at(120)), None);
        assert_eq!(waiting.look("a", "3", at(121)), Some(IfUnreadable::Keep), "nothing more is to be expected");
        waiting.keep_only(|scan| scan != "a");
        assert!(waiting.is_empty());
    }

    #[test]
    fn without_a_time_to_settle_files_are_tried_at_once() {
        let now = Instant::now();
        let mut waiting = Waiting::new(Duration::ZERO, Duration::from_secs(1));
        assert_eq!(waiting.look("a", "1", now), Some(IfUnreadable::Refuse));
        let mut impatient = Waiting::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(impatient.look("a", "1", now), Some(IfUnreadable::Keep));
    }
}
