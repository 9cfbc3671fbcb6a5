//! Models: which there are, uploading, activating, going back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::{ApiError, App, ErrorBody, blocking};
use crate::models_view::{CategoryFeedback, FeedbackReport, ModelView};
use crate::station::{Event, Station};
use crate::store::VersionOrigin;

type Shared = State<Arc<App>>;

/// All models.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelsView {
    models: Vec<ModelView>,
}

fn view(station: &Station, name: &str) -> Result<ModelView, ApiError> {
    let loaded = station.shelf.model(name)?;
    let versions = station.store.versions(&loaded.name)?;
    Ok(ModelView::new(&loaded, versions, station.drift.of(&loaded.sha256)))
}

/// The loaded models.
#[utoipa::path(get, path = "/v1/models", responses((status = OK, body = ModelsView)))]
pub async fn list(State(app): Shared) -> Result<Json<ModelsView>, ApiError> {
    let station = Arc::clone(&app.station);
    let models = blocking(move || {
        station.shelf.models().iter().map(|loaded| view(&station, &loaded.name)).collect::<Result<_, _>>()
    })
    .await??;
    Ok(Json(ModelsView { models }))
}

/// One model.
#[utoipa::path(get, path = "/v1/models/{name}", params(("name" = String, Path)), responses((status = OK, body = ModelView), (status = 404, body = ErrorBody)))]
pub async fn get(State(app): Shared, Path(name): Path<String>) -> Result<Json<ModelView>, ApiError> {
    let station = Arc::clone(&app.station);
    Ok(Json(blocking(move || view(&station, &name)).await??))
}

/// Changes a model, tells, and shows it.
async fn change(
    app: Arc<App>,
    caller: Caller,
    name: String,
    work: impl FnOnce(&Station, &str) -> Result<(), ApiError> + Send + 'static,
) -> Result<Json<ModelView>, ApiError> {
    caller.may_manage()?;
    let station = Arc::clone(&app.station);
    let changed = blocking(move || {
        work(&station, &name)?;
        station.tell(Event::Models { name: name.clone() });
        view(&station, &name)
    });
    Ok(Json(changed.await??))
}

/// Uploads a version of a model, made by `shapeguard fit`. It is validated first, then kept, then active; the version before it
/// is kept for going back.
#[utoipa::path(put, path = "/v1/models/{name}", params(("name" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = CREATED, body = ModelView), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 413, body = ErrorBody), (status = 422, body = ErrorBody), (status = 507, body = ErrorBody)))]
pub async fn upload(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<ModelView>), ApiError> {
    let view = change(app, caller, name, move |station, name| {
        station.shelf.add(name, &bytes, VersionOrigin::Upload, true)?;
        Ok(())
    });
    Ok((StatusCode::CREATED, view.await?))
}

/// Which version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    sha256: String,
}

/// Makes a kept version active.
#[utoipa::path(post, path = "/v1/models/{name}/activate", params(("name" = String, Path)), request_body = Activation,
    responses((status = OK, body = ModelView), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn activate(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(which): Json<Activation>,
) -> Result<Json<ModelView>, ApiError> {
    change(app, caller, name, move |station, name| Ok(station.shelf.activate(name, &which.sha256)?)).await
}

/// Makes the version active that was so before.
#[utoipa::path(post, path = "/v1/models/{name}/rollback", params(("name" = String, Path)),
    responses((status = OK, body = ModelView), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn roll_back(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<ModelView>, ApiError> {
    change(app, caller, name, |station, name| Ok(station.shelf.roll_back(name)?)).await
}

/// What operators' feedback says of a model's thresholds. It moves none.
#[utoipa::path(get, path = "/v1/models/{name}/feedback", params(("name" = String, Path)), responses((status = OK, body = FeedbackReport), (status = 404, body = ErrorBody)))]
pub async fn feedback(State(app): Shared, Path(name): Path<String>) -> Result<Json<FeedbackReport>, ApiError> {
    let station = Arc::clone(&app.station);
    let report = blocking(move || {
        let loaded = station.shelf.model(&name)?;
        // Scores of other versions are on other scales.
        let judgements = station.store.judgements(&loaded.name, &loaded.sha256)?;
        let categories = loaded.model.detectors().iter().map(|detector| {
            let category = &detector.provenance().name;
            let said: Vec<_> = judgements.iter().filter(|judgement| judgement.category == *category).collect();
            CategoryFeedback::new(category, detector.threshold().score, &said)
        });
        Ok::<_, ApiError>(FeedbackReport { model: loaded.name.clone(), categories: categories.collect() })
    });
    Ok(Json(report.await??))
}
