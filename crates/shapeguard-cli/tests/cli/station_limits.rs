//! The station's limits, and what it says of each: time, pixels, connections, refused bodies; and the ids of requests.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::station::{Station, models};
use crate::support::{fixture, run};

/// Longest time that anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// As in the station: more connections wait.
const MOST_CONNECTIONS: usize = 512;

fn connect(station: &Station) -> TcpStream {
    let stream = TcpStream::connect(station.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Sends a request's head and as much of its body as is there; the stream to read the answer from.
fn begin(station: &Station, line: &str, headers: &str, length: usize, body: &[u8]) -> TcpStream {
    let mut stream = connect(station);
    let head =
        format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// All that comes until the other side closes.
fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const FORM: &str = "content-type: multipart/form-data; boundary=XX\r\n";
const HALF_A_FORM: &[u8] = b"--XX\r\ncontent-disposition: form-data; name=\"cloud\"; filename=\"a.tiff\"\r\n\r\nII*\0";

#[test]
fn a_body_that_stays_away_is_answered_with_504_in_time() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &["--timeout", "1"]);
    let tensors = "inference-header-content-length: 90\r\n";
    for (line, headers, body) in [
        ("POST /v1/inspections", FORM, HALF_A_FORM),
        ("PUT /v1/fits/none/scans/a", FORM, HALF_A_FORM),
        ("POST /v2/models/part/infer", tensors, b"{\"inputs\":["),
        ("PUT /v1/models/part", "content-type: application/octet-stream\r\n", b"shapeguard"),
        ("POST /v1/fits", "content-type: application/json\r\n", b"{\"model\":"),
    ] {
        let start = Instant::now();
        let answer = read(begin(&station, line, headers, 5000, body));
        let time = start.elapsed();
        assert!(answer.starts_with("HTTP/1.1 504 "), "{line}: {answer}");
        assert!(answer.contains(" 1 s; ") && answer.contains("raise --timeout"), "{line}: {answer}");
        assert!(time >= Duration::from_millis(900) && time < LONG / 4, "{line}: {time:?}");
    }
    // What cannot be let in is not waited for any longer either.
    let start = Instant::now();
    let answer = read(begin(&station, "POST /v1/inspections", "origin: http://evil.example\r\n", 5000, HALF_A_FORM));
    assert!(answer.starts_with("HTTP/1.1 403 ") && start.elapsed() < LONG / 4, "{answer}");

    let metrics = String::from_utf8(station.get("/metrics").expect(200).bytes).unwrap();
    assert!(metrics.contains("reason=\"timeout\"} 5"), "{metrics}");
    assert!(station.get("/v1/inspections").expect(200).json()["inspections"].as_array().unwrap().is_empty());
}

#[test]
fn a_model_may_take_longer_to_come_than_a_request_while_it_comes() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &["--timeout", "3"]);
    let bytes = std::fs::read(&fixture().model).unwrap();
    let mut stream = begin(&station, "PUT /v1/models/slow", "", bytes.len(), b"");
    for piece in bytes.chunks(bytes.len().div_ceil(6)) {
        stream.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(800));
    }
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

