//! A watched folder: each scan once, whatever happens in between, and everybody told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::station::{defective, models};
use crate::support::{Run, command, fixture, names, run};

/// Longest time that anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// A folder that is watched, the models and the memory.
struct Line {
    camera: TempDir,
    models: TempDir,
    data: TempDir,
}

impl Line {
    fn new() -> Self {
        Self { camera: tempfile::tempdir().unwrap(), models: models(), data: tempfile::tempdir().unwrap() }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = command();
        command.arg("watch").arg(self.camera.path()).arg("--models").arg(self.models.path());
        command.arg("--data").arg(self.data.path()).args(["--json", "--settle", "0.2"]).args(more);
        command
    }

    fn once(&self, more: &[&str]) -> Run {
        let output = self.command(&[&["--once"], more].concat()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Puts a scan under a name: the cloud first, then its image.
    fn put(&self, folder: &str, scan: &str, name: &str) -> (PathBuf, PathBuf) {
        let (cloud, image) =
            (self.camera.path().join(format!("{name}.tiff")), self.camera.path().join(format!("{name}.png")));
        std::fs::copy(fixture().cloud(folder, scan), &cloud).unwrap();
        std::fs::copy(fixture().image(folder, scan), &image).unwrap();
        (cloud, image)
    }

    fn put_good(&self, name: &str) -> (PathBuf, PathBuf) {
        self.put("test/good", "000", name)
    }

    /// What the good scan's cloud and image hold.
    fn good_bytes() -> [Vec<u8>; 2] {
        let (cloud, image) = (fixture().cloud("test/good", "000"), fixture().image("test/good", "000"));
        [cloud, image].map(|path| std::fs::read(path).unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.camera.path().join(name), bytes).unwrap();
    }

    fn history(&self) -> Vec<Value> {
        run!["history", "list", "--data", self.data.path(), "--limit", "1000", "--json"].json_lines(0)
    }
}

/// `shapeguard watch` until it is dropped.
struct Watching {
    process: Child,
    results: Receiver<Value>,
}

impl Watching {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (say, results) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = say.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, results }
    }

    #[track_caller]
    fn next(&self) -> Value {
        self.results.recv_timeout(LONG).expect("a result")
    }

    fn nothing_for(&self, seconds: f64) -> bool {
        self.results.recv_timeout(Duration::from_secs_f64(seconds)).is_err()
    }

