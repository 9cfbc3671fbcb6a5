//! The inspection station: the server as programs and people meet it, and killed at any moment.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{command, fixture, run, truncate};

/// A server that runs until it is dropped.
pub struct Station {
    process: Child,
    pub address: String,
    data: PathBuf,
}

impl Drop for Station {
    fn drop(&mut self) {
        // Without a warning: what is kept must stand that.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder with the model of all tests under the name `part`.
pub fn models() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&fixture().model, folder.path().join("part.shapeguard")).unwrap();
    folder
}

impl Station {
    pub fn start(models: Option<&Path>, data: &Path, more: &[&str]) -> Self {
        Self::start_logging(models, data, more, Stdio::inherit())
    }

    pub fn start_logging(models: Option<&Path>, data: &Path, more: &[&str], log: impl Into<Stdio>) -> Self {
        let mut command = command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(more);
        if let Some(models) = models {
            command.arg("--models").arg(models);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).expect(&line).to_owned();
        Self { process, address, data: data.to_path_buf() }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // `None`: the server was killed.
        let mut response = agent.run(request.body(body).unwrap()).ok()?;
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes).ok()?;
        Some(Answer { status: response.status().as_u16(), headers: response.headers().clone(), bytes })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").unwrap()
    }

    /// Sends a form of texts and files.
    pub fn post(&self, texts: &[(&str, &str)], files: &[(&str, &Path)]) -> Option<Answer> {
        let mut body = Vec::new();
        for (name, text) in texts {
            body.extend(format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n").bytes());
        }
        for (name, path) in files {
            let file = path.file_name().unwrap().to_string_lossy();
            body.extend(
                format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\r\n").bytes(),
            );
            body.extend(std::fs::read(path).unwrap());
            body.extend(b"\r\n");
        }
        body.extend(b"--XX--\r\n");
        self.send("POST", "/v1/inspections", &[("content-type", "multipart/form-data; boundary=XX")], &body)
    }

    pub fn inspect(&self, folder: &str, name: &str, texts: &[(&str, &str)]) -> Option<Answer> {
        let (cloud, image) = (fixture().cloud(folder, name), fixture().image(folder, name));
        self.post(&[&[("model", "part")], texts].concat(), &[("cloud", &cloud), ("rgb", &image)])
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The message of an error.
    #[track_caller]
    pub fn error(self, status: u16) -> String {
        self.expect(status).json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// The folder and name of a defective test scan.
pub fn defective() -> (String, String) {
    let test = fixture().data.join("test");
    let kinds = std::fs::read_dir(&test).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let kind = kinds.filter(|kind| kind != "good").min().unwrap();
    let clouds = std::fs::read_dir(test.join(&kind).join("xyz")).unwrap();
    let name = clouds.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).min();
    (format!("test/{kind}"), name.unwrap())
}

#[test]
fn a_station_says_what_inspect_says_and_remembers_it_over_a_kill() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &[]);
    let (folder, name) = defective();
    let answer = station.inspect(&folder, &name, &[("serial", "A-17"), ("meta.line", "3"), ("unit", "")]).unwrap();
    let found = answer.expect(201).json();
    let told = run!["inspect", &fixture().model, fixture().cloud(&folder, &name)];
    let told: Value = serde_json::from_str(told.out.lines().next().unwrap()).unwrap();
    for key in
        ["verdict", "score", "threshold", "p_value", "scores", "peak", "regions", "region_level", "shares", "patches"]
    {
        assert_eq!(found[key], told[key], "{key}");
    }
    assert_eq!((&found["serial"], &found["meta"]["line"]), (&"A-17".into(), &"3".into()));
    assert_eq!(found["verdict"], "rejected", "a defect of twice the strength");
    let region = &found["regions"][0];
    assert!(region["area_mm2"].as_f64().unwrap() > 0.0 && region["xyz_m"].is_array(), "{region}");

    // What links lead to is there, and of the right kind.
    let links = &found["links"];
    for (key, begins) in [
        ("thumbnail", &b"\x89PNG"[..]),
        ("image", b"\x89PNG"),
        ("heat_map", b"\x89PNG"),
        ("overlay", b"\x89PNG"),
        ("cloud", b"ply\n"),
    ] {
        let picture = station.get(links[key].as_str().unwrap()).expect(200);
        assert!(picture.bytes.starts_with(begins), "{key}");
    }
    let side = found["map"]["side"].as_u64().unwrap() as usize;
    let fused = station.get(links["maps"]["fused"].as_str().unwrap()).expect(200).bytes;
    let values: Vec<f32> = fused.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(values.len(), side * side);
    let peak = found["peak"]["value"].as_f64().unwrap();
    let highest = f64::from(values.iter().copied().fold(0.0, f32::max));
    // Half precision, and the peak is that of the map at the scan's size.
    assert!((highest - peak).abs() < 0.05 * peak, "{highest} {peak}");
    let few = station.get(&format!("{}?max_points=1000", links["cloud"].as_str().unwrap())).expect(200).bytes;
    assert!(few.len() < 1000 * 40 + 400);

    let this = links["self"].as_str().unwrap();
    let feedback = |kind: &str| {
        let body = format!("{{\"kind\":\"{kind}\",\"comment\":null}}");
        let headers = [("content-type", "application/json")];
        station.send("POST", &format!("{this}/feedback"), &headers, body.as_bytes()).unwrap()
    };
    assert!(feedback("missed").error(409).contains("cannot be called missed"));
    assert_eq!(feedback("false-reject").expect(201).json()["feedback"][0]["kind"], "false-reject");
    let report = station.get("/v1/models/part/feedback").expect(200).json();
    assert_eq!(report["categories"][0]["counts"]["false_reject"], 1);
    assert_eq!(report["categories"][0]["at_current"]["false_rejects"], 1);
    let metrics = String::from_utf8(station.get("/metrics").expect(200).bytes).unwrap();
    assert!(metrics.contains("shapeguard_inspections_total{model=\"part\",verdict=\"rejected\"} 1"), "{metrics}");
    assert_eq!(station.get("/health/ready").status, 200);

    drop(station);
    // Without the folder: the model is kept too.
    let station = Station::start(None, data.path(), &[]);
    let again = station.get(this).expect(200).json();
    assert_eq!((&again["score"], &again["regions"]), (&found["score"], &found["regions"]));
    let list = station.get("/v1/inspections?verdict=rejected&serial=A-17").expect(200).json();
    assert_eq!(list["inspections"][0]["id"], found["id"]);
    assert!(station.inspect("test/good", "000", &[]).unwrap().expect(201).json()["score"].is_number());
    let listed = run!["history", "list", "--data", data.path(), "--json"].json_lines(0);
    assert_eq!(listed.len(), 2);
    assert!(run!["history", "verify", "--data", data.path()].expect(0).contains("2 inspections"), "all whole");
    let table = data.path().join("parts.csv");
    run!["history", "export", "--data", data.path(), "--out", &table].expect(0);
    assert_eq!(std::fs::read_to_string(table).unwrap().lines().count(), 3);
}

