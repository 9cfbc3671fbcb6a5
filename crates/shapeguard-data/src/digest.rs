//! A digest of what a scan says, whatever format it came from: recorded in a model's header.

use sha2::{Digest, Sha256};
use shapeguard_core::sample::Scan;

/// First bytes of what is digested; changes with the layout below.
const TAG: &[u8] = b"shapeguard scan 1";

/// SHA-256 over size, validity, coordinates in metres and colour. The same scan has the same digest in every format
/// that keeps its bits.
pub fn scan_digest(scan: &Scan) -> [u8; 32] {
    let size = scan.size();
    let mut digest = Sha256::new();
    digest.update(TAG);
    digest.update((size.rows as u64).to_le_bytes());
    digest.update((size.cols as u64).to_le_bytes());
    let mut row_bytes = Vec::with_capacity(size.cols * 16);
    for row in 0..size.rows {
        row_bytes.clear();
        row_bytes.extend(scan.cloud().valid().row(row).iter().map(|valid| u8::from(*valid)));
        for point in scan.cloud().points_m().row(row) {
            point.iter().for_each(|value| row_bytes.extend_from_slice(&value.to_le_bytes()));
        }
        row_bytes.extend_from_slice(scan.rgb().row(row).as_flattened());
        digest.update(&row_bytes);
    }
    digest.finalize().into()
}
