//! What the commands share that run an inspection station.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use shapeguard_station::http::{ServeOptions, Server};
use shapeguard_station::shelf::Shelf;
use shapeguard_station::station::Station;
use shapeguard_station::store::{Retention, Store, StoreOptions};

use crate::device::DeviceOption;
use crate::output;

const MIB: u64 = 1 << 20;
const GIB: f64 = (1u64 << 30) as f64;
const DAY_MS: i64 = 86_400_000;
const MEGAPIXEL: usize = 1_000_000;

/// What a station judges with, and what it remembers.
#[derive(Debug, clap::Args)]
pub struct StationOptions {
    /// Folder of model files, NAME.shapeguard
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Folder for everything that the station remembers; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Inspections at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
    /// Inspections that may wait; more are told to come back later (429)
    #[arg(long, value_name = "N", default_value_t = 16)]
    queue: usize,
    /// Largest request with a scan, or file of one, MiB
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

impl StationOptions {
    /// How the station runs; `address` is where it listens, if it does.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn serve_options(&self, address: Option<SocketAddr>) -> Result<ServeOptions> {
        ensure!((1..=256).contains(&self.workers), "--workers: expected 1 to 256, found {}", self.workers);
        ensure!((1..=10_000).contains(&self.queue), "--queue: expected 1 to 10000, found {}", self.queue);
        ensure!(
            (1..=4096).contains(&self.max_upload_mib),
            "--max-upload-mib: expected 1 to 4096, found {}",
            self.max_upload_mib
        );
        ensure!(
            (1..=4000).contains(&self.max_megapixels),
            "--max-megapixels: expected 1 to 4000, found {}",
            self.max_megapixels
        );
        ensure!((1..=3600).contains(&self.timeout), "--timeout: expected 1 to 3600 seconds, found {}", self.timeout);
        let keep_gib = self.keep_gib.filter(|gib| !(*gib > 0.0 && *gib < 1e9));
        ensure!(keep_gib.is_none(), "--keep-gib: expected a number above 0, found {}", keep_gib.unwrap_or_default());
        Ok(ServeOptions {
            address,
            workers: self.workers,
            queue: self.queue,
            largest_scan_bytes: (self.max_upload_mib * MIB) as usize,
            max_pixels: self.max_megapixels * MEGAPIXEL,
            timeout: Duration::from_secs(self.timeout),
            retention: Retention {
                oldest_ms: self.keep_days.map(|days| i64::from(days) * DAY_MS),
                most_bytes: self.keep_gib.map(|gib| (gib * GIB) as u64),
            },
        })
    }

    /// Opens the memory.
    ///
    /// # Errors
    /// If the data folder cannot be used.
    pub fn open_store(&self) -> Result<Arc<Store>> {
        let keep_free_bytes = self.keep_free_mib.saturating_mul(MIB);
        Ok(Arc::new(Store::open(&self.data, StoreOptions { keep_free_bytes, ..StoreOptions::default() })?))
    }

    /// Loads the models. What is kept is put in the outbox for each of `sinks`.
    ///
    /// # Errors
    /// If a model cannot be loaded, or there is no such device.
    pub fn open(&self, store: Arc<Store>, sinks: Vec<&'static str>) -> Result<Arc<Station>> {
        let device = Arc::new(self.device.open()?);
        let place = Box::new(move |model| device.place_model(model).map_err(|error| format!("{error:#}")));
        let shelf = Shelf::open(Arc::clone(&store), self.models.as_deref(), place)?;
        Ok(Arc::new(Station::new(store, shelf, sinks)?))
    }
}

/// What waits for requests and for time.
///
/// # Errors
/// If the operating system grants no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The names of the loaded models, for people.
pub fn model_names(station: &Station) -> Vec<String> {
    station.shelf.models().iter().map(|loaded| loaded.name.clone()).collect()
}

/// Prints where the station listens: whoever starts it reads the address from here.
///
/// # Errors
/// If nobody reads it.
pub fn announce(server: &Server, station: &Station) -> Result<()> {
    let Some(address) = server.address()? else { return Ok(()) };
    let names = model_names(station);
    let known = if names.is_empty() { "no model yet".to_owned() } else { names.join(", ") };
    output::text(&format!("listening on http://{address} ({known})\n"))
}

/// Ends when the process is interrupted or terminated. A second signal ends the process at once: what was answered is kept.
pub async fn asked_to_stop() {
    signalled().await;
    tokio::spawn(async {
        signalled().await;
        std::process::exit(2);
    });
}

/// Ends with the next signal to interrupt or terminate.
async fn signalled() {
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