#[test]
fn bad_requests_are_told_what_is_wrong_and_do_no_harm() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &["--max-upload-mib", "8"]);
    let (cloud, image) = (fixture().cloud("test/good", "000"), fixture().image("test/good", "000"));
    let files: [(&str, &Path); 2] = [("cloud", &cloud), ("rgb", &image)];
    let error = |texts: &[(&str, &str)], status| station.post(texts, &files).unwrap().error(status);
    assert!(error(&[], 400).contains("the field model is missing"));
    assert!(error(&[("model", "other")], 404).contains("loaded are part"));
    assert!(error(&[("model", "../part")], 404).contains("there is no model"));
    assert!(error(&[("model", "auto")], 409).contains("knows several categories"));
    assert!(error(&[("model", "part"), ("category", "x")], 422).contains("has no category"));
    assert!(error(&[("model", "part"), ("colour", "red")], 400).contains("unknown field"));
    assert!(error(&[("model", "part"), ("unit", "inch")], 400).contains("expected a unit"));
    assert!(station.post(&[("model", "part")], &[("rgb", &image)]).unwrap().error(400).contains("cloud is missing"));

    // A scan that cannot be judged is an inspection all the same, and never good.
    let broken = data.path().join("broken.tiff");
    std::fs::copy(&cloud, &broken).unwrap();
    truncate(&broken);
    let answer = station.post(&[("model", "part")], &[("cloud", &broken), ("rgb", &image)]).unwrap();
    let found = answer.expect(201).json();
    assert_eq!((&found["verdict"], &found["links"]["image"]), (&"not-judged".into(), &Value::Null));
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.starts_with("broken.tiff: truncated"), "names the file as it was sent, and no other: {reason}");
    assert_eq!(station.get(&format!("/v1/inspections/{}/cloud.ply", found["id"].as_str().unwrap())).status, 404);

    let large = vec![0; 9 << 20];
    let headers = [("content-type", "multipart/form-data; boundary=XX")];
    let mut body = b"--XX\r\ncontent-disposition: form-data; name=\"cloud\"; filename=\"a\"\r\n\r\n".to_vec();
    body.extend(large);
    body.extend(b"\r\n--XX--\r\n");
    let answer = station.send("POST", "/v1/inspections", &headers, &body);
    assert!(answer.is_none_or(|answer| answer.status == 413));
    for (path, status) in [
        ("/v1/inspections/none", 404),
        ("/v1/inspections?limit=x", 400),
        ("/v1/inspections?colour=red", 400),
        ("/../../etc/passwd", 404),
        ("/%2e%2e/Cargo.toml", 404),
        ("/assets/none.js", 404),
    ] {
        assert_eq!(station.get(path).status, status, "{path}");
    }
    // Another site's page, through this machine's browser.
    let foreign = station.send("GET", "/v1/models", &[("origin", "http://evil.example")], b"").unwrap();
    assert!(foreign.error(403).contains("another site"));
    let put = |bytes: &[u8]| {
        station.send("PUT", "/v1/models/part", &[("content-type", "application/octet-stream")], bytes).unwrap()
    };
    let refused = put(b"no model").error(422);
    assert!(refused.contains("part cannot be used") && !refused.contains("/tmp"), "{refused}");
    let page = station.get("/").expect(200);
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
    assert!(page.headers.contains_key("x-request-id"));
    assert_eq!(station.get("/assets/page.js").expect(200).headers["content-type"], "text/javascript");
}