/// A TIFF of so many pixels, as its header says; none of them is there.
fn tiff(cols: u32, rows: u32) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    // Size, bits of a sample, compression, photometric, place, samples, rows of a strip, its bytes, kind of sample.
    let entries: [(u16, u32); 10] =
        [(256, cols), (257, rows), (258, 32), (259, 1), (262, 1), (273, 8), (277, 3), (278, rows), (279, 8), (339, 3)];
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        bytes.extend([tag.to_le_bytes(), 4u16.to_le_bytes(), 1u16.to_le_bytes(), [0, 0]].concat());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// The most memory that the process had so far.
#[cfg(target_os = "linux")]
fn most_memory_kib(station: &Station) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", station.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_scan_of_too_many_pixels_is_not_judged_and_takes_no_memory() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let station = Station::start(Some(models.path()), data.path(), &["--max-megapixels", "1"]);
    station.inspect("test/good", "000", &[]).unwrap().expect(201);
    #[cfg(target_os = "linux")]
    let before = most_memory_kib(&station);
    // Twelve bytes a pixel: 480 MB.
    let cloud = data.path().join("large.tiff");
    std::fs::write(&cloud, tiff(8000, 5000)).unwrap();
    let image = fixture().image("test/good", "000");
    let found = station.post(&[("model", "part")], &[("cloud", &cloud), ("rgb", &image)]).unwrap().expect(201).json();
    assert_eq!(found["verdict"], "not-judged");
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("at most 1000000 pixels, found 5000 rows x 8000 columns"), "{reason}");
    assert!(reason.contains("--max-megapixels"), "{reason}");

    let request = "{\"inputs\":[{\"name\":\"xyz\",\"datatype\":\"FP32\",\"shape\":[5000,8000,3],\"data\":[]},\
                   {\"name\":\"rgb\",\"datatype\":\"UINT8\",\"shape\":[5000,8000,3],\"data\":[]}]}";
    let refused = station.send("POST", "/v2/models/part/infer", &[], request.as_bytes()).unwrap().expect(400);
    let refused = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(refused.contains("1000000") && refused.contains("--max-megapixels"), "{refused}");
    #[cfg(target_os = "linux")]
    {
        let more = most_memory_kib(&station) - before;
        assert!(more < 50_000, "{more} KiB more than a scan of the usual size");
    }
}

#[test]
fn an_id_is_in_the_answer_and_in_every_line_of_the_log() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let log = data.path().join("log");
    let start =
        |more: &[&str]| Station::start_logging(Some(models.path()), data.path(), more, File::create(&log).unwrap());
    let id = |station: &Station, given: Option<&str>| {
        let headers: Vec<_> = given.map(|given| ("x-request-id", given)).into_iter().collect();
        let answer = station.send("GET", "/v1/models", &headers, b"").unwrap().expect(200);
        answer.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    let lines_of = |id: &str| -> Vec<String> {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.contains(&format!("request{{id={id}}}"))).map(str::to_owned).collect()
    };
    let station = start(&["-v"]);
    let own = id(&station, None);
    assert!(lines_of(&own)[0].contains("route=\"/v1/models\""), "{own}");
    assert_ne!(id(&station, None), own);
    let long = "x".repeat(128);
    for given in ["line-3.part_17:00=/+", &long] {
        assert_eq!(id(&station, Some(given)), given);
        assert!(lines_of(given)[0].contains("status=200"), "{given}");
    }
    for odd in ["", "a b", "a\"b", "a{b}", "ä", &"x".repeat(129)] {
        let answer = read(begin(&station, "GET /v1/models", &format!("x-request-id: {odd}\r\n"), 0, b""));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let line = answer.lines().find(|line| line.starts_with("x-request-id: ")).unwrap();
        assert_eq!(line.len(), "x-request-id: ".len() + 36, "{odd:?} became {line:?}");
    }

    // A fault of the station, with the log of errors alone.
    let found = station.inspect("test/good", "000", &[]).unwrap().expect(201).json();
    drop(station);
    std::fs::remove_dir_all(data.path().join("files")).unwrap();
    let folder = data.path().join("files");
    std::fs::create_dir_all(&folder).unwrap();
    let bytes = std::fs::read(&fixture().model).unwrap();
    let sha256 = shapeguard_station::sha256(&bytes);
    std::fs::create_dir_all(folder.join(&sha256[..2])).unwrap();
    std::fs::write(folder.join(&sha256[..2]).join(&sha256), bytes).unwrap();
    let station = start(&["-q"]);
    let image = found["links"]["image"].as_str().unwrap();
    let answer = station.send("GET", image, &[("x-request-id", "broken-1")], b"").unwrap();
    assert_eq!(answer.headers["x-request-id"], "broken-1");
    let message = answer.error(500);
    assert!(message.contains("under the request's id") && !message.contains("files"), "{message}");
    let lines = lines_of("broken-1");
    assert!(lines.len() == 1 && lines[0].contains("ERROR"), "{lines:?}");
}

