//! The station's Open Inference Protocol: over plain HTTP, and as `tritonclient` speaks it.
//!
//! The latter needs Python with the packages of `tests/clients/requirements.txt`, named by `SHAPEGUARD_CLIENTS_PYTHON`. Without, its
//! test says so and passes, unless `SHAPEGUARD_REQUIRE_CLIENTS=1` promises one.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use shapeguard_core::grid::Grid;
use shapeguard_data::{ReadOptions, ScanSource, encode_xyz_tiff, read_scan};

use crate::several::several;
use crate::station::{Answer, Station, defective, models};
use crate::support::{fixture, run};

const INFER: &str = "/v2/models/part/infer";
const LENGTH: &str = "inference-header-content-length";

/// A scan as tensors.
#[derive(Clone)]
struct Tensors {
    xyz: Grid<[f32; 3]>,
    rgb: Grid<[u8; 3]>,
}

impl Tensors {
    fn read(folder: &str, name: &str) -> Self {
        let source = ScanSource::with_rgb(fixture().cloud(folder, name), fixture().image(folder, name));
        let scan = read_scan(&source, &ReadOptions::default()).unwrap();
        Self { xyz: scan.cloud().points_m().clone(), rgb: scan.rgb().clone() }
    }

    fn shape(&self) -> [usize; 3] {
        [self.xyz.size().rows, self.xyz.size().cols, 3]
    }

    fn xyz_bytes(&self) -> Vec<u8> {
        self.xyz.as_slice().as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn rgb_bytes(&self) -> Vec<u8> {
        self.rgb.as_slice().as_flattened().to_vec()
    }

    /// Sends both tensors as bytes; `more` are further members of the JSON.
    fn send(&self, station: &Station, path: &str, headers: &[(&str, &str)], more: &Value) -> Answer {
        let (xyz, rgb) = (self.xyz_bytes(), self.rgb_bytes());
        let size = |bytes: &[u8]| json!({"binary_data_size": bytes.len()});
        let mut request = json!({"inputs": [
            {"name": "xyz", "datatype": "FP32", "shape": self.shape(), "parameters": size(&xyz)},
            {"name": "rgb", "datatype": "UINT8", "shape": self.shape(), "parameters": size(&rgb)},
        ]});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut body = request.to_string().into_bytes();
        let length = body.len().to_string();
        body.extend(xyz);
        body.extend(rgb);
        station.send("POST", path, &[headers, &[(LENGTH, &length)]].concat(), &body).unwrap()
    }

    /// Sends both tensors as JSON, with the digits of single precision.
    fn send_json(&self, station: &Station, more: &str) -> Answer {
        let shape = self.shape();
        let [xyz, rgb] = [serde_json::to_string(self.xyz.as_slice()), serde_json::to_string(self.rgb.as_slice())];
        let body = format!(
            "{{\"inputs\":[{{\"name\":\"rgb\",\"datatype\":\"UINT8\",\"shape\":{shape:?},\"data\":{}}},\
             {{\"name\":\"xyz\",\"datatype\":\"FP32\",\"shape\":{shape:?},\"data\":{}}}]{more}}}",
            flat(&rgb.unwrap()),
            flat(&xyz.unwrap())
        );
        station.send("POST", INFER, &[], body.as_bytes()).unwrap()
    }
}

/// A list of lists as one list.
fn flat(list: &str) -> String {
    format!("[{}]", list.replace(['[', ']'], ""))
}

/// The outputs of an answer by name: shape, and values as text or as floats.
struct Outputs {
    json: Value,
    tensors: Vec<(String, Value, Vec<u8>)>,
}

impl Outputs {
    fn of(answer: &Answer) -> Self {
        let length = answer.headers[LENGTH].to_str().unwrap().parse().unwrap();
        let (json, mut binary) = answer.bytes.split_at(length);
        let json: Value = serde_json::from_slice(json).unwrap();
        let mut tensors = Vec::new();
        for output in json["outputs"].as_array().unwrap() {
            let size = output["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
            let (here, rest) = binary.split_at(size);
            binary = rest;
            tensors.push((output["name"].as_str().unwrap().to_owned(), output["shape"].clone(), here.to_vec()));
        }
        assert!(binary.is_empty());
        Self { json, tensors }
    }

    fn find(&self, name: &str) -> (&Value, &[u8]) {
        let (_, shape, bytes) = self.tensors.iter().find(|(of, ..)| of == name).unwrap();
        (shape, bytes)
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.find(name).1.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    fn text(&self, name: &str) -> String {
        let (shape, bytes) = self.find(name);
        let (length, text) = bytes.split_at(4);
        assert_eq!((shape, u32::from_le_bytes(length.try_into().unwrap()) as usize), (&json!([1]), text.len()));
        String::from_utf8(text.to_vec()).unwrap()
    }
}

#[track_caller]
fn error(answer: Answer, status: u16) -> String {
    answer.expect(status).json()["error"].as_str().unwrap().to_owned()
}

/// What `inspect` says of a scan's files.
fn told(folder: &str, name: &str) -> Value {
    let run = run!["inspect", &fixture().model, fixture().cloud(folder, name)];
    serde_json::from_str(run.out.lines().next().unwrap()).unwrap()
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

#[test]
fn tensors_are_judged_as_files_are_and_kept() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &[]);
    let (folder, name) = defective();
    let told = told(&folder, &name);
    let mut scan = Tensors::read(&folder, &name);
    let more = json!({"id": "one", "parameters":
        {"serial": "A-17", "meta.line": "3", "unit": "m", "frame": "camera", "binary_data_output": true}});
    let answer = scan.send(&station, INFER, &[], &more).expect(200);
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let found = Outputs::of(&answer);
    let names: Vec<_> = found.tensors.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["verdict", "score", "threshold", "p_value", "anomaly_map", "record"]);
    assert_eq!(found.text("verdict"), told["verdict"].as_str().unwrap());
    for name in ["score", "threshold", "p_value"] {
        assert_eq!((found.floats(name), found.find(name).0), (vec![number(&told[name])], &json!([1])), "{name}");
    }
    let [rows, cols, _] = scan.shape();
    let map = found.floats("anomaly_map");
    assert_eq!((found.find("anomaly_map").0, map.len()), (&json!([rows, cols]), rows * cols));
    let peak = &told["peak"];
    let at_peak = map[peak["row"].as_u64().unwrap() as usize * cols + peak["col"].as_u64().unwrap() as usize];
    assert_eq!(at_peak, number(&peak["value"]));
    assert_eq!(at_peak, map.iter().copied().fold(0.0, f32::max));

