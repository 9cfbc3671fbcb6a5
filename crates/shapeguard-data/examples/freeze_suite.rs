//! Simulates a suite and writes its definition with digests: `cargo run --release -p shapeguard-data --example
//! freeze_suite [NAME]`. Only for a suite that nobody uses yet: a frozen one never changes.

use std::path::Path;

use shapeguard_core::seams::Progress;
use shapeguard_data::simulator::Suite;

struct Stderr;

impl Progress for Stderr {
    fn begin(&self, stage: &str, total: usize) {
        eprintln!("{stage}: {total} scans");
    }
    fn step(&self) {}
    fn end(&self) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "v1".to_string());
    let suite = Suite::by_name(&name).ok_or_else(|| format!("no suite \"{name}\"; there are {:?}", Suite::names()))?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites").join(format!("{name}.json"));
    std::fs::write(&path, suite.frozen(&Stderr).to_json()?)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
