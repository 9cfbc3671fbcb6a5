//! Many scans, a bounded number at a time, in order: decoded scans and features take much memory.

use rayon::prelude::*;

/// Scans that are worked on at a time, per thread.
const SCANS_IN_FLIGHT_PER_THREAD: usize = 2;

/// Maps in parallel and hands the results over one after the other, in order; only those of one chunk wait.
pub fn in_chunks_to<T: Sync, U: Send>(items: &[T], each: impl Fn(&T) -> U + Sync, take: impl FnMut(U)) {
    consumed_in_chunks_to(items.iter().collect(), each, take);
}

/// Maps in parallel, a bounded number at a time, in order.
pub fn in_chunks<T: Sync, U: Send>(items: &[T], each: impl Fn(&T) -> U + Sync) -> Vec<U> {
    consumed_in_chunks(items.iter().collect(), each)
}

/// As [`in_chunks`]; each item is gone when its result is there.
pub(crate) fn consumed_in_chunks<T: Send, U: Send>(items: Vec<T>, each: impl Fn(T) -> U + Sync) -> Vec<U> {
    let mut results = Vec::with_capacity(items.len());
    consumed_in_chunks_to(items, each, |result| results.push(result));
    results
}

fn consumed_in_chunks_to<T: Send, U: Send>(items: Vec<T>, each: impl Fn(T) -> U + Sync, mut take: impl FnMut(U)) {
    let mut items = items.into_iter();
    loop {
        let chunk: Vec<T> = items.by_ref().take(SCANS_IN_FLIGHT_PER_THREAD * rayon::current_num_threads()).collect();
        if chunk.is_empty() {
            return;
        }
        chunk.into_par_iter().map(&each).collect::<Vec<_>>().into_iter().for_each(&mut take);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_few_wait() {
        let items: Vec<usize> = (0..50).collect();
        let (made, mut taken) = (AtomicUsize::new(0), Vec::new());
        in_chunks_to(
            &items,
            |item| {
                made.fetch_add(1, Ordering::SeqCst);
                item * 2
            },
            |result| {
                let waiting = made.load(Ordering::SeqCst) - taken.len();
                assert!(waiting <= SCANS_IN_FLIGHT_PER_THREAD * rayon::current_num_threads(), "{waiting}");
                taken.push(result);
            },
        );
        assert_eq!(taken, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(in_chunks(&items, |item| item * 2), taken);
        assert_eq!(consumed_in_chunks(items, |item| item * 2), taken);
    }
}
