//! What is built of the page belongs to its sources, and what describes the interface is what was agreed on.

use std::path::{Path, PathBuf};

use shapeguard_station::sha256;

/// All files below a path.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.flat_map(|entry| files(&entry.unwrap().path())).collect()
}

/// The digest that page/README.md describes.
#[test]
fn the_built_page_is_that_of_its_sources() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let inputs = ["src", "index.html", "package.json", "package-lock.json", "tsconfig.json", "scripts/build.mjs"];
    let mut paths: Vec<String> = inputs
        .iter()
        .flat_map(|input| files(&page.join(input)))
        .map(|path| path.strip_prefix(&page).unwrap().to_string_lossy().replace('\\', "/"))
        .collect();
    paths.sort();
    let line = |path: &String| format!("{path}\0{}\n", sha256(&std::fs::read(page.join(path)).unwrap()));
    let digest = sha256(paths.iter().map(line).collect::<String>().as_bytes());
    let built = std::fs::read_to_string(page.join("dist/SOURCES.sha256")).unwrap();
    assert_eq!(
        built.trim(),
        digest,
        "run `npm ci && npm run build` in crates/shapeguard-station/page and commit dist/"
    );
}

#[test]
fn the_description_has_every_address() {
    let description = serde_json::to_value(shapeguard_station::http::openapi()).unwrap();
    let mut paths: Vec<String> = description["paths"].as_object().unwrap().keys().cloned().collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/v1/events",
            "/v1/fits",
            "/v1/fits/{id}",
            "/v1/fits/{id}/scans/{name}",
            "/v1/fits/{id}/start",
            "/v1/inspections",
            "/v1/inspections/{id}",
            "/v1/inspections/{id}/cloud.ply",
            "/v1/inspections/{id}/feedback",
            "/v1/inspections/{id}/heat.png",
            "/v1/inspections/{id}/image.png",
            "/v1/inspections/{id}/maps/{map}",
            "/v1/inspections/{id}/overlay.png",
            "/v1/inspections/{id}/thumbnail.png",
            "/v1/models",
            "/v1/models/{name}",
            "/v1/models/{name}/activate",
            "/v1/models/{name}/feedback",
            "/v1/models/{name}/rollback",
            "/v1/status",
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/{name}",
            "/v2/models/{name}/infer",
            "/v2/models/{name}/ready",
            "/v2/models/{name}/versions/{version}",
            "/v2/models/{name}/versions/{version}/infer",
            "/v2/models/{name}/versions/{version}/ready",
        ]
    );
    let schemas = &description["components"]["schemas"];
    for schema in ["InspectionView", "InferRequest", "InferInput", "InferResponse", "ModelMetadata", "PlainError"] {
        assert!(schemas[schema].is_object(), "{schema}");
    }
}
