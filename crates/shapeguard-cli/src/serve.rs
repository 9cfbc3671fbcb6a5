//! `shapeguard serve`: the inspection station, and `shapeguard token`: who may use it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use shapeguard_station::http::Server;
use shapeguard_station::store::{Role, Store, StoreOptions};
use shapeguard_station::time::{now_ms, to_rfc3339};

use crate::output;
use crate::station::{self, StationOptions};

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
    /// Address and port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8077")]
    listen: SocketAddr,
    #[command(flatten)]
    station: StationOptions,
}

/// Runs the command until it is interrupted or terminated.
///
/// # Errors
/// If an option makes no sense, a model cannot be loaded, the data folder not be used, or the address not be listened at.
pub fn run(args: &ServeArgs) -> Result<()> {
    let options = args.station.serve_options(Some(args.listen))?;
    let station = args.station.open(args.station.open_store()?, Vec::new())?;
    station::runtime()?.block_on(async {
        let server = Server::bind(Arc::clone(&station), options).await?;
        station::announce(&server, &station)?;
        server.run(station::asked_to_stop()).await?;
        Ok(())
    })
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