#[test]
fn models_are_swapped_whole_and_come_back() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &[]);
    let other = data.path().join("other.shapeguard");
    run!["fit", &fixture().data, "-o", &other, "--set", crate::support::FEW_PATCHES, "--false-reject-rate", "0.4"]
        .expect(0);
    let first = station.get("/v1/models/part").expect(200).json();
    let headers = [("content-type", "application/octet-stream")];
    let bytes = std::fs::read(&other).unwrap();
    let second = station.send("PUT", "/v1/models/part", &headers, &bytes).unwrap().expect(201).json();
    assert_ne!(second["active"], first["active"]);
    assert_eq!(second["versions"].as_array().unwrap().len(), 2);
    let found = station.inspect("test/good", "000", &[]).unwrap().expect(201).json();
    assert_eq!((&found["model_sha256"], &found["false_reject_rate"]), (&second["active"], &0.4.into()));
    let back = station.send("POST", "/v1/models/part/rollback", &[], b"").unwrap().expect(200).json();
    assert_eq!(back["active"], first["active"]);
    let again = station.send("POST", "/v1/models/part/rollback", &[], b"").unwrap();
    assert!(again.error(409).contains("no other version"));
    drop(station);
    // The folder's file is known and was not put there again: what was gone back to stays.
    let station = Station::start(Some(models.path()), data.path(), &[]);
    assert_eq!(station.get("/v1/models/part").expect(200).json()["active"], first["active"]);
}

#[test]
fn tokens_say_who_may_do_what_and_others_need_one() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let refused = run!["serve", "--listen", "0.0.0.0:0", "--data", data.path(), "--models", models.path()].error();
    assert!(refused.contains("has no tokens"), "{refused}");
    let token = |name: &str, role: &str| {
        run!["token", "add", name, "--role", role, "--data", data.path()].expect(0).trim().to_owned()
    };
    let (inspect, manage) = (token("line", "inspect"), token("boss", "manage"));
    let station = Station::start(Some(models.path()), data.path(), &[]);
    let with = |method: &str, path: &str, token: &str| {
        station.send(method, path, &[("authorization", &format!("Bearer {token}"))], b"").unwrap()
    };
    assert_eq!(station.get("/v1/models").status, 401);
    assert_eq!(with("GET", "/v1/models", "sg_wrong").status, 401);
    assert_eq!(with("GET", "/v1/status", &inspect).expect(200).json()["role"], "inspect");
    assert_eq!(with("POST", "/v1/models/part/rollback", &inspect).status, 403);
    assert_eq!(with("POST", "/v1/models/part/rollback", &manage).status, 409);
    assert_eq!(station.get("/").status, 200, "the page asks for a token itself");
    run!["token", "revoke", "line", "--data", data.path()].expect(0);
    assert_eq!(with("GET", "/v1/models", &inspect).status, 401);
    assert!(run!["token", "list", "--data", data.path()].expect(0).starts_with("boss"));
}

