use super::*;
use shapeguard::outputs::RecordVerdict;
use shapeguard_core::seams::Silent;
use std::time::SystemTime;

fn options() -> StoreOptions {
    StoreOptions { keep_free_bytes: 0, ..StoreOptions::default() }
}

fn open(folder: &Path) -> Store {
    Store::open(folder, options()).unwrap()
}

fn summary(i: i64) -> Summary {
    Summary {
        n: 0,
        id: format!("id-{i}"),
        received_ms: i * 1000,
        model: if i % 2 == 0 { "even" } else { "odd" }.into(),
        model_sha256: "m".into(),
        category: Some("part".into()),
        serial: Some(format!("S{i}")),
        verdict: if i % 3 == 0 { RecordVerdict::Rejected } else { RecordVerdict::Good },
        score: Some(i as f64),
        threshold: Some(2.5),
        p_value: Some(0.5),
        reason: None,
        warnings: 0,
        regions: 1,
        feedback: None,
    }
}

/// The `i`-th inspection, with a cloud of its own and an image that all share.
fn keep(store: &Store, i: i64) -> Result<Summary, StoreError> {
    let cloud = format!("cloud {i}");
    store.keep(&NewInspection {
        summary: summary(i),
        record: format!("{{\"i\":{i}}}"),
        files: vec![(FileRole::Cloud, cloud.as_bytes()), (FileRole::Rgb, b"image")],
        watched: None,
        sinks: &[],
    })
}

fn ids(page: &Page) -> Vec<&str> {
    page.inspections.iter().map(|summary| summary.id.as_str()).collect()
}

#[test]
fn what_was_kept_is_there_after_opening_again_with_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let kept = keep(&open(folder.path()), 7).unwrap();
    let store = open(folder.path());
    let stored = store.inspection("id-7").unwrap();
    assert_eq!(stored.summary, kept);
    assert_eq!(stored.record, "{\"i\":7}");
    assert_eq!(store.file(stored.file(FileRole::Cloud).unwrap()).unwrap(), b"cloud 7");
    assert_eq!(stored.file(FileRole::Maps), None);
    assert!(matches!(store.inspection("id-8").unwrap_err(), StoreError::NotFound { .. }));
    assert!(matches!(
        Store::open_existing(&folder.path().join("none"), options()).unwrap_err(),
        StoreError::Missing { .. }
    ));
}

#[test]
fn lists_are_newest_first_in_pages_and_by_what_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for i in 0..7 {
        keep(&store, i).unwrap();
    }
    let first = store.inspections(&Filter::default(), 3).unwrap();
    assert_eq!(ids(&first), ["id-6", "id-5", "id-4"]);
    let second = store.inspections(&Filter { before: first.next, ..Filter::default() }, 4).unwrap();
    assert_eq!((ids(&second), second.next), (vec!["id-3", "id-2", "id-1", "id-0"], None));
    let of = |filter: Filter| {
        let page = store.inspections(&filter, 10).unwrap();
        page.inspections.into_iter().map(|summary| summary.id).collect::<Vec<_>>()
    };
    assert_eq!(of(Filter { model: Some("odd".into()), ..Filter::default() }), ["id-5", "id-3", "id-1"]);
    assert_eq!(of(Filter { verdict: Some(RecordVerdict::Rejected), ..Filter::default() }), ["id-6", "id-3", "id-0"]);
    assert_eq!(of(Filter { serial: Some("S2".into()), ..Filter::default() }), ["id-2"]);
    assert_eq!(of(Filter { since_ms: Some(2000), until_ms: Some(4000), ..Filter::default() }), ["id-3", "id-2"]);
    assert_eq!(of(Filter { serial: Some("' OR 1=1 --".into()), ..Filter::default() }), Vec::<String>::new());
}

#[test]
fn a_full_disk_keeps_nothing_of_an_inspection_and_loses_nothing_else() {
    fn full(_: &Path, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    let folder = tempfile::tempdir().unwrap();
    keep(&open(folder.path()), 1).unwrap();
    let store = Store::open(folder.path(), StoreOptions { write_file: full, ..options() }).unwrap();
    assert!(keep(&store, 2).unwrap_err().is_disk_full());
    let greedy = Store::open(folder.path(), StoreOptions { keep_free_bytes: u64::MAX, ..options() }).unwrap();
    let error = keep(&greedy, 3).unwrap_err();
    assert!(error.is_disk_full() && error.to_string().contains("make room"), "{error}");
    let store = open(folder.path());
    assert_eq!(ids(&store.inspections(&Filter::default(), 10).unwrap()), ["id-1"]);
    assert_eq!(store.verify(&Silent).unwrap().findings, []);
    keep(&store, 2).unwrap();
}

#[test]
fn damage_is_found_and_never_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    keep(&store, 1).unwrap();
    keep(&store, 2).unwrap();
    let path = |id: &str| store.blobs.path(store.inspection(id).unwrap().file(FileRole::Cloud).unwrap());
    let (damaged, missing) = (path("id-1"), path("id-2"));
    std::fs::write(&damaged, b"cloud X").unwrap();
    std::fs::remove_file(&missing).unwrap();
    let hash = damaged.file_name().unwrap().to_str().unwrap();
    assert!(matches!(store.file(hash).unwrap_err(), StoreError::DamagedFile { .. }));
    let mut findings = store.verify(&Silent).unwrap().findings;
    findings.sort_by_key(ToString::to_string);
    let mut expected = vec![Finding::Damaged(damaged), Finding::Missing(missing)];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(findings, expected);
    assert!(findings.iter().all(Finding::is_loss));
}