    // It is an inspection like any other.
    let id = found.json["parameters"]["inspection"].as_str().unwrap();
    let address = format!("/v1/inspections/{id}");
    let kept = station.get(&address).expect(200);
    assert_eq!(found.text("record").as_bytes(), kept.bytes);
    // As the file that the simulator wrote.
    let sha256 = shapeguard_station::sha256(&std::fs::read(fixture().cloud(&folder, &name)).unwrap());
    assert!(data.path().join("files").join(&sha256[..2]).join(&sha256).is_file());
    let kept = kept.json();
    assert_eq!((&kept["serial"], &kept["meta"]["line"]), (&"A-17".into(), &"3".into()));
    assert_eq!((&kept["regions"], &found.json["id"]), (&told["regions"], &"one".into()));
    assert_eq!((&found.json["model_name"], &found.json["model_version"]), (&kept["model"], &kept["model_sha256"]));
    for link in ["image", "overlay", "cloud", "thumbnail"] {
        station.get(kept["links"][link].as_str().unwrap()).expect(200);
    }
    let metrics = String::from_utf8(station.get("/metrics").expect(200).bytes).unwrap();
    assert!(metrics.contains("shapeguard_inspections_total{model=\"part\",verdict=\"rejected\"} 1"), "{metrics}");

    // The same in JSON; and with what is no point written as NaN, by the version's own address.
    let answer = scan.send_json(&station, ",\"outputs\":[{\"name\":\"score\"},{\"name\":\"verdict\"}]").expect(200);
    assert!(!answer.headers.contains_key(LENGTH));
    let text = String::from_utf8(answer.bytes).unwrap();
    let digits = serde_json::to_string(&number(&told["score"])).unwrap();
    let score = format!("{{\"name\":\"score\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[{digits}]}}");
    assert!(text.contains(&format!("\"outputs\":[{score},{{\"name\":\"verdict\"")), "{text}");
    for point in scan.xyz.as_mut_slice().iter_mut().filter(|point| **point == [0.0; 3]) {
        *point = [f32::NAN; 3];
    }
    let version = format!("/v2/models/part/versions/{}", kept["model_sha256"].as_str().unwrap());
    let wanted = json!({"outputs": [{"name": "score", "parameters": {"binary_data": true}}]});
    let answer = scan.send(&station, &format!("{version}/infer"), &[], &wanted).expect(200);
    assert_eq!(Outputs::of(&answer).floats("score"), [number(&told["score"])]);
    station.get(&version).expect(200);
    station.get(&format!("{version}/ready")).expect(200);