#[test]
fn killed_under_load_again_and_again_nothing_that_was_answered_is_lost() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let answered = Mutex::new(Vec::new());
    for round in 0..3 {
        let mut station = Station::start(Some(models.path()), data.path(), &["--queue", "2"]);
        let pid = station.process.id();
        std::thread::scope(|scope| {
            for client in 0..3 {
                let (station, answered) = (&station, &answered);
                scope.spawn(move || {
                    for part in 0.. {
                        let serial = format!("{round}-{client}-{part}");
                        let Some(answer) = station.inspect("test/good", "000", &[("serial", &serial)]) else { return };
                        match answer.status {
                            201 => answered
                                .lock()
                                .unwrap()
                                .push((answer.json()["id"].as_str().unwrap().to_owned(), serial)),
                            // Told to come back: nothing is to be kept.
                            status => assert_eq!(status, 429),
                        }
                    }
                });
            }
            // Not at the same moment of an inspection in each round.
            std::thread::sleep(Duration::from_millis(1500 + 370 * round));
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        });
        station.process.wait().unwrap();
    }
    let answered = answered.into_inner().unwrap();
    assert!(answered.len() >= 3, "{answered:?}");
    let station = Station::start(None, data.path(), &[]);
    for (id, serial) in &answered {
        let found = station.get(&format!("/v1/inspections/{id}")).expect(200).json();
        assert_eq!(found["serial"], *serial.as_str());
        station.get(found["links"]["cloud"].as_str().unwrap()).expect(200);
        station.get(found["links"]["heat_map"].as_str().unwrap()).expect(200);
    }
    // Nothing is half there: every row has its files, and every file is whole. Leftovers are no loss.
    run!["history", "verify", "--data", &station.data].expect(0);
}

#[test]
#[cfg(unix)]
fn asked_to_stop_it_answers_what_it_took() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let mut station = Station::start(Some(models.path()), data.path(), &[]);
    let pid = station.process.id().to_string();
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| station.inspect("test/good", "000", &[]));
        std::thread::sleep(Duration::from_millis(30));
        std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        asking.join().unwrap()
    });
    // Taken and answered, or not taken at all.
    let answered = answer.filter(|answer| answer.status == 201);
    assert!(station.process.wait().unwrap().success());
    let listed = run!["history", "list", "--data", data.path(), "--json"].json_lines(0);
    assert_eq!(listed.len(), usize::from(answered.is_some()));
}

#[test]
fn more_than_may_wait_are_told_to_come_back_and_none_is_lost() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &["--workers", "1", "--queue", "1"]);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| station.inspect("test/good", "000", &[]).unwrap());
        let asking: Vec<_> = (0..8).map(ask).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (kept, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert!(!kept.is_empty() && !refused.is_empty(), "{} kept, {} refused", kept.len(), refused.len());
    assert!(refused.iter().all(|answer| answer.status == 429 && answer.headers["retry-after"] == "1"));
    let score = |answer: &Answer| answer.json()["score"].clone();
    assert!(kept.iter().all(|answer| score(answer) == score(&kept[0])), "the same scan, the same answer");
    let list = station.get("/v1/inspections").expect(200).json();
    assert_eq!(list["inspections"].as_array().unwrap().len(), kept.len());

    // A second server would have models of its own active over the same data.
    let second = run!["serve", "--listen", "127.0.0.1:0", "--data", data.path()].error();
    assert!(second.contains("another station uses this folder"), "{second}");
}

