//! Downloads from a stand-in server on this machine.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::Parser;

use super::*;

/// How the stand-in answers one request.
#[derive(Clone, Copy)]
enum Answer {
    /// As asked, ranges included.
    Serve,
    /// As asked, but the connection breaks after so many bytes of the body.
    Cut(usize),
    /// The whole file, whatever was asked for.
    IgnoreRange,
    /// This status and an empty body.
    Status(u16),
    /// Announces so many bytes.
    Announce(u64),
}

/// Answers one request after the other, then goes away.
struct StandIn {
    url: String,
    /// The `Range` of each request.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl StandIn {
    fn new(content: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/models/weights.pth", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (content, answers, seen) = (content.to_vec(), answers.to_vec(), ranges.clone());
        std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                answer_one(&stream, &content, answer, &seen);
            }
        });
        Self { url, ranges }
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer_one(mut stream: &TcpStream, content: &[u8], answer: Answer, seen: &Mutex<Vec<Option<String>>>) {
    let mut range = None;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range = Some(value.trim().to_owned());
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let start = range
        .as_deref()
        .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap());
    // Before the answer, after which the test may look.
    seen.lock().unwrap().push(range);
    let total = content.len();
    let (head, body) = match (answer, start) {
        (Answer::Status(status), _) => (format!("{status} Refused\r\nContent-Length: 0"), &content[..0]),
        (Answer::Announce(bytes), _) => (format!("200 OK\r\nContent-Length: {bytes}"), &content[..0]),
        (Answer::Serve | Answer::Cut(_), Some(start)) if start >= total => {
            (format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\nContent-Length: 0"), &content[..0])
        }
        (Answer::Serve | Answer::Cut(_), Some(start)) => {
            let range = format!("bytes {start}-{}/{total}", total - 1);
            let head = format!("206 Partial Content\r\nContent-Range: {range}\r\nContent-Length: {}", total - start);
            (head, &content[start..])
        }
        _ => (format!("200 OK\r\nContent-Length: {total}"), content),
    };
    let sent = if let Answer::Cut(bytes) = answer { bytes.min(body.len()) } else { body.len() };
    // The other side may have gone away already.
    let _ =
        write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").and_then(|()| stream.write_all(&body[..sent]));
}

/// More than a few buffers.
fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn sha256_of(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    weights: WeightsArgs,
}

/// Runs `weights` with these arguments; what it printed, or its error.
fn weights(args: &[&str]) -> Result<String, String> {
    let line = CommandLine::try_parse_from([&["weights"], args].concat()).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    run_to(&line.weights, &mut out).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

/// Pulls into `folder`.
fn pull_from(url: &str, folder: &Path, sha256: Option<&str>) -> Result<PathBuf, String> {
    let mut args = vec!["pull", "wide-resnet50-2", "--from", url, "--dir", folder.to_str().unwrap()];
    if let Some(sha256) = sha256 {
        args.extend(["--sha256", sha256]);
    }
    weights(&args).map(|out| PathBuf::from(out.trim_end()))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_fetched_checked_and_named() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let server = StandIn::new(&content, &[Answer::Serve]);
    let sha256 = sha256_of(&content);
    let path = pull_from(&server.url, &folder.path().join("new/folder"), Some(&sha256.to_uppercase())).unwrap();
    assert_eq!(path, folder.path().join(format!("new/folder/wide_resnet50_2-{}.pth", &sha256[..8])));
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(names(path.parent().unwrap()).len(), 1, "no part file is left");
    // The server is gone: what is there already is not fetched again.
    assert_eq!(pull_from(&server.url, path.parent().unwrap(), Some(&sha256)).unwrap(), path);
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn a_transfer_cut_in_the_middle_is_resumed() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let server = StandIn::new(&content, &[Answer::Cut(500_000), Answer::Cut(300_001), Answer::Serve]);
    let path = pull_from(&server.url, folder.path(), Some(&sha256_of(&content))).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    assert_eq!(server.ranges(), [None, Some("bytes=500000-".to_owned()), Some("bytes=800001-".to_owned())]);
}

#[test]
fn another_run_goes_on_where_the_last_one_stopped() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let sha256 = sha256_of(&content);
    let server = StandIn::new(&content, &[Answer::Cut(400_000)]);
    let error = pull_from(&server.url, folder.path(), Some(&sha256)).unwrap_err();
    assert!(error.contains("after 400000 bytes") && error.contains("run the same command again"), "{error}");
    assert_eq!(names(folder.path()), [format!("wide_resnet50_2-{}.pth.part", &sha256[..8])]);

    let server = StandIn::new(&content, &[Answer::Serve]);
    let path = pull_from(&server.url, folder.path(), Some(&sha256)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    assert_eq!(server.ranges(), [Some("bytes=400000-".to_owned())]);
}

#[test]
fn a_server_that_cannot_resume_sends_everything_again() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let server = StandIn::new(&content, &[Answer::Cut(400_000), Answer::IgnoreRange]);
    let path = pull_from(&server.url, folder.path(), Some(&sha256_of(&content))).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
}

