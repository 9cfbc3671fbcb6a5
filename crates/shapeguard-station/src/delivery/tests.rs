use super::*;
use crate::shelf::Shelf;
use crate::store::{NewInspection, Store, StoreOptions, Summary};
use shapeguard::outputs::RecordVerdict;

const NAMES: [&str; 2] = ["one", "two"];

fn station(folder: &std::path::Path) -> Arc<Station> {
    let options = StoreOptions { keep_free_bytes: 0, ..StoreOptions::default() };
    let store = Arc::new(Store::open(folder, options).unwrap());
    let shelf = Shelf::open(Arc::clone(&store), None, Box::new(Ok)).unwrap();
    Arc::new(Station::new(store, shelf, NAMES.to_vec()).unwrap())
}

fn keep(station: &Station, i: usize) {
    let summary = Summary {
        n: 0,
        id: format!("id-{i}"),
        received_ms: 0,
        model: "m".into(),
        model_sha256: "m".into(),
        category: None,
        serial: None,
        verdict: RecordVerdict::NotJudged,
        score: None,
        threshold: None,
        p_value: None,
        reason: None,
        warnings: 0,
        regions: 0,
        feedback: None,
    };
    let new = NewInspection { summary, record: format!("{i}"), files: vec![], watched: None, sinks: &NAMES };
    station.store.keep(&new).unwrap();
}

type Told = Arc<Mutex<Vec<String>>>;

/// A sink that answers as `answer` says of the record and the number of attempts before.
fn sink(
    name: &'static str,
    told: &Told,
    answer: impl Fn(&str, usize) -> Result<(), NotTaken> + Send + 'static,
) -> Sink {
    let (told, mut attempts) = (Arc::clone(told), 0);
    let send = move |result: &Undelivered| {
        attempts += 1;
        answer(&result.record, attempts - 1)?;
        told.lock().unwrap().push(result.record.clone());
        Ok(())
    };
    Sink { name, send: Box::new(send) }
}

fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| i.to_string()).collect()
}

#[test]
fn results_are_told_in_order_until_they_are_taken_and_one_sink_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Told::default(), Told::default());
    {
        let station = station(folder.path());
        (0..40).for_each(|i| keep(&station, i));
        let away = || Err(NotTaken::later("away"));
        let sinks = vec![
            sink("one", &first, move |_, attempts| if attempts < 2 { away() } else { Ok(()) }),
            sink("two", &second, move |record, _| if record == "3" { away() } else { Ok(()) }),
        ];
        let deliveries = Deliveries::start(&station, sinks);
        let start = Instant::now();
        while first.lock().unwrap().len() < 40 && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What comes while it is told goes the same way.
        keep(&station, 40);
        deliveries.finish();
        assert_eq!(*first.lock().unwrap(), texts(0..41));
        assert_eq!(*second.lock().unwrap(), texts(0..3), "the fourth waits, and those behind it");
        assert_eq!(station.store.undelivered_counts().unwrap(), [("two".to_owned(), 38)]);
    }
    // After a restart the one that was away is told the rest, and nobody anything twice.
    let station = station(folder.path());
    Deliveries::start(&station, vec![sink("one", &first, |_, _| Ok(())), sink("two", &second, |_, _| Ok(()))]).finish();
    assert_eq!(*first.lock().unwrap(), texts(0..41));
    assert_eq!(*second.lock().unwrap(), texts(0..41));
    assert_eq!(station.store.undelivered_counts().unwrap(), []);
}

#[test]
fn what_is_never_taken_does_not_hold_up_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let station = station(folder.path());
    (0..5).for_each(|i| keep(&station, i));
    let told = Told::default();
    let refuse = |record: &str, _| match record {
        "2" => Err(NotTaken::Never { reason: "too odd".into() }),
        _ => Ok(()),
    };
    Deliveries::start(&station, vec![sink("one", &told, refuse)]).finish();
    assert_eq!(*told.lock().unwrap(), ["0", "1", "3", "4"]);
    let metrics = station.measures.render(&crate::measures::Present::default());
    for line in ["outcome=\"taken\"} 4", "outcome=\"refused\"} 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn a_sink_that_panics_or_asks_for_no_pause_neither_dies_nor_is_hammered() {
    let folder = tempfile::tempdir().unwrap();
    let station = station(folder.path());
    (0..3).for_each(|i| keep(&station, i));
    let (told, start) = (Told::default(), Instant::now());
    let answer = |record: &str, attempts| match (record, attempts) {
        ("0", _) => panic!("a bug"),
        (_, 1..4) => Err(NotTaken::Later { reason: "busy".into(), after: Some(Duration::ZERO) }),
        _ => Ok(()),
    };
    let deliveries = Deliveries::start(&station, vec![sink("one", &told, answer)]);
    while told.lock().unwrap().len() < 2 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(*told.lock().unwrap(), ["1", "2"]);
    assert!(start.elapsed() >= 3 * FIRST_PAUSE, "three times it was busy");
    deliveries.finish();
}

#[test]
fn a_slow_sink_does_not_hold_up_the_end_unless_all_is_to_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let station = station(folder.path());
    (0..200).for_each(|i| keep(&station, i));
    let slow = |_: &str, _| {
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    };
    let told = Told::default();
    Deliveries::start(&station, vec![sink("one", &told, slow)]).stop();
    let left = station.store.undelivered_counts().unwrap().into_iter().find(|(name, _)| name == "one").map(|(_, n)| n);
    assert_eq!(told.lock().unwrap().len() + left.unwrap_or(0), 200);
    assert!(left.is_some(), "ten seconds of telling do not fit into five");
    Deliveries::start(&station, vec![sink("one", &told, |_, _| Ok(()))]).finish();
    assert_eq!(*told.lock().unwrap(), texts(0..200));
}
