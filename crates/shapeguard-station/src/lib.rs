//! The inspection station: a memory of every part ([`store`]), the models that judge ([`shelf`]), and what tells that parts of
//! late are not as good parts are ([`drift`]) (docs/station.md).

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
pub mod station;
pub mod store;
pub mod thumbnail;
pub mod time;
pub mod views;

use sha2::{Digest, Sha256};

/// The SHA-256 of bytes, in hexadecimal: what files are named by.
pub fn sha256(bytes: &[u8]) -> String {
    shapeguard::hex(&Sha256::digest(bytes))
}
