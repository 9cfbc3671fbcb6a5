//! `shapeguard weights`: which weights there are, and fetching those that are not part of the program.
//!
//! A download goes to a `.part` file first, goes on where it was interrupted, and takes its name only when its
//! SHA-256 is right.

mod download;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};
use ureq::http::Uri;

use download::Download;

/// Digits of a SHA-256 in hexadecimal.
const SHA256_DIGITS: usize = 64;
/// Digits of it that torchvision's file names carry.
const NAME_DIGITS: usize = 8;
/// Endings of weight files; what is in one is told by its first bytes, not by these.
const ENDINGS: [&str; 3] = ["pth", "pt", "safetensors"];

/// Weights of experts: list them, or fetch those that are not part of the program.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard weights pull wide-resnet50-2\n  shapeguard fit parts/ -o part.shapeguard --weights FILE\n(FILE is what `weights pull` prints.)"
)]
pub struct WeightsArgs {
    #[command(subcommand)]
    command: WeightsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum WeightsCommand {
    /// List the weights that this program knows
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Folder to look in and store to [default: shapeguard/weights in the user's cache folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Fetch weights and print the file's path
    Pull(PullArgs),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "An interrupted download goes on where it stopped when the command is run again.\n\nExample:\n  shapeguard weights pull wide-resnet50-2 --dir weights"
)]
struct PullArgs {
    /// Which weights; `shapeguard weights list` shows the names
    name: String,
    /// Another place to fetch them from
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Folder to store them in [default: shapeguard/weights in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The file's SHA-256; takes the place of the one that is known
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
}

/// Weights that the program knows.
struct KnownWeights {
    name: &'static str,
    what: &'static str,
    size: &'static str,
    licence: &'static str,
    origin: Origin,
}

enum Origin {
    /// Embedded in the program.
    BuiltIn { sha256: fn() -> String },
    /// To be fetched.
    Hub { url: &'static str, stem: &'static str, sha256_start: &'static str },
}

const KNOWN: [KnownWeights; 2] = [
    KnownWeights {
        name: "efficientnet-lite0",
        what: "appearance expert of the default setup: EfficientNet-Lite0 to stride 8, ImageNet",
        size: "214 KiB",
        licence: "Apache-2.0",
        origin: Origin::BuiltIn { sha256: || shapeguard_experts::appearance::efficientnet_lite0().sha256().to_owned() },
    },
    // The first version of torchvision's weights: those that the paper and its reference implementation used. Its
    // `_file_size` says 131.82 MB; the file's name carries the first digits of its SHA-256.
    KnownWeights {
        name: "wide-resnet50-2",
        what: "the paper's appearance expert: torchvision's Wide-ResNet-50-2, IMAGENET1K_V1",
        size: "132 MiB",
        licence: "code BSD-3-Clause; torchvision: weights may have terms derived from the dataset they were trained on (ImageNet)",
        origin: Origin::Hub {
            url: "https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth",
            stem: "wide_resnet50_2",
            sha256_start: "95faca4d",
        },
    },
];

/// Runs `shapeguard weights`.
///
/// # Errors
/// If the weights are unknown, cannot be fetched, or are not what they should be.
pub fn run(args: &WeightsArgs) -> Result<()> {
    run_to(args, &mut std::io::stdout().lock())
}

/// Where `weights pull` stores weights that it knows, in the user's cache folder.
///
/// # Errors
/// If they are unknown or built in, or there is no cache folder.
pub(crate) fn stored(name: &str) -> Result<PathBuf> {
    match KNOWN.iter().find(|known| known.name == name).map(|known| &known.origin) {
        Some(Origin::Hub { url, stem, sha256_start }) => Ok(folder(None)?.join(file_name(stem, sha256_start, url))),
        _ => bail!("there are no weights {name:?} to fetch"),
    }
}

fn run_to(args: &WeightsArgs, out: &mut dyn Write) -> Result<()> {
    match &args.command {
        WeightsCommand::List { json, dir } => list(*json, &folder(dir.as_deref())?, out),
        WeightsCommand::Pull(args) => pull(args, out),
    }
}

fn list(as_json: bool, folder: &Path, out: &mut dyn Write) -> Result<()> {
    let mut entries = Vec::new();
    for KnownWeights { name, what, size, licence, origin } in &KNOWN {
        let (sha256, url, path) = match origin {
            Origin::BuiltIn { sha256 } => (sha256(), None, None),
            Origin::Hub { url, stem, sha256_start } => {
                (format!("{sha256_start}..."), Some(*url), Some(folder.join(file_name(stem, sha256_start, url))))
            }
        };
        let is_there = path.as_ref().is_none_or(|path| path.is_file());
        if as_json {
            entries.push(json!({
                "name": name, "what": what, "size": size, "licence": licence, "sha256": sha256,
                "url": url, "path": path, "present": is_there,
            }));
            continue;
        }
        let place = match &path {
            None => "part of the program".to_owned(),
            Some(path) if is_there => path.display().to_string(),
            Some(path) => format!("not fetched; `shapeguard weights pull {name}` stores {}", path.display()),
        };
        writeln!(out, "{name}\n  what     {what}\n  size     {size}\n  licence  {licence}\n  SHA-256  {sha256}")?;
        writeln!(out, "  where    {place}")?;
    }
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&entries)?)?;
    }
    Ok(())
}