#[test]
fn a_model_is_fitted_on_the_station_and_what_happens_is_told() {
    let data = tempfile::tempdir().unwrap();
    let station = Station::start(None, data.path(), &[]);
    assert_eq!(station.get("/health/ready").status, 503, "no model yet");
    let json = [("content-type", "application/json")];
    let wish = |body: &str| station.send("POST", "/v1/fits", &json, body.as_bytes()).unwrap();
    assert!(wish("{\"model\":\"new\",\"preset\":\"/etc/passwd\"}").error(409).contains("there is no preset"));
    let fit = wish("{\"model\":\"new\",\"preset\":\"default\",\"false_reject_rate\":0.25}").expect(201).json();
    assert_eq!((&fit["state"], &fit["scans_needed"]), (&"collecting".into(), &3.into()));
    let address = format!("/v1/fits/{}", fit["id"].as_str().unwrap());
    let broken = data.path().join("broken.tiff");
    std::fs::copy(fixture().cloud("train/good", "000"), &broken).unwrap();
    truncate(&broken);
    let add = |name: &str, cloud: &Path, image: &Path| {
        let mut body = Vec::new();
        for (part, path) in [("cloud", cloud), ("rgb", image)] {
            body.extend(
                format!("--XX\r\ncontent-disposition: form-data; name=\"{part}\"; filename=\"{part}\"\r\n\r\n").bytes(),
            );
            body.extend(std::fs::read(path).unwrap());
            body.extend(b"\r\n");
        }
        body.extend(b"--XX--\r\n");
        let headers = [("content-type", "multipart/form-data; boundary=XX")];
        station.send("PUT", &format!("{address}/scans/{name}"), &headers, &body).unwrap().expect(204);
    };
    let start = || station.send("POST", &format!("{address}/start"), &[], b"").unwrap();
    for name in ["000", "001"] {
        add(name, &fixture().cloud("train/good", name), &fixture().image("train/good", name));
    }
    assert!(start().error(409).contains("at least 3 good scans, found 2"));
    for name in ["002", "003"] {
        add(name, &fixture().cloud("train/good", name), &fixture().image("train/good", name));
    }
    add("cut", &broken, &fixture().image("train/good", "000"));

    // Listening before it happens.
    let host = station.address.strip_prefix("http://").unwrap();
    let mut events = std::net::TcpStream::connect(host).unwrap();
    events.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    std::io::Write::write_all(&mut events, format!("GET /v1/events HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
        .unwrap();
    let mut events = BufReader::new(events).lines().map(Result::unwrap);
    assert!(events.any(|line| line.contains("text/event-stream")));

    start().expect(200);
    let done = events.by_ref().filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)).find_map(|data| {
        let view: Value = serde_json::from_str(&data).unwrap();
        ["done", "failed"].contains(&view["state"].as_str().unwrap_or_default()).then_some(view)
    });
    let done = done.unwrap();
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["skipped"][0]["scan"], "cut");
    let reason = done["skipped"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("cut: truncated"), "names the scan as it was sent, and no file: {reason}");
    let result = &done["result"];
    assert_eq!(result["category"]["good_scores"].as_array().unwrap().len(), 4);
    // Kept, but nobody looked at it yet.
    assert_eq!(station.get("/v1/models/new").status, 404);
    let body = format!("{{\"sha256\":{}}}", result["sha256"]);
    let model = station.send("POST", "/v1/models/new/activate", &json, body.as_bytes()).unwrap().expect(200).json();
    assert_eq!((&model["active"], &model["versions"][0]["origin"]), (&result["sha256"], &"fit".into()));
    let (cloud, image) = (fixture().cloud("test/good", "000"), fixture().image("test/good", "000"));
    let found = station.post(&[("model", "new")], &[("cloud", &cloud), ("rgb", &image)]).unwrap().expect(201).json();
    assert!(events.any(|line| line == "event: inspection"));
    let told: Value = serde_json::from_str(events.next().unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&told["id"], &told["score"]), (&found["id"], &found["score"]));
}

#[test]
fn a_full_disk_is_told_as_507_and_nothing_else_is_lost() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &[]);
    let kept = station.inspect("test/good", "000", &[]).unwrap().expect(201).json();
    drop(station);
    // More than any disk has is to stay free.
    let station = Station::start(None, data.path(), &["--keep-free-mib", "1000000000000"]);
    let told = station.inspect("test/good", "000", &[]).unwrap().error(507);
    assert!(
        told.contains("nothing of this request was kept") && !told.contains(&*data.path().to_string_lossy()),
        "{told}"
    );
    let list = station.get("/v1/inspections").expect(200).json();
    assert_eq!((&list["inspections"][0]["id"], list["inspections"].as_array().unwrap().len()), (&kept["id"], 1));
}
