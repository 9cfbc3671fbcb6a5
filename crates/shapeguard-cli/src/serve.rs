//! `shapeguard serve`: the inspection station, and `shapeguard token`: who may use it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use shapeguard_station::http::{ServeOptions, Server};
use shapeguard_station::shelf::Shelf;
use shapeguard_station::station::Station;
use shapeguard_station::store::{Retention, Role, Store, StoreOptions};
use shapeguard_station::time::{now_ms, to_rfc3339};

use crate::device::DeviceOption;
use crate::output;

const MIB: u64 = 1 << 20;
const GIB: f64 = (1u64 << 30) as f64;
const DAY_MS: i64 = 86_400_000;

/// Run the inspection station: a server, a page to look at, and a memory of every part.
///
/// Open the printed address in a browser. Other programs send scans to POST /v1/inspections (docs/station.md).
///
/// Files in --models that are new become versions of the model of their name, and active. Without tokens, only this machine
/// can reach the station.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard serve --models models --data station\n  shapeguard token add line-3 --role inspect --data station\n  curl -F model=part -F cloud=@000.tiff -F rgb=@000.png http://127.0.0.1:8077/v1/inspections"
)]
pub struct ServeArgs {
    /// Folder of model files, NAME.shapeguard
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Folder for everything that the station remembers; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address and port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8077")]
    listen: SocketAddr,
    /// Inspections at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
    /// Inspections that may wait; more are told to come back later (429)
    #[arg(long, value_name = "N", default_value_t = 16)]
    queue: usize,
    /// Largest request with a scan, MiB
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    max_upload_mib: u64,
    /// Most megapixels of a scan
    #[arg(long, value_name = "MEGAPIXELS", default_value_t = 16)]
    max_megapixels: usize,
    /// Seconds after which a request is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Let inspections go that are older; all are kept unless given
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Let the oldest inspections go when all files take more room than this
    #[arg(long, value_name = "GIB")]
    keep_gib: Option<f64>,
    /// Refuse to keep more (507) when less than this would stay free on the disk, MiB
    #[arg(long, value_name = "MIB", default_value_t = shapeguard_station::store::DEFAULT_KEEP_FREE_BYTES / MIB)]
    keep_free_mib: u64,
    #[command(flatten)]
    device: DeviceOption,
}

/// Runs the command until it is interrupted or terminated.
///
/// # Errors
/// If an option makes no sense, a model cannot be loaded, the data folder not be used, or the address not be listened at.
pub fn run(args: &ServeArgs) -> Result<()> {
    ensure!((1..=256).contains(&args.workers), "--workers: expected 1 to 256, found {}", args.workers);
    ensure!((1..=10_000).contains(&args.queue), "--queue: expected 1 to 10000, found {}", args.queue);
    ensure!(
        (1..=4096).contains(&args.max_upload_mib),
        "--max-upload-mib: expected 1 to 4096, found {}",
        args.max_upload_mib
    );
    ensure!(
        (1..=4000).contains(&args.max_megapixels),
        "--max-megapixels: expected 1 to 4000, found {}",
        args.max_megapixels
    );
    ensure!((1..=3600).contains(&args.timeout), "--timeout: expected 1 to 3600 seconds, found {}", args.timeout);
    let keep_gib = args.keep_gib.filter(|gib| !(*gib > 0.0 && *gib < 1e9));
    ensure!(keep_gib.is_none(), "--keep-gib: expected a number above 0, found {}", keep_gib.unwrap_or_default());
    let device = Arc::new(args.device.open()?);
    let options = StoreOptions { keep_free_bytes: args.keep_free_mib.saturating_mul(MIB), ..StoreOptions::default() };
    let store = Arc::new(Store::open(&args.data, options)?);
    let place = Box::new(move |model| device.place_model(model).map_err(|error| format!("{error:#}")));
    let shelf = Shelf::open(Arc::clone(&store), args.models.as_deref(), place)?;
    let models = shelf.models();
    let station = Arc::new(Station::new(store, shelf)?);
    let options = ServeOptions {
        address: args.listen,
        workers: args.workers,
        queue: args.queue,
        largest_scan_bytes: (args.max_upload_mib * MIB) as usize,
        max_pixels: args.max_megapixels * 1_000_000,
        timeout: Duration::from_secs(args.timeout),
        retention: Retention {
            oldest_ms: args.keep_days.map(|days| i64::from(days) * DAY_MS),
            most_bytes: args.keep_gib.map(|gib| (gib * GIB) as u64),
        },
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let server = Server::bind(station, options).await?;
        let names: Vec<_> = models.iter().map(|loaded| loaded.name.as_str()).collect();
        let known = if names.is_empty() { "no model yet".to_owned() } else { names.join(", ") };
        // Whoever starts it reads the address from here.
        output::text(&format!("listening on http://{} ({known})\n", server.address()?))?;
        server.run(asked_to_stop()).await?;
        Ok(())
    })
}

/// Ends when the process is interrupted or terminated.
async fn asked_to_stop() {
    let interrupted = async {
        // Without a handler the signal ends the process at once, as it would anyway.
        let _ = tokio::signal::ctrl_c().await;
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupted => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupted.await;
}

/// Make, list or revoke the tokens that a station asks for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard token add line-3 --role inspect --data station\n  shapeguard token list --data station\n  shapeguard token revoke line-3 --data station"
)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TokenCommand {
    /// Make a token and print it, once: only its hash is kept. A running station asks for tokens from its next start on
    #[command(after_help = "Example:\n  shapeguard token add line-3 --role inspect --data station")]
    Add {
        /// Name of the token
        name: String,
        /// What it allows: `inspect` (inspect, look, give feedback) or `manage` (change models and fit, besides)
        #[arg(long)]
        role: Role,
        /// The station's data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// List tokens, without their secrets
    #[command(after_help = "Example:\n  shapeguard token list --data station --json")]
    List {
        /// The station's data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a token worthless, from the next request on
    #[command(after_help = "Example:\n  shapeguard token revoke line-3 --data station")]
    Revoke {
        /// Name of the token
        name: String,
        /// The station's data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// If there is such a token already, or none, or the data folder cannot be used.
pub fn run_token(args: &TokenArgs) -> Result<()> {
    let open = |data: &Path| Store::open(data, StoreOptions::default());
    match &args.command {
        TokenCommand::Add { name, role, data } => {
            let token = open(data)?.add_token(name, *role, now_ms())?;
            output::text(&format!("{token}\n"))
        }
        TokenCommand::List { data, json } => {
            let tokens = open(data)?.tokens()?;
            if *json {
                return output::json(&tokens);
            }
            let line = |token: &shapeguard_station::store::TokenInfo| {
                format!("{:20}  {:8}  {}\n", token.name, token.role.name(), to_rfc3339(token.created_ms))
            };
            output::text(&tokens.iter().map(line).collect::<String>())
        }
        TokenCommand::Revoke { name, data } => Ok(open(data)?.revoke_token(name)?),
    }
}
