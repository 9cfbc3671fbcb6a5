//! The interface, as it is committed in `openapi.json`; without the program's version, which changes with every release.
//!
//! Regenerate with `SHAPEGUARD_UPDATE_OPENAPI=1 cargo test --release -p shapeguard-station openapi`, and read the diff.

use std::path::Path;

#[test]
fn openapi_is_as_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let mut description = serde_json::to_value(shapeguard_station::http::openapi()).unwrap();
    description["info"].as_object_mut().unwrap().remove("version");
    // Its keys are sorted.
    let text = format!("{description:#}\n");
    if std::env::var_os("SHAPEGUARD_UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(committed.lines()).position(|(now, then)| now != then);
    assert!(
        text == committed,
        "the interface differs from {} from line {} on; \
         SHAPEGUARD_UPDATE_OPENAPI=1 cargo test --release -p shapeguard-station openapi writes it as it is now",
        path.display(),
        1 + differs.unwrap_or_else(|| text.lines().count().min(committed.lines().count()))
    );
}