#[test]
fn a_part_file_that_is_whole_or_too_long_is_dealt_with() {
    let content = content();
    let sha256 = sha256_of(&content);
    let part = format!("wide_resnet50_2-{}.pth.part", &sha256[..8]);
    for (extra, answers) in [(&b""[..], &[Answer::Serve][..]), (b"more", &[Answer::Serve, Answer::Serve])] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(&part), [&content, extra].concat()).unwrap();
        let server = StandIn::new(&content, answers);
        let path = pull_from(&server.url, folder.path(), Some(&sha256)).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), content);
        assert_eq!(server.ranges().len(), answers.len());
    }
}

#[test]
fn wrong_content_is_refused_and_kept_aside() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let found = sha256_of(&content);
    let expected = sha256_of(b"other");
    for (expected, shown) in [(Some(&*expected), &*expected), (None, "95faca4d...")] {
        let server = StandIn::new(&content, &[Answer::Serve]);
        let error = pull_from(&server.url, folder.path(), expected).unwrap_err();
        assert!(error.contains(shown) && error.contains(&found) && error.contains(".rejected"), "{error}");
    }
    let names = names(folder.path());
    let of = |start: &str| format!("wide_resnet50_2-{start}.pth.{}.rejected", &found[..8]);
    let mut rejected = [of("95faca4d"), of(&expected[..8])];
    rejected.sort();
    assert_eq!(names, rejected);
    assert_eq!(std::fs::read(folder.path().join(&names[0])).unwrap(), content);
}

#[test]
fn refusals_leave_nothing_behind_and_name_the_remedy() {
    let answers = [
        (Answer::Status(404), "no such file (status 404)"),
        (Answer::Status(503), "status 503"),
        (Answer::Announce(1 << 40), "at most 1073741824 bytes"),
    ];
    for (answer, expected) in answers {
        let folder = tempfile::tempdir().unwrap();
        let server = StandIn::new(&[], &[answer]);
        let error = pull_from(&server.url, folder.path(), None).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn without_a_network_the_remedy_is_to_fetch_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    // The port was free a moment ago: nobody answers there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/weights.pth");
    let error = pull_from(&url, folder.path(), None).unwrap_err();
    assert!(error.contains("no answer") && error.contains("--weights"), "{error}");
}

#[test]
fn a_file_that_is_in_the_way_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide_resnet50_2-95faca4d.pth");
    std::fs::write(&path, b"mine").unwrap();
    let error = pull_from("https://127.0.0.1:1/weights.pth", folder.path(), None).unwrap_err();
    assert!(error.contains("is another file") && error.contains("--dir"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn arguments_are_checked_before_anything_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["pull", "resnet18", "--dir", dir], "expected one of efficientnet-lite0, wide-resnet50-2"),
        (&["pull", "efficientnet-lite0", "--dir", dir], "part of the program"),
        (&["pull", "wide-resnet50-2", "--dir", dir, "--sha256", "95faca4d"], "expected 64 hexadecimal digits"),
        (
            &["pull", "wide-resnet50-2", "--dir", dir, "--from", "http://example.com/w.pth"],
            "needs the file's whole SHA-256",
        ),
        (&["pull", "wide-resnet50-2", "--dir", dir, "--from", "/tmp/w.pth"], "starts with https://"),
        (&["pull", "wide-resnet50-2", "--dir", dir, "--from", "ftp://example.com/w.pth"], "starts with https://"),
    ];
    for (args, expected) in cases {
        let error = weights(args).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn the_list_tells_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let text = weights(&["list", "--dir", dir]).unwrap();
    assert!(text.contains("part of the program") && text.contains("weights pull wide-resnet50-2"), "{text}");
    std::fs::write(folder.path().join("wide_resnet50_2-95faca4d.pth"), b"").unwrap();
    let list: serde_json::Value = serde_json::from_str(&weights(&["list", "--json", "--dir", dir]).unwrap()).unwrap();
    assert_eq!(list[0]["sha256"].as_str().unwrap().len(), SHA256_DIGITS);
    assert_eq!((&list[1]["name"], &list[1]["present"]), (&json!("wide-resnet50-2"), &json!(true)));
    for known in &KNOWN {
        assert!(text.contains(known.name) && text.contains(known.licence), "{text}");
        if let Origin::Hub { url, sha256_start, .. } = known.origin {
            assert!(url.starts_with("https://") && url.contains(sha256_start));
        }
    }
}

#[test]
fn the_cache_folder_follows_the_environment() {
    let of = |set: &'static [(&str, &str)]| {
        cache_folder(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    };
    assert_eq!(of(&[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/cache")]), Some("/cache".into()));
    assert_eq!(of(&[]), None);
    #[cfg(target_os = "linux")]
    assert_eq!(of(&[("HOME", "/home/me")]), Some("/home/me/.cache".into()));
}