#[test]
fn connections_beyond_the_bound_wait_and_silent_ones_are_closed() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    let log = data.path().join("log");
    let station =
        Station::start_logging(Some(models.path()), data.path(), &["--timeout", "4"], File::create(&log).unwrap());
    let fill = || -> Vec<TcpStream> { (0..MOST_CONNECTIONS).map(|_| connect(&station)).collect() };
    let is_answered = |within: Duration| {
        let mut stream = begin(&station, "GET /health/live", "", 0, b"");
        stream.set_read_timeout(Some(within)).unwrap();
        let mut first = [0; 12];
        let is_answered = stream.read_exact(&mut first).is_ok();
        assert!(!is_answered || first == *b"HTTP/1.1 200");
        // Else it would stand in the line before the next.
        let _ = stream.shutdown(Shutdown::Both);
        is_answered
    };
    let silent = fill();
    assert!(!is_answered(Duration::from_millis(500)), "more than {MOST_CONNECTIONS} at once");
    drop(silent);
    assert!(is_answered(LONG), "as soon as there is room");

    // Those that stay and say nothing, or half of something, are closed.
    let mut silent = fill();
    silent[0].write_all(b"GET /health/live HTTP/1.1\r\nhost:").unwrap();
    let start = Instant::now();
    assert!(is_answered(LONG));
    assert!(start.elapsed() < LONG / 3, "{:?}", start.elapsed());
    for stream in silent {
        assert_eq!(read(stream), "", "closed without a word");
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "", "how clients leave is no fault of the station");
}

#[test]
fn what_is_refused_is_told_to_who_is_still_sending() {
    let (models, data) = (models(), tempfile::tempdir().unwrap());
    // More than fits between the two.
    let large = vec![b'x'; 24 << 20];
    let told = |station: &Station, line: &str, headers: &str| read(begin(station, line, headers, large.len(), &large));
    let limits = ["--max-upload-mib", "32"];
    let station = Station::start(Some(models.path()), data.path(), &limits);
    let foreign = "origin: http://evil.example\r\n";
    for line in ["POST /v1/inspections", "PUT /v1/models/part", "POST /v2/models/part/infer", "POST /v1/fits"] {
        let answer = told(&station, line, foreign);
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("another site"), "{line}: {answer}");
    }
    assert!(told(&station, "POST /v1/none", "").starts_with("HTTP/1.1 404 "));
    drop(station);

    let token = run!["token", "add", "line", "--role", "inspect", "--data", data.path()].expect(0);
    let station = Station::start(Some(models.path()), data.path(), &limits);
    for line in ["POST /v1/inspections", "PUT /v1/models/part", "POST /v2/models/part/infer"] {
        let answer = told(&station, line, "authorization: Bearer sg_wrong\r\n");
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("unknown or revoked"), "{line}: {answer}");
    }
    let right = format!("authorization: Bearer {}\r\ncontent-type: application/octet-stream\r\n", token.trim());
    let answer = told(&station, "PUT /v1/models/part", &right);
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("role manage"), "{answer}");
    drop(station);

    // Too large by less than it may be.
    let station = Station::start(Some(models.path()), data.path(), &["--max-upload-mib", "16"]);
    let answer = told(&station, "POST /v2/models/part/infer", &right);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("--max-upload-mib"), "{answer}");
    // Who asks first is told at once.
    let asking = begin(&station, "POST /v1/inspections", "expect: 100-continue\r\n", large.len(), b"");
    assert!(read(asking).starts_with("HTTP/1.1 401 "));
}
