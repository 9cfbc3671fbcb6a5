//! The inspection station: a memory of every part ([`store`]), the models that judge ([`shelf`]), what tells that parts of late
//! are not as good parts are ([`drift`]), a server ([`http`]), a folder that is watched ([`watch`]), and who is told of every
//! inspection ([`delivery`]) (docs/station.md).

pub mod delivery;
pub mod drift;
pub mod fits;
pub mod http;
pub mod maps;
pub mod measures;
pub mod models_view;
pub mod open_inference;
pub mod pictures;
pub mod queue;
pub mod record;
pub mod shelf;
pub mod sinks;
pub mod station;
pub mod store;
pub mod thumbnail;
pub mod time;
pub mod views;
pub mod watch;

use sha2::{Digest, Sha256};

/// The SHA-256 of bytes, in hexadecimal: what files are named by.
pub fn sha256(bytes: &[u8]) -> String {
    shapeguard::hex(&Sha256::digest(bytes))
}