fn pull(args: &PullArgs, out: &mut dyn Write) -> Result<()> {
    let Some(known) = KNOWN.iter().find(|known| known.name == args.name) else {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        bail!("unknown weights {:?}: expected one of {}", args.name, names.join(", "));
    };
    let Origin::Hub { url, stem, sha256_start } = known.origin else {
        bail!("the weights {:?} are part of the program, there is nothing to fetch", known.name);
    };
    let url = args.from.as_deref().unwrap_or(url);
    check_url(url, args.sha256.is_some())?;
    let sha256 = match &args.sha256 {
        Some(digits) => whole_sha256(digits)?,
        None => sha256_start.to_owned(),
    };
    let folder = folder(args.dir.as_deref())?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let target = folder.join(file_name(stem, &sha256, url));

    if target.exists() {
        let found = file_sha256(&target)?;
        ensure!(
            found.starts_with(&sha256),
            "{} exists, but is another file: its SHA-256 is {found}, expected {sha256}{}; move it away, or choose another folder by --dir",
            target.display(),
            ellipsis(&sha256)
        );
    } else {
        Download { url, target: &target, sha256: &sha256 }.run()?;
    }
    writeln!(out, "{}", target.display())?;
    Ok(())
}

/// Refuses places that could give anything but what was asked for without anybody noticing.
fn check_url(url: &str, sha256_is_whole: bool) -> Result<()> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(host)) if sha256_is_whole || is_loopback(host) => Ok(()),
        (Some("http"), Some(_)) => {
            bail!("{url}: an unencrypted download needs the file's whole SHA-256, by --sha256; or use https")
        }
        _ => bail!(
            "{url:?}: expected a URL that starts with https://; a local file needs no `pull`, pass it by --weights"
        ),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn whole_sha256(digits: &str) -> Result<String> {
    ensure!(
        digits.len() == SHA256_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "--sha256: expected {SHA256_DIGITS} hexadecimal digits, found {digits:?}"
    );
    Ok(digits.to_ascii_lowercase())
}

/// torchvision's habit: the name carries the first digits of the SHA-256.
fn file_name(stem: &str, sha256: &str, url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let ending = ENDINGS.iter().find(|ending| path.ends_with(&format!(".{ending}"))).unwrap_or(&ENDINGS[0]);
    format!("{stem}-{}.{ending}", &sha256[..NAME_DIGITS])
}

fn folder(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(folder) => Ok(folder.to_owned()),
        None => cache_folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
            .map(|cache| cache.join("shapeguard").join("weights"))
            .context("there is no cache folder, since neither XDG_CACHE_HOME, LOCALAPPDATA nor HOME is set; give a folder by --dir"),
    }
}

/// The user's cache folder by the habits of Linux, Windows and macOS.
fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(folder) = variable("XDG_CACHE_HOME") {
        return Some(folder.into());
    }
    if let Some(folder) = variable("LOCALAPPDATA").filter(|_| cfg!(windows)) {
        return Some(folder.into());
    }
    let home = PathBuf::from(variable("HOME")?);
    Some(if cfg!(target_os = "macos") { home.join("Library").join("Caches") } else { home.join(".cache") })
}

/// SHA-256 of a file, in hexadecimal digits.
fn file_sha256(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; download::BUFFER_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(shapeguard::hex(&hasher.finalize())),
                n => hasher.update(&buffer[..n]),
            }
        }
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// Dots after the digits of a SHA-256 that is not known whole.
fn ellipsis(sha256: &str) -> &'static str {
    if sha256.len() < SHA256_DIGITS { "..." } else { "" }
}
