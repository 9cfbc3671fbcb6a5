//! The station while much happens at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::station::{Station, models};
use crate::support::{fixture, run};

/// Changes of the model while others inspect.
const CHANGES: usize = 16;
const CLIENTS: usize = 3;
/// Longest time until a client's next answer on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn no_request_sees_half_a_model_while_versions_come_and_go() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let other = data.path().join("other.shapeguard");
    run!["fit", &fixture().data, "-o", &other, "--set", "patches.overlap=3", "--false-reject-rate", "0.4"].expect(0);
    let files = [&fixture().model, &other].map(|path| std::fs::read(path).unwrap());
    let hashes = [&files[0], &files[1]].map(|bytes| shapeguard_station::sha256(bytes));
    let told = [&fixture().model, &other].map(|model| {
        let run = run!["inspect", model, fixture().cloud("test/good", "000")];
        let told: Value = serde_json::from_str(run.out.lines().next().unwrap()).unwrap();
        json!([told["score"], told["threshold"], told["false_reject_rate"]])
    });
    assert_ne!(told[0][0], told[1][0], "scores say which version judged");
    assert_ne!(told[0][1], told[1][1], "so do thresholds");
    let expected: BTreeMap<&str, &Value> = hashes.iter().map(String::as_str).zip(&told).collect();

    let station = Station::start(Some(models.path()), data.path(), &["--workers", "3"]);
    let (is_over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = std::thread::scope(|scope| {
        let client = |_| {
            scope.spawn(|| {
                let mut seen = BTreeSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    let found = station.inspect("test/good", "000", &[]).unwrap().expect(201).json();
                    let version = found["model_sha256"].as_str().unwrap().to_owned();
                    let says = json!([found["score"], found["threshold"], found["false_reject_rate"]]);
                    assert_eq!(expected.get(version.as_str()), Some(&&says), "{version}");
                    seen.insert(version);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let put = |which: usize| {
            let headers = [("content-type", "application/octet-stream")];
            station.send("PUT", "/v1/models/part", &headers, &files[which]).unwrap().expect(201)
        };
        let activate = |which: usize| {
            let body = json!({"sha256": hashes[which]}).to_string();
            let headers = [("content-type", "application/json")];
            station.send("POST", "/v1/models/part/activate", &headers, body.as_bytes()).unwrap().expect(200)
        };
        for change in 0..CHANGES {
            let (answer, active) = match change % 4 {
                0 => (put(1), 1),
                1 => (station.send("POST", "/v1/models/part/rollback", &[], b"").unwrap().expect(200), 0),
                2 => (activate(1), 1),
                _ => (put(0), 0),
            };
            assert_eq!(answer.json()["active"], *hashes[active], "change {change}");
            // Each version is in use for a while, and changes come in the middle of inspections.
            let (before, start) = (answers.load(Ordering::Relaxed), Instant::now());
            while answers.load(Ordering::Relaxed) < before + CLIENTS - 1 {
                if clients.iter().any(std::thread::ScopedJoinHandle::is_finished) || start.elapsed() > LONG {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<BTreeSet<String>>()
    });
    assert_eq!(seen, hashes.into_iter().collect(), "both versions judged");
}