    // Another unit, with what is no point written as NaN: as `inspect` reads it from a file.
    let millimetres = Tensors { xyz: scan.xyz.map(|point| point.map(|metres| metres * 1000.0)), rgb: scan.rgb.clone() };
    let (cloud, _) = fixture().copy_scan(&data.path().join("mm"), "000");
    std::fs::write(&cloud, encode_xyz_tiff(&millimetres.xyz).unwrap()).unwrap();
    std::fs::copy(fixture().image(&folder, &name), data.path().join("mm/rgb/000.png")).unwrap();
    let run = run!["inspect", &fixture().model, &cloud, "--unit", "mm"];
    let told: Value = serde_json::from_str(run.out.lines().next().unwrap()).unwrap();
    let more = json!({"parameters": {"unit": "mm", "binary_data_output": true}});
    let found = Outputs::of(&millimetres.send(&station, INFER, &[], &more).expect(200));
    assert_eq!(found.floats("score"), [number(&told["score"])]);
    let record: Value = serde_json::from_str(&found.text("record")).unwrap();
    assert_eq!((&record["read_as"]["unit"], &record["peak"]["xyz_m"]), (&"mm".into(), &told["peak"]["xyz_m"]));

    // What cannot be judged has no numbers, and is kept too.
    scan.xyz.as_mut_slice().fill([0.0; 3]);
    let found = scan.send(&station, INFER, &[], &json!({"parameters": {"binary_data_output": true}})).expect(200);
    let found = Outputs::of(&found);
    assert_eq!(found.text("verdict"), "not-judged");
    assert_eq!((found.find("score").0, found.find("anomaly_map").0), (&json!([0]), &json!([0, 0])));
    let record: Value = serde_json::from_str(&found.text("record")).unwrap();
    assert!(record["reason"].as_str().unwrap().starts_with("xyz: the cloud has no valid point"), "{record}");
    let list = station.get("/v1/inspections").expect(200).json();
    assert_eq!(list["inspections"].as_array().unwrap().len(), 5);
    assert!(run!["history", "verify", "--data", data.path()].expect(0).contains("5 inspections"), "all whole");
}

#[test]
fn auto_is_the_model_that_routes() {
    let (models, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::copy(&several().model, models.path().join("parts.shapeguard")).unwrap();
    let station = Station::start(Some(models.path()), data.path(), &[]);
    assert_eq!(station.get("/v2/models/auto").expect(200).json()["name"], "parts");
    station.get("/v2/models/auto/ready").expect(200);
    let scan = Tensors::read("test/good", "000");
    let infer = |more: Value| {
        let answer = scan.send(&station, "/v2/models/auto/infer", &[], &more).expect(200).json();
        assert_eq!(answer["model_name"], "parts");
        let record: Value = serde_json::from_str(answer["outputs"][0]["data"][0].as_str().unwrap()).unwrap();
        (record["category"].clone(), record["routing"]["nearest_category"].clone())
    };
    assert_eq!(infer(json!({"outputs": [{"name": "record"}]})), ("biscuit".into(), "biscuit".into()));
    let given = json!({"outputs": [{"name": "record"}], "parameters": {"category": "cork"}});
    assert_eq!(infer(given), ("cork".into(), Value::Null));
}

#[test]
fn bad_inferences_are_told_what_is_wrong_in_the_protocols_words() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let limits = ["--workers", "1", "--queue", "1", "--max-upload-mib", "16"];
    let station = Station::start(Some(models.path()), data.path(), &limits);
    let scan = Tensors::read("test/good", "000");
    let told = |more: Value, status| error(scan.send(&station, INFER, &[], &more), status);
    let parameters = |parameters: Value| told(json!({"parameters": parameters}), 400);
    assert!(parameters(json!({"colour": "red"})).starts_with("unknown parameter \"colour\"; expected serial"));
    assert!(parameters(json!({"model": "part"})).contains("unknown parameter \"model\""));
    assert!(parameters(json!({"priority": 3})).contains("unknown parameter \"priority\""));
    assert!(parameters(json!({"serial": 3})).contains("\"serial\": expected a text, found \"3\""));
    assert!(parameters(json!({"serial": "x".repeat(2001)})).contains("expected at most 2000 bytes"));
    assert!(parameters(json!({"unit": "inch"})).contains("expected a unit"));
    assert!(told(json!({"parameters": {"category": "x"}}), 422).contains("has no category"));
    assert!(told(json!({"id": "x".repeat(2001)}), 400).contains("id: expected at most 2000 bytes"));

    let send = |path: &str, headers: &[(&str, &str)]| scan.send(&station, path, headers, &json!({}));
    assert!(error(send("/v2/models/other/infer", &[]), 404).contains("loaded are part"));
    assert!(error(send("/v2/models/auto/infer", &[]), 409).contains("knows several categories"));
    let active = station.get("/v1/models/part").expect(200).json()["active"].as_str().unwrap().to_owned();
    let refused = error(send("/v2/models/part/versions/1/infer", &[]), 404);
    assert!(refused.contains(&format!("the version \"1\" is not served; the active one is \"{active}\"")), "{refused}");
    assert!(error(send(INFER, &[("content-encoding", "gzip")]), 415).contains("Content-Encoding, found \"gzip\""));
    assert_eq!(send(INFER, &[("content-encoding", "identity")]).status, 200);
    let foreign = station.send("GET", "/v2/models/part", &[("origin", "http://evil.example")], b"").unwrap();
    assert!(error(foreign, 403).contains("another site"));

    // Whether a client still reads when its body is refused is its own affair.
    let large = station.send("POST", INFER, &[], &vec![b' '; 17 << 20]);
    assert!(large.is_none_or(|answer| error(answer, 413).contains("--max-upload-mib")));
    assert!(error(station.send("POST", INFER, &[], b"{").unwrap(), 400).contains("JSON cannot be read"));
    assert_eq!(error(station.get("/v2/none"), 404), "there is nothing at /v2/none");
    assert_eq!(error(station.get(INFER), 405), "405 Method Not Allowed");
    assert!(error(station.get("/v2/models/none/ready"), 404).contains("there is no model"));
    assert!(error(station.get("/v2/models/part/versions/1"), 404).contains(&active));

    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| send(INFER, &[]))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (kept, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!kept.is_empty() && !refused.is_empty(), "{} kept, {} refused", kept.len(), refused.len());
    for answer in refused {
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(error(answer, 429).contains("wait already"));
    }
}