#[test]
fn the_oldest_go_by_age_or_size_and_shared_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for i in 0..10 {
        keep(&store, i).unwrap();
    }
    // Older than 6.5 s at 10 s: those of 0 to 3 s.
    let gone = store.forget(Retention { oldest_ms: Some(6_500), most_bytes: None }, 10_000).unwrap();
    assert_eq!((gone.inspections, gone.bytes), (4, 4 * 7));
    assert_eq!(store.size().unwrap().bytes, 6 * 7 + 5);
    let gone = store.forget(Retention { oldest_ms: None, most_bytes: Some(2 * 7 + 5) }, 10_000).unwrap();
    assert_eq!(gone.inspections, 4);
    assert_eq!(ids(&store.inspections(&Filter::default(), 10).unwrap()), ["id-9", "id-8"]);
    let found = store.verify(&Silent).unwrap();
    assert_eq!((found.inspections, found.files, found.findings), (2, 3, vec![]));
    store.forget(Retention { oldest_ms: None, most_bytes: Some(0) }, 0).unwrap();
    assert_eq!(store.size().unwrap().bytes, 0);
}

#[test]
fn leftovers_are_swept_once_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    keep(&store, 1).unwrap();
    drop(store.blobs.put(b"nobody's").unwrap());
    std::fs::write(folder.path().join("files").join("notes.txt"), b"somebody's").unwrap();
    assert_eq!(store.verify(&Silent).unwrap().findings.iter().filter(|finding| !finding.is_loss()).count(), 2);
    assert_eq!(store.sweep(SystemTime::now()).unwrap(), 0);
    let later = SystemTime::now() + Duration::from_secs(7200);
    let pin = store.blobs.put(b"nobody's").unwrap();
    store.sweep(later).unwrap();
    assert!(store.blobs.get(&pin.sha256).is_ok(), "what is about to be kept stays");
    drop(pin);
    store.sweep(later).unwrap();
    let left = store.verify(&Silent).unwrap().findings;
    assert_eq!(left.len(), 1, "what is not ours stays: {left:?}");
}

#[test]
fn feedback_fits_the_verdict_and_tells_what_parts_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for i in [1, 3, 9] {
        keep(&store, i).unwrap();
    }
    let say = |id: &str, kind| {
        store.add_feedback(id, &Feedback { at_ms: 5, kind, comment: Some("see".into()), given_by: None })
    };
    say("id-1", FeedbackKind::Missed).unwrap();
    say("id-3", FeedbackKind::FalseReject).unwrap();
    say("id-9", FeedbackKind::FalseReject).unwrap();
    say("id-9", FeedbackKind::Confirmed).unwrap();
    let error = say("id-1", FeedbackKind::FalseReject).unwrap_err().to_string();
    assert!(error.contains("cannot be called false-reject"), "{error}");
    let judged: Vec<_> =
        store.judgements("odd", "m").unwrap().into_iter().map(|judged| (judged.score, judged.is_good)).collect();
    assert_eq!(judged, [(1.0, false), (3.0, true), (9.0, false)]);
    assert!(store.judgements("odd", "another version").unwrap().is_empty());
    let n = store.inspection("id-9").unwrap().summary.n;
    assert_eq!(store.feedback(n).unwrap().len(), 2);
}

#[test]
fn the_last_activation_that_was_not_undone_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let add = |bytes: &[u8]| store.add_version("part", bytes, VersionOrigin::Upload, "0.1.0", 1).unwrap();
    let (a, b, c) = (add(b"a"), add(b"b"), add(b"c"));
    let active = || store.versions("part").unwrap().into_iter().find(|v| v.active_since_ms.is_some()).map(|v| v.sha256);
    assert_eq!(active(), None);
    for (at, version) in [(1, &a), (2, &b), (3, &c)] {
        store.activate("part", version, at).unwrap();
    }
    assert_eq!(active().as_ref(), Some(&c));
    assert!(store.roll_back("part", &a, 4).is_err(), "not the version that would come back");
    store.roll_back("part", &b, 4).unwrap();
    store.roll_back("part", &a, 5).unwrap();
    assert_eq!(active().as_ref(), Some(&a));
    assert!(store.previous_version("part").unwrap_err().to_string().contains("activate one"));
    store.activate("part", &c, 6).unwrap();
    assert_eq!(store.previous_version("part").unwrap(), a);
    assert!(store.activate("part", "unknown", 7).is_err());
    assert_eq!(store.verify(&Silent).unwrap().findings, []);
}

