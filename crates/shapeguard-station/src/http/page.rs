//! The page: files that are built beforehand and lie in the program (page/README.md says how).

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::error::ApiError;

/// What the page is made of.
#[derive(RustEmbed)]
#[folder = "page/dist/"]
struct Files;

/// A file of the page, by its name in the program and nowhere else.
pub async fn file(uri: Uri) -> Response {
    let name = match uri.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    match Files::get(name) {
        Some(file) => {
            let kind = file.metadata.mimetype().to_owned();
            // The program may be another one after the next start.
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache".to_owned())], file.data).into_response()
        }
        None => ApiError::new(StatusCode::NOT_FOUND, "not-found", format!("there is nothing at {}", uri.path()))
            .into_response(),
    }
}