/// The Python that has the clients' packages.
fn clients_python() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("SHAPEGUARD_CLIENTS_PYTHON").filter(|python| !python.is_empty());
    if python.is_none() {
        let is_required = std::env::var("SHAPEGUARD_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
        let how = "make a virtual environment, `pip install --require-hashes -r crates/shapeguard-cli/tests/clients/requirements.txt` \
                   in it, and name its Python by SHAPEGUARD_CLIENTS_PYTHON";
        assert!(!is_required, "SHAPEGUARD_REQUIRE_CLIENTS=1 promises clients: {how}");
        eprintln!("not tested: {how}");
    }
    python
}

#[test]
fn tritonclient_gets_what_inspect_says() {
    let Some(python) = clients_python() else { return };
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let token = run!["token", "add", "line", "--role", "inspect", "--data", data.path()].expect(0);
    let station = Station::start(Some(models.path()), data.path(), &[]);
    let (folder, name) = defective();
    let (told, scan) = (told(&folder, &name), Tensors::read(&folder, &name));
    let [rows, cols, _] = scan.shape();
    let files = data.path().join("scan");
    std::fs::write(files.with_extension("xyz"), scan.xyz_bytes()).unwrap();
    std::fs::write(files.with_extension("rgb"), scan.rgb_bytes()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/open_inference.py");
    let address = station.address.strip_prefix("http://").unwrap();
    let run = Command::new(python)
        .arg(script)
        .args([address, "part", token.trim()])
        .arg(files)
        .args([rows.to_string(), cols.to_string()])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();

    let version = env!("CARGO_PKG_VERSION");
    let server = json!({"name": "shapeguard", "version": version, "extensions": ["binary_tensor_data"]});
    assert_eq!(said["server"], server);
    let model = &said["model"];
    assert_eq!((&model["name"], &model["platform"]), (&"part".into(), &"shapeguard".into()));
    assert_eq!(model["inputs"][0], json!({"name": "xyz", "datatype": "FP32", "shape": [-1, -1, 3]}));
    assert_eq!(model["inputs"][1], json!({"name": "rgb", "datatype": "UINT8", "shape": [-1, -1, 3]}));
    assert_eq!(model["outputs"][4], json!({"name": "anomaly_map", "datatype": "FP32", "shape": [-1, -1]}));
    let all = json!(["verdict", "score", "threshold", "p_value", "anomaly_map", "record"]);
    for way in ["binary", "json"] {
        let said = &said[way];
        assert_eq!((&said["order"], &said["verdict"]), (&all, &told["verdict"]), "{way}");
        for name in ["score", "threshold", "p_value"] {
            assert_eq!(number(&said[name][0]), number(&told[name]), "{way} {name}");
        }
        assert_eq!(said["anomaly_map"]["shape"], json!([rows, cols]), "{way}");
        assert_eq!(number(&said["anomaly_map"]["largest"]), number(&told["peak"]["value"]), "{way}");
        let record: Value = serde_json::from_str(said["record"].as_str().unwrap()).unwrap();
        assert_eq!((&record["id"], &record["regions"]), (&said["inspection"], &told["regions"]), "{way}");
    }
    assert_eq!((&said["binary"]["id"], &said["json"]["id"]), (&"one".into(), &Value::Null));
    let record: Value = serde_json::from_str(said["binary"]["record"].as_str().unwrap()).unwrap();
    assert_eq!((&record["serial"], &record["meta"]["line"]), (&"A-17".into(), &"3".into()));
    let mixed = &said["mixed"];
    assert_eq!((&mixed["order"], number(&mixed["score"][0])), (&json!(["score", "verdict"]), number(&told["score"])));
    let nothing = &said["nothing"];
    assert_eq!((&nothing["verdict"], &nothing["score"]), (&"not-judged".into(), &json!([])));
    assert_eq!(nothing["anomaly_map"], json!({"shape": [0, 0], "largest": null}));

    for (what, status, message) in [
        ("wrong_shape", "400", format!("rgb: expected {} rows x {cols} columns as xyz has", rows - 1)),
        ("wrong_datatype", "400", "xyz: expected the datatype FP32, found \"FP64\"".into()),
        ("unknown_output", "400", "unknown output \"heat\"".into()),
        ("sequence", "400", "unknown parameter \"sequence_id\"".into()),
        ("compressed", "415", "without Content-Encoding, found \"gzip\"".into()),
        ("no_token", "401", "Authorization: Bearer".into()),
        ("other_version", "404", "the active one is".into()),
    ] {
        assert_eq!(said[what][0], status, "{what}: {}", said[what]);
        assert!(said[what][1].as_str().unwrap().contains(&message), "{what}: {}", said[what]);
    }
}
