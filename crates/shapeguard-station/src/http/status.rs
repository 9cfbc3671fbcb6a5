//! How the station fares: for people, for monitoring, for whoever starts it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::{ApiError, App, blocking};
use crate::drift::DriftState;
use crate::measures::Present;
use crate::store::Role;
use crate::time::to_rfc3339;

/// How the station fares.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusView {
    version: &'static str,
    started_at: String,
    /// `none` or `token`.
    auth: &'static str,
    role: Role,
    queue: QueueView,
    store: StoreView,
}

/// The waiting line.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueView {
    waiting: usize,
    running: usize,
    capacity: usize,
    workers: usize,
}

/// What is stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoreView {
    inspections: u64,
    bytes: u64,
    free_bytes: u64,
}

/// How the station fares, and what the caller may do.
#[utoipa::path(get, path = "/v1/status", responses((status = OK, body = StatusView)))]
pub async fn status(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<StatusView>, ApiError> {
    let station = Arc::clone(&app.station);
    let size = blocking(move || station.store.size()).await??;
    let queue = &app.queue;
    Ok(Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        started_at: to_rfc3339(app.started_ms),
        auth: if app.has_tokens { "token" } else { "none" },
        role: caller.role,
        queue: QueueView {
            waiting: queue.waiting(),
            running: queue.running(),
            capacity: queue.capacity(),
            workers: queue.workers(),
        },
        store: StoreView { inspections: size.inspections, bytes: size.bytes, free_bytes: size.free_bytes },
    }))
}

/// Ready to inspect: there is a model, and the store can be read.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    if is_ready(&app).await {
        return "ready".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, NOT_READY).into_response()
}

/// What keeps a station from being ready.
pub(super) const NOT_READY: &str = "no model is loaded, or the store cannot be read";

pub(super) async fn is_ready(app: &App) -> bool {
    let station = Arc::clone(&app.station);
    // Asked often, so something cheap.
    let readable = blocking(move || station.store.model_names().is_ok()).await.unwrap_or(false);
    readable && !app.station.shelf.models().is_empty()
}

/// Counters in the text format of Prometheus.
pub async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let alarms = app.station.shelf.models().into_iter().map(|loaded| {
        let drift = app.station.drift.of(&loaded.sha256);
        let count = drift.iter().filter(|view| view.state == DriftState::Alarm).count();
        (loaded.name.clone(), count)
    });
    let alarms = alarms.collect();
    let text = blocking(move || {
        app.station.measures.render(&Present {
            waiting: app.queue.waiting(),
            running: app.queue.running(),
            stored: app.station.store.size().ok(),
            alarms,
        })
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
