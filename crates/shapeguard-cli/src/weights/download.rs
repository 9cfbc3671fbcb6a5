//! One download: resumed from a `.part` file, checked, and put in place at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use ureq::Agent;
use ureq::http::{HeaderMap, Uri, header};

use super::{ellipsis, file_sha256, is_loopback};

/// Bytes read at a time.
pub(super) const BUFFER_BYTES: usize = 1 << 16;
/// What the program reads as weights at most.
const MAX_BYTES: u64 = 1 << 30;
/// Patience with a server that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Patience with a connection that brings nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A file to be fetched.
pub(super) struct Download<'a> {
    pub(super) url: &'a str,
    pub(super) target: &'a Path,
    /// The digits of the SHA-256 that are known, from its start.
    pub(super) sha256: &'a str,
}

/// How one connection ended.
enum Outcome {
    /// The part file is whole.
    Complete,
    /// The connection broke off, for this reason.
    Interrupted(String),
    /// The part file fits nothing that the server has; it was emptied.
    StartOver,
}

impl Download<'_> {
    /// Fetches, checks, and puts in place.
    pub(super) fn run(&self) -> Result<()> {
        let progress = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
                .expect("the template is fixed")
                .progress_chars("=> "),
        );
        progress.set_message(self.target.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let part = beside(self.target, "part");
        self.fetch(&part, &progress)?;
        progress.finish_and_clear();

        let found = file_sha256(&part)?;
        if !found.starts_with(self.sha256) {
            let rejected = beside(self.target, &format!("{}.rejected", &found[..super::NAME_DIGITS]));
            rename(&part, &rejected)?;
            bail!(
                "{}: expected a file of SHA-256 {}{}, found {found}; it was kept as {} and can be deleted; run the command again, or fetch from elsewhere by --from",
                self.url,
                self.sha256,
                ellipsis(self.sha256),
                rejected.display()
            );
        }
        rename(&part, self.target)
    }

    /// Fetches into the part file, over as many connections as bring something.
    fn fetch(&self, part: &Path, progress: &ProgressBar) -> Result<()> {
        let agent = agent(self.url)?;
        let mut may_start_over = true;
        loop {
            let before = part_len(part)?;
            match self.connect(&agent, part, before, progress)? {
                Outcome::Complete => return Ok(()),
                Outcome::StartOver if may_start_over => {
                    may_start_over = false;
                    progress.println(format!("{}: does not fit the server's file, starting over", part.display()));
                }
                Outcome::StartOver => bail!("{}: the server offers no part of the file", self.url),
                Outcome::Interrupted(reason) => {
                    let len = part_len(part)?;
                    ensure!(
                        len > before,
                        "{}: the download was interrupted after {len} bytes: {reason}; run the same command again to go on from there ({})",
                        self.url,
                        part.display()
                    );
                    progress.println(format!("interrupted after {len} bytes ({reason}), going on"));
                }
            }
        }
    }

    /// One connection; `start` bytes are there already.
    fn connect(&self, agent: &Agent, part: &Path, start: u64, progress: &ProgressBar) -> Result<Outcome> {
        let mut request = agent.get(self.url).header(header::ACCEPT_ENCODING, "identity");
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) if start > 0 => return Ok(Outcome::Interrupted(error.to_string())),
            Err(error) => bail!("{}: no answer: {error}; {}", self.url, by_hand(self.url)),
        };
        let first = match response.status().as_u16() {
            200 => 0,
            206 => {
                let range = content_range(response.headers());
                ensure!(
                    range.is_some_and(|(first, _)| first == Some(start)),
                    "{}: asked for the bytes from {start} on, but the server sent others; delete {} and run the command again",
                    self.url,
                    part.display()
                );
                start
            }
            416 if content_range(response.headers()).is_some_and(|(_, total)| total == Some(start)) => {
                return Ok(Outcome::Complete);
            }
            416 if start > 0 => {
                open_part(part)?.set_len(0).with_context(|| cannot_write(part))?;
                return Ok(Outcome::StartOver);
            }
            404 | 410 => bail!(
                "{}: the server has no such file (status {}); it may have moved: give another place by --from, or {}",
                self.url,
                response.status().as_u16(),
                by_hand(self.url)
            ),
            status => {
                bail!("{}: the server refused with status {status}; try later, or {}", self.url, by_hand(self.url))
            }
        };
        let total = response.body().content_length().map(|rest| first + rest);
        ensure!(
            total.is_none_or(|total| total <= MAX_BYTES),
            "{}: expected weights of at most {MAX_BYTES} bytes, the server announces {}",
            self.url,
            total.unwrap_or_default()
        );

        let mut file = open_part(part)?;
        file.set_len(first).and_then(|()| file.seek(SeekFrom::Start(first))).with_context(|| cannot_write(part))?;
        if first < start {
            progress.println("the server cannot resume, starting over");
        }
        progress.set_length(total.unwrap_or(0));
        progress.set_position(first);
        let mut len = first;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut body = response.body_mut().as_reader();
        let ended = loop {
            match body.read(&mut buffer) {
                Ok(0) => break None,
                Ok(n) => {
                    len += n as u64;
                    ensure!(len <= MAX_BYTES, "{}: the server sends more than {MAX_BYTES} bytes", self.url);
                    file.write_all(&buffer[..n]).with_context(|| cannot_write(part))?;
                    progress.set_position(len);
                }
                Err(error) => break Some(error.to_string()),
            }
        };
        file.sync_all().with_context(|| cannot_write(part))?;
        Ok(match (ended, total) {
            (Some(reason), _) => Outcome::Interrupted(reason),
            (None, Some(total)) if len < total => Outcome::Interrupted(format!("{} bytes are missing", total - len)),
            (None, _) => Outcome::Complete,
        })
    }
}

fn agent(url: &str) -> Result<Agent> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirection must not lead to an unencrypted place either.
        .https_only(uri.scheme_str() == Some("https"))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT));
    if uri.host().is_some_and(is_loopback) {
        config = config.proxy(None);
    }
    Ok(config.build().new_agent())
}

/// What to do where the program cannot fetch a file itself.
fn by_hand(url: &str) -> String {
    format!("download {url} in another way or on another machine and pass the file by --weights")
}

/// First byte and size of the whole, as far as `Content-Range: bytes 5-9/10` or `bytes */10` says.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split('-').next()?.parse().ok(), total.parse().ok()))
}

/// Opens the part file as it is; no other process may be at it.
fn open_part(part: &Path) -> Result<File> {
    let file =
        OpenOptions::new().create(true).write(true).truncate(false).open(part).with_context(|| cannot_write(part))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{}: another download is writing this file", part.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| cannot_write(part)),
    }
}

fn part_len(part: &Path) -> Result<u64> {
    match std::fs::metadata(part) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", part.display())),
    }
}

/// Renames within a folder, lastingly.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let rename = || -> std::io::Result<()> {
        std::fs::rename(from, to)?;
        // Elsewhere folders cannot be opened as files.
        #[cfg(unix)]
        if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    rename().with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// The target with a further ending.
fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