#[test]
fn tokens_are_known_by_their_hash_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let token = store.add_token("line-3", Role::Inspect, 1).unwrap();
    assert!(token.starts_with("sg_") && token.len() == 67, "{token}");
    assert_eq!(store.check_token(&token).unwrap().unwrap().role, Role::Inspect);
    assert_eq!(store.check_token(&token[1..]).unwrap(), None);
    assert!(store.add_token("line-3", Role::Manage, 1).is_err());
    let database: Vec<u8> = ["", "-wal"]
        .iter()
        .flat_map(|suffix| std::fs::read(folder.path().join(format!("{DATABASE}{suffix}"))).unwrap_or_default())
        .collect();
    assert!(!database.windows(token.len()).any(|window| window == token.as_bytes()));
    store.revoke_token("line-3").unwrap();
    assert_eq!(store.check_token(&token).unwrap(), None);
    assert!(store.revoke_token("line-3").is_err());
}

#[test]
fn tables_hold_every_inspection() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for i in 0..5 {
        keep(&store, i).unwrap();
    }
    let mut csv = Vec::new();
    assert_eq!(export_csv(&store, &Filter::default(), &mut csv).unwrap(), 5);
    let text = String::from_utf8(csv).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], CSV_COLUMNS.join(","));
    assert_eq!(lines[1], "id-0,1970-01-01T00:00:00.000Z,even,m,part,S0,rejected,0,2.5,0.5,,0,1,");
    let path = folder.path().join("table.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let odd = Filter { model: Some("odd".into()), ..Filter::default() };
    assert_eq!(export_parquet(&store, &odd, file).unwrap(), 2);
    let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].get_string(0).unwrap(), "id-3");
    assert_eq!(rows[1].get_timestamp_millis(1).unwrap(), 3000);
    assert_eq!(rows[1].get_double(7).unwrap(), 3.0);
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    let error = Store::open(folder.path(), options()).unwrap_err().to_string();
    assert!(error.contains("newer version of this program"), "{error}");
}

#[test]
fn a_folder_of_the_first_schema_is_taken_over_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.execute_batch(SCHEMAS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
        .execute_batch(
            "INSERT INTO inspections (id, received_ms, model, model_sha256, verdict, warnings, regions, record)
             VALUES ('old', 1, 'part', 'm', 'good', 0, 0, '{}')",
        )
        .unwrap();
    drop(connection);
    for _ in 0..2 {
        let store = open(folder.path());
        assert_eq!(store.inspection("old").unwrap().record, "{}");
        assert_eq!(store.watched("folder", "scan").unwrap(), None);
        assert_eq!(store.undelivered_counts().unwrap(), []);
    }
}

#[test]
fn a_watched_scan_is_remembered_with_its_inspection_or_not_at_all() {
    fn full(_: &Path, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    let folder = tempfile::tempdir().unwrap();
    let seen = Seen { stamp: "1:2".into(), content: "c".into() };
    let scan = WatchedScan { folder: "/camera".into(), scan: "xyz/000.tiff".into(), seen: seen.clone() };
    let keep = |store: &Store| {
        let files = vec![(FileRole::Cloud, &b"cloud"[..])];
        store.keep(&NewInspection {
            summary: summary(0),
            record: "{}".into(),
            files,
            watched: Some(&scan),
            sinks: &["mqtt"],
        })
    };
    let faulty = Store::open(folder.path(), StoreOptions { write_file: full, ..options() }).unwrap();
    assert!(keep(&faulty).unwrap_err().is_disk_full());
    assert_eq!(faulty.watched("/camera", "xyz/000.tiff").unwrap(), None);
    assert!(faulty.undelivered("mqtt", 9).unwrap().is_empty());

    let store = open(folder.path());
    let n = keep(&store).unwrap().n;
    assert_eq!(store.watched("/camera", "xyz/000.tiff").unwrap(), Some(seen));
    assert_eq!(store.watched("/other", "xyz/000.tiff").unwrap(), None);
    let undelivered = store.undelivered("mqtt", 9).unwrap();
    assert_eq!((undelivered[0].n, undelivered[0].id.as_str()), (n, "id-0"));
    assert!(store.undelivered("webhook", 9).unwrap().is_empty());
    // Not told twice, and not held up by what was let go.
    store.delivered("mqtt", n).unwrap();
    assert!(store.undelivered("mqtt", 9).unwrap().is_empty());
    store.forget(Retention { oldest_ms: Some(0), most_bytes: None }, i64::MAX).unwrap();
    assert!(store.inspection("id-0").is_err());

    // Scans that still lie there stay remembered however old, those that are gone for a month.
    let day = 86_400_000;
    assert_eq!(store.forget_watched("/camera", ["xyz/000.tiff"], 100 * day).unwrap(), 0);
    assert_eq!(store.forget_watched("/camera", [], 129 * day).unwrap(), 0);
    assert_eq!(store.forget_watched("/camera", [], 131 * day).unwrap(), 1);
}