    fn signal(&self, name: &str) {
        Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn file(result: &Value) -> &str {
    result["meta"]["file"].as_str().unwrap()
}

#[test]
fn half_written_files_are_waited_for_and_what_stays_half_is_not_judged() {
    let line = Line::new();
    let watching = Watching::start(line.command(&["--patience", "6"]));
    // A whole scan, at once.
    line.put_good("a");
    let first = watching.next();
    assert_eq!((file(&first), &first["serial"], &first["verdict"]), ("a.tiff", &"a".into(), &"good".into()));

    // The image first, half the cloud, then the rest.
    let [cloud, image] = Line::good_bytes();
    line.write("b.png", &image);
    line.write("b.tiff", &cloud[..cloud.len() / 2]);
    assert!(watching.nothing_for(2.0), "half a file is no scan");
    line.write("b.tiff", &cloud);
    let second = watching.next();
    assert_eq!((file(&second), &second["score"]), ("b.tiff", &first["score"]));

    // A cloud whose image never comes is told, and judged when it comes after all.
    line.write("c.tiff", &cloud);
    let third = watching.next();
    assert_eq!((file(&third), &third["verdict"]), ("c.tiff", &"not-judged".into()));
    assert!(third["reason"].as_str().unwrap().contains("colour"), "{third}");
    line.write("c.png", &image);
    let fourth = watching.next();
    assert_eq!((file(&fourth), &fourth["score"]), ("c.tiff", &first["score"]));

    // Old scans that are cleaned up, one file after the other, are no new ones.
    std::fs::remove_file(line.camera.path().join("c.png")).unwrap();
    assert!(watching.nothing_for(7.0), "beyond the patience");

    // What is merely touched or copied again is the same scan; another under its name is not.
    line.put_good("a");
    assert!(watching.nothing_for(2.0));
    let (folder, name) = defective();
    line.put(&folder, &name, "a");
    let fifth = watching.next();
    assert_eq!((file(&fifth), &fifth["verdict"]), ("a.tiff", &"rejected".into()));

    // Files that are no scans are left alone.
    std::fs::write(line.camera.path().join("notes.txt"), "night shift").unwrap();
    std::fs::write(line.camera.path().join("d.tiff.part"), "half").unwrap();
    assert!(watching.nothing_for(1.0));
    assert_eq!(line.history().len(), 5);
}

#[test]
fn each_scan_is_inspected_once_over_kills_and_restarts() {
    let line = Line::new();
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut note = |result: Value| {
        told.entry(result["id"].as_str().unwrap().to_owned()).or_default().insert(file(&result).to_owned());
    };
    let scans = 24;
    for round in 0..4u64 {
        (0..scans / 4).for_each(|i| drop(line.put_good(&format!("{round}-{i}"))));
        let watching = Watching::start(line.command(&["--workers", "2"]));
        // Not at the same moment of an inspection in each round, and never when all is done.
        if round < 3 {
            note(watching.next());
            std::thread::sleep(Duration::from_millis(70 * round));
            watching.signal("-9");
        } else {
            note(watching.next());
            watching.signal("-TERM");
        }
        let mut watching = watching;
        let status = watching.process.wait().unwrap();
        assert_eq!(status.success(), round == 3, "asked to stop, it finishes what it took");
        while let Ok(result) = watching.results.recv_timeout(Duration::from_millis(500)) {
            note(result);
        }
    }
    line.once(&[]).json_lines(0).into_iter().for_each(&mut note);
    assert!(line.once(&[]).json_lines(0).is_empty(), "nothing is left, and nothing is told twice");

    let kept = line.history();
    assert_eq!(kept.len(), scans);
    let serials: BTreeSet<&str> = kept.iter().map(|one| one["serial"].as_str().unwrap()).collect();
    assert_eq!(serials.len(), scans);
    // Every inspection was told; who was killed between telling and noting it may tell it again, under the same id.
    let ids: BTreeSet<&str> = kept.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(told.keys().map(String::as_str).collect::<BTreeSet<_>>(), ids);
    assert!(told.values().all(|files| files.len() == 1));
    run!["history", "verify", "--data", line.data.path()].expect(0);
}

#[test]
fn pairs_in_folders_are_scans_and_old_ones_can_be_left_alone() {
    let line = Line::new();
    fixture().copy_scan(line.camera.path(), "old");
    let mut watching = Watching::start(line.command(&["--new-only", "--listen", "127.0.0.1:0"]));
    assert!(watching.nothing_for(2.0));
    fixture().copy_scan(line.camera.path(), "new");
    assert_eq!(file(&watching.next()), "xyz/new.tiff");
    // Asked to stop: killed between telling and noting it, it would tell it again.
    watching.signal("-TERM");
    assert!(watching.process.wait().unwrap().success());
    // An image whose cloud never comes is told too.
    std::fs::copy(fixture().image("test/good", "000"), line.camera.path().join("rgb/lone.png")).unwrap();
    let told = line.once(&["--patience", "0.5"]).json_lines(0);
    assert_eq!((told.len(), &told[0]["verdict"]), (1, &"not-judged".into()));
    assert!(told[0]["reason"].as_str().unwrap().contains("cloud"), "{}", told[0]);
}

#[test]
fn what_comes_while_nobody_watches_is_not_left_alone() {
    // The first start is the first, although nothing lay there.
    let line = Line::new();
    assert!(line.once(&["--new-only"]).json_lines(0).is_empty());
    fixture().copy_scan(line.camera.path(), "a");
    assert_eq!(line.once(&["--new-only"]).json_lines(0).len(), 1);
    assert!(line.once(&["--new-only"]).json_lines(0).is_empty());
}

#[test]
fn a_modality_of_which_nothing_comes_is_told_and_so_is_a_folder_that_cannot_be_listed() {
    let line = Line::new();
    let [cloud, _] = Line::good_bytes();
    std::fs::create_dir(line.camera.path().join("xyz")).unwrap();
    line.write("xyz/a.tiff", &cloud);
    let told = line.once(&["--patience", "0.5"]).json_lines(0);
    assert_eq!((told.len(), &told[0]["verdict"]), (1, &"not-judged".into()));
    assert!(told[0]["reason"].as_str().unwrap().contains("rgb/a.png"), "{}", told[0]);
    // Which of the two is meant nobody knows.
    line.write("xyz/a.npy", &cloud);
    let run = line.once(&[]);
    assert!(run.code == 2 && run.err.contains("one file of this name"), "{}", run.err);
}

#[test]
fn people_read_lines_and_wrong_options_are_told() {
    let line = Line::new();
    line.put_good("a");
    let base = |folder: &Path, more: &[&str]| {
        let mut command = command();
        command.arg("watch").arg(folder).arg("--models").arg(line.models.path()).arg("--data").arg(line.data.path());
        let output = command.args(["--once", "--settle", "0"]).args(more).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    };
    let run = base(line.camera.path(), &[]);
    assert!(run.err.contains("1 scan: 1 good, 0 rejected, 0 not judged"), "{}", run.err);
    let out = run.expect(0);
    assert!(
        out.starts_with("verdict") && out.lines().nth(1).unwrap().starts_with("good ") && out.contains("a.tiff"),
        "{out}"
    );

    let missing = line.camera.path().join("missing");
    assert!(base(&missing, &[]).error().contains("give a folder that is there"));
    let error = |more: &[&str]| {
        let run = base(line.camera.path(), more);
        assert_eq!(run.code, 2, "{}", run.err);
        run.err
    };
    assert!(error(&["--model", "gear"]).contains("loaded are part"));
    assert!(error(&["--category", "gear"]).contains("biscuit"));
    assert!(error(&["--patience", "90000"]).contains("86400 seconds"));
    assert!(error(&["--out", line.camera.path().to_str().unwrap()]).contains("give another"));
    assert!(error(&["--webhook", "line.example"]).contains("expected an address like https://"));
    assert!(error(&["--mqtt", "http://broker.example/x"]).contains("mqtt://"));
    for address in ["mqtt://camera:secret@broker.example/x", "mqtt://camera:secret@broker.example"] {
        let told = error(&["--mqtt", address]);
        assert!(told.contains("environment") && !told.contains("secret"), "{told}");
    }
    assert!(
        error(&["--mqtt", "mqtts://broker.example/x", "--mqtt-ca", "Cargo.toml"]).contains("expected certificates")
    );
    assert!(error(&["--mqtt-ca", "ca.pem"]).contains("--mqtt"));
    // Two programs over one memory would inspect everything twice.
    let first = Watching::start(line.command(&[]));
    line.put_good("b");
    first.next();
    assert!(line.once(&[]).error().contains("another station uses this folder"));
}

/// A web server that answers each request with the next of these statuses, then with 204; what it was sent.
fn web_server(statuses: &'static [u16]) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/results", listener.local_addr().unwrap());
    let (say, sent) = channel();
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let (head, body) = read_request(&mut stream);
            let status = statuses.get(i).copied().unwrap_or(204);
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if say.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, sent)
}

fn read_request(stream: &mut TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line.to_ascii_lowercase();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn results_reach_a_folder_and_a_web_server_that_is_away_at_first() {
    let line = Line::new();
    let results = tempfile::tempdir().unwrap();
    let out = results.path().to_str().unwrap().to_owned();
    let (folder, name) = defective();
    line.put_good("good one");
    line.put(&folder, &name, "bad");
    std::fs::write(line.camera.path().join("broken.ply"), "ply\nformat").unwrap();
    // Nobody is there: the results wait, and that is told.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("http://{nobody}/results");
    let run = line.once(&["--patience", "1", "--out", &out, "--webhook", &away]);
    assert!(run.err.contains("not everybody was told: webhook (3 results)"), "{}", run.err);
    let told: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((run.code, told.len()), (2, 3));

    // The folder holds each record, byte for byte what was printed, and a picture of what was judged.
    for (text, result) in run.out.lines().zip(&told) {
        let serial = result["serial"].as_str().unwrap().replace(' ', "_");
        let stem = format!("{serial}-{}", result["id"].as_str().unwrap());
        assert_eq!(std::fs::read_to_string(results.path().join(format!("{stem}.json"))).unwrap().trim_end(), text);
        let picture = results.path().join(format!("{stem}.png"));
        assert_eq!(picture.exists(), result["verdict"] != "not-judged", "{serial}");
    }
    assert_eq!(names(results.path()).len(), 5);
    let by_serial = |serial: &str| told.iter().find(|result| result["serial"] == serial).unwrap();
    assert_eq!(by_serial("bad")["verdict"], "rejected");
    assert_eq!(by_serial("broken")["verdict"], "not-judged");

    // Back again: told the rest, in order, until it takes it.
    let (url, sent) = web_server(&[503, 429]);
    let mut command = line.command(&["--once", "--webhook", &url]);
    let output = command.env("SHAPEGUARD_WEBHOOK_TOKEN", "sesame").output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let sent: Vec<(String, String)> = sent.try_iter().collect();
    let bodies: Vec<&str> = sent.iter().map(|(_, body)| body.as_str()).collect();
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(bodies, [lines[0], lines[0], lines[0], lines[1], lines[2]]);
    for (i, (head, _)) in sent.iter().enumerate() {
        let id = told[i.saturating_sub(2)]["id"].as_str().unwrap();
        assert!(head.starts_with("post /results ") && head.contains("authorization: bearer sesame"), "{head}");
        assert!(head.contains(&format!("idempotency-key: {id}")), "{head}");
    }
}

/// A Mosquitto broker with a user, a plain and a TLS port, and what was published at it.
struct Broker {
    process: Child,
    folder: TempDir,
    port: u16,
    tls_port: u16,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    // Where Debian puts a broker.
    command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn has_mosquitto() -> bool {
    let is_there = tool("mosquitto").arg("-h").status().is_ok() && tool("mosquitto_sub").arg("--help").status().is_ok();
    let is_required = std::env::var("SHAPEGUARD_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
    assert!(is_there || !is_required, "expected Mosquitto (Debian: mosquitto, mosquitto-clients); install it");
    if !is_there {
        eprintln!("not tested: MQTT; install Mosquitto (Debian: mosquitto, mosquitto-clients, openssl)");
    }
    is_there
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Broker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (port, tls_port) = (free_port(), free_port());
        let made = tool("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
            .status();
        assert!(made.unwrap().success(), "openssl");
        let made = tool("mosquitto_passwd").args(["-b", "-c", &path("users"), "line-3", "sesame"]).status();
        assert!(made.unwrap().success(), "mosquitto_passwd");
        let settings = format!(
            "user root\nallow_anonymous false\npassword_file {}\nlistener {port} 127.0.0.1\nlistener {tls_port} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
            path("users"),
            path("cert.pem"),
            path("key.pem")
        );
        std::fs::write(path("mosquitto.conf"), settings).unwrap();
        let process = tool("mosquitto").args(["-c", &path("mosquitto.conf")]).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < LONG, "the broker does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, folder, port, tls_port }
    }

    /// Ends with the number of messages at the topic that were asked for.
    fn subscribe(&self, topic: &str, count: usize) -> Child {
        // Line by line, although nobody sits before it.
        let mut command = tool("stdbuf");
        command.args([
            "-oL",
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-u",
            "line-3",
            "-P",
            "sesame",
            "-q",
            "1",
        ]);
        command.args(["-t", topic, "-C", &count.to_string(), "-W", "100", "-d"]).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        // Debugging output says when the broker has acknowledged the subscription.
        let out = process.stdout.as_mut().unwrap();
        let mut seen = String::new();
        let mut byte = [0];
        while !seen.contains("Subscribed") {
            out.read_exact(&mut byte).expect(&seen);
            seen.push(byte[0] as char);
        }
        process
    }
}

#[test]
fn results_are_published_at_mosquitto_once_it_is_there() {
    if !has_mosquitto() {
        return;
    }
    let line = Line::new();
    line.put_good("a");
    line.put_good("b");
    let address = |scheme: &str, host: &str, port: u16| format!("{scheme}://line-3@{host}:{port}/hall/2/results");
    let away = line.once(&["--mqtt", &address("mqtt", "127.0.0.1", free_port())]);
    assert!(away.code == 2 && away.err.contains("mqtt (2 results)"), "{}", away.err);

    let broker = Broker::start();
    let wrong = line.once(&["--mqtt", &address("mqtt", "127.0.0.1", broker.port)]);
    assert!(wrong.code == 2 && wrong.err.contains("mqtt (2 results)"), "without its password: {}", wrong.err);
    let subscriber = broker.subscribe("hall/2/results", 3);
    let publish = |address: String, more: &[&str]| {
        let mut command = line.command(&[&["--once", "--mqtt", &address], more].concat());
        let output = command.env("SHAPEGUARD_MQTT_PASSWORD", "sesame").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    publish(address("mqtt", "127.0.0.1", broker.port), &[]);
    line.put_good("c");
    let certificate = broker.folder.path().join("cert.pem");
    let third = publish(address("mqtts", "localhost", broker.tls_port), &["--mqtt-ca", certificate.to_str().unwrap()]);
    let heard = String::from_utf8(subscriber.wait_with_output().unwrap().stdout).unwrap();
    let messages: Vec<&str> = heard.lines().filter(|line| line.starts_with('{')).collect();
    let published: Vec<&str> = away.out.lines().chain(third.lines()).collect();
    assert_eq!(messages, published, "{heard}");
}
