//! `shapeguard watch`: a folder that a camera writes to, and who is told what came of each scan.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use shapeguard_station::delivery::{Deliveries, Sink};
use shapeguard_station::http::{ServeOptions, Server};
use shapeguard_station::record::Record;
use shapeguard_station::sinks::{self, MqttAddress, MqttOptions, WebhookOptions};
use shapeguard_station::station::Station;
use shapeguard_station::store::Store;
use shapeguard_station::watch::{WatchOptions, Watched, Watcher};

use crate::inspect::{human_heading, human_line};
use crate::output::{self, counted};
use crate::scans::CoordinateOptions;
use crate::station::{self, StationOptions};

/// Where the token for the web server is given: other users of the machine see a command's options.
const WEBHOOK_TOKEN: &str = "SHAPEGUARD_WEBHOOK_TOKEN";
/// Where the password for the broker is given.
const MQTT_PASSWORD: &str = "SHAPEGUARD_MQTT_PASSWORD";

/// Inspect each scan that appears in a folder, once, and tell others what came of it.
///
/// Scans are clouds with the image of the same name beside them, or in xyz/ (or depth/) and rgb/. Files that are still being
/// written are waited for. What was inspected is remembered in --data: after a restart the rest is inspected, and nothing
/// twice. Everything is kept as by `shapeguard serve`; with --listen there is the same page and interface besides.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard watch camera --models models --data station --listen 127.0.0.1:8077\n  shapeguard watch camera --models models --data station --out results --json\n  shapeguard watch camera --models models --data station --mqtt mqtt://line-3@broker.example/hall-2/results\n\nEnvironment:\n  SHAPEGUARD_WEBHOOK_TOKEN   sent to --webhook as `Authorization: Bearer`\n  SHAPEGUARD_MQTT_PASSWORD   password of the user in --mqtt"
)]
pub struct WatchArgs {
    /// Folder that scans appear in
    folder: PathBuf,
    /// Model that judges, by its name, or `auto` for the one that knows several categories; may be left out if there is but one
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Category, of a model for several, if all scans are of one
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Seconds that a scan's files stay the same before they are read; 0 if they are moved in whole
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    settle: f64,
    /// Seconds that files stay the same before a scan that cannot be read, or lacks one of them, is kept as not judged
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    patience: f64,
    /// At the first start, leave alone what lies there already
    #[arg(long)]
    new_only: bool,
    /// End when everything that lies there is inspected and told
    #[arg(long)]
    once: bool,
    /// Print a JSON line for each scan in place of a line for people
    #[arg(long)]
    json: bool,
    /// Folder for each scan's result: NAME-ID.json and a picture, NAME-ID.png
    #[arg(long, value_name = "DIR", help_heading = "Telling others")]
    out: Option<PathBuf>,
    /// Address that each result is sent to as JSON (POST), until it is taken
    #[arg(long, value_name = "URL", help_heading = "Telling others")]
    webhook: Option<String>,
    /// Broker and topic that each result is published at: mqtt://USER@HOST:PORT/TOPIC, or mqtts:// for TLS
    #[arg(long, value_name = "URL", help_heading = "Telling others")]
    mqtt: Option<String>,
    /// Certificates (PEM) to check the broker's with, in place of the operating system's
    #[arg(long, value_name = "FILE", requires = "mqtt", help_heading = "Telling others")]
    mqtt_ca: Option<PathBuf>,
    /// Listen there too, with the page and the interface of `shapeguard serve`
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    station: StationOptions,
    #[command(flatten)]
    coordinates: CoordinateOptions,
}

/// Runs the command until it is interrupted or terminated, or with `--once` until everything is done.
///
/// # Errors
/// If an option makes no sense, a model cannot be loaded, a folder not be used, or with `--once` somebody was not told.
pub fn run(args: &WatchArgs, is_quiet: bool) -> Result<()> {
    let note = |text: &str| {
        if !is_quiet {
            output::note(text);
        }
    };
    let serve = args.station.serve_options(args.listen)?;
    let (settle, patience) = (seconds("--settle", args.settle)?, seconds("--patience", args.patience)?);
    let store = args.station.open_store()?;
    let sinks = args.sinks(&store, &serve)?;
    let names: Vec<&'static str> = sinks.iter().map(|sink| sink.name).collect();
    let station = args.station.open(store, names.clone())?;
    let options = WatchOptions {
        folder: args.folder.clone(),
        model: args.model_name(&station)?,
        category: args.category.clone(),
        read: args.coordinates.read_options(serve.max_pixels),
        largest_bytes: serve.largest_scan_bytes as u64,
        settle,
        patience,
        is_new_only: args.new_only,
        is_once: args.once,
    };
    for (name, count) in station.store.undelivered_counts()?.iter().filter(|(name, _)| !names.contains(&name.as_str()))
    {
        tracing::warn!("{} of an earlier run wait for the sink {name}, which is not given", counted(*count, "result"));
    }
    station::runtime()?.block_on(watch(station, serve, options, sinks, args, &note))
}

async fn watch(
    station: Arc<Station>,
    serve: ServeOptions,
    options: WatchOptions,
    sinks: Vec<Sink>,
    args: &WatchArgs,
    note: &dyn Fn(&str),
) -> Result<()> {
    let server = Server::bind(Arc::clone(&station), serve).await?;
    if let Some(address) = server.address()? {
        note(&format!("listening on http://{address}"));
    }
    let model = options.model.clone();
    let watcher = Watcher::new(Arc::clone(&station), server.queue(), options)?;
    note(&format!("watching {} with the model {model}", args.folder.display()));
    if !args.json {
        output::text(&format!("{}\n", human_heading(None)))?;
    }
    let names: Vec<&str> = sinks.iter().map(|sink| sink.name).collect();
    let deliveries = Deliveries::start(&station, sinks);
    let stop = Arc::new(AtomicBool::new(false));
    let is_told = Arc::clone(&stop);
    let watching = tokio::task::spawn_blocking(move || watcher.run(&is_told));
    let (ended, is_over) = tokio::sync::oneshot::channel();
    let watching = tokio::spawn(async move {
        let watched = watching.await;
        // The server may have stopped before.
        let _ = ended.send(());
        watched
    });
    let until = async move {
        tokio::select! {
            () = station::asked_to_stop() => {}
            _ = is_over => {}
        }
        stop.store(true, Ordering::Relaxed);
    };
    server.run(until).await?;
    let watched = watching.await??;
    let is_once = args.once;
    tokio::task::spawn_blocking(move || if is_once { deliveries.finish() } else { deliveries.stop() }).await?;
    summarise(watched?, &station, &names, args.once, note)
}

fn summarise(watched: Watched, station: &Station, names: &[&str], is_once: bool, note: &dyn Fn(&str)) -> Result<()> {
    let Watched { good, rejected, not_judged } = watched;
    let total = counted(good + rejected + not_judged, "scan");
    note(&format!("{total}: {good} good, {rejected} rejected, {not_judged} not judged"));
    let waiting = station.store.undelivered_counts()?;
    let untold: Vec<String> = waiting
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()))
        .map(|(name, count)| format!("{name} ({})", counted(*count, "result")))
        .collect();
    if !untold.is_empty() {
        let message = format!("not everybody was told: {}; the next run goes on with it", untold.join(", "));
        if is_once {
            bail!(message);
        }
        note(&message);
    }
    Ok(())
}

impl WatchArgs {
    /// The model to judge with: the one that is named, or the only one.
    fn model_name(&self, station: &Station) -> Result<String> {
        if let Some(name) = &self.model {
            return Ok(name.clone());
        }
        match station::model_names(station).as_slice() {
            [name] => Ok(name.clone()),
            [] => bail!("there is no model; put one in the folder of --models"),
            names => bail!("there are several models: {}; name one with --model", names.join(", ")),
        }
    }

    /// Those who are told.
    fn sinks(&self, store: &Arc<Store>, serve: &ServeOptions) -> Result<Vec<Sink>> {
        let is_json = self.json;
        let text = move |json: &str, record: &Record| if is_json { format!("{json}\n") } else { line(record) };
        let mut sinks = vec![sinks::stream(std::io::stdout(), text)];
        if let Some(folder) = &self.out {
            ensure!(
                folder.canonicalize().ok() != self.folder.canonicalize().ok() || !self.folder.exists(),
                "--out {}: is the folder that is watched; give another",
                folder.display()
            );
            sinks.push(sinks::folder(folder.clone(), Arc::clone(store), serve.max_pixels)?);
        }
        if let Some(url) = &self.webhook {
            let options = WebhookOptions { url: url.clone(), token: std::env::var(WEBHOOK_TOKEN).ok() };
            sinks.push(sinks::webhook(options).map_err(|error| anyhow!("--webhook {error}"))?);
        }
        if let Some(address) = &self.mqtt {
            let refuse = |error| anyhow!("--mqtt: {error}");
            let options = MqttOptions {
                address: address.parse::<MqttAddress>().map_err(refuse)?,
                password: std::env::var(MQTT_PASSWORD).ok(),
                ca: self.mqtt_ca.clone(),
            };
            sinks.push(sinks::mqtt(options).map_err(refuse)?);
        }
        Ok(sinks)
    }
}

fn seconds(option: &str, value: f64) -> Result<Duration> {
    ensure!((0.0..=86_400.0).contains(&value), "{option}: expected 0 to 86400 seconds, found {value}");
    Ok(Duration::from_secs_f64(value))
}

/// A result for people.
fn line(record: &Record) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), output::number);
    let scan = record.meta.get("file").or(record.serial.as_ref()).map_or("", String::as_str);
    let mut text = human_line(
        &record.verdict.to_string(),
        &number(record.score.map(f64::from)),
        &number(record.p_value),
        None,
        scan,
    );
    for note in record.reason.iter().chain(&record.warnings) {
        text += &format!("\n{:12}{note}", "");
    }
    text + "\n"
}
