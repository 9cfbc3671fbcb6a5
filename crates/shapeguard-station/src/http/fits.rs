//! Fitting on the station.

use std::sync::Arc;

use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::inspections::{broken_form, read_file};
use super::{ApiError, App, ErrorBody, blocking};
use crate::fits::{FitView, NewFit};

type Shared = State<Arc<App>>;

/// All fits.
#[derive(Debug, Serialize, ToSchema)]
pub struct FitsView {
    fits: Vec<FitView>,
}

/// The fits since the station was started, oldest first.
#[utoipa::path(get, path = "/v1/fits", responses((status = OK, body = FitsView)))]
pub async fn list(State(app): Shared) -> Json<FitsView> {
    Json(FitsView { fits: app.fits.list() })
}

/// Begins a fit: good scans are added to it, then it is started.
#[utoipa::path(post, path = "/v1/fits", request_body = NewFit, responses((status = CREATED, body = FitView), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn create(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Json(new): Json<NewFit>,
) -> Result<(StatusCode, Json<FitView>), ApiError> {
    caller.may_manage()?;
    let view = blocking(move || app.fits.create(&new)).await??;
    Ok((StatusCode::CREATED, Json(view)))
}

/// One fit.
#[utoipa::path(get, path = "/v1/fits/{id}", params(("id" = String, Path)), responses((status = OK, body = FitView), (status = 404, body = ErrorBody)))]
pub async fn get(State(app): Shared, Path(id): Path<String>) -> Result<Json<FitView>, ApiError> {
    Ok(Json(app.fits.get(&id)?))
}

/// Removes a fit, and stops it if it runs.
#[utoipa::path(delete, path = "/v1/fits/{id}", params(("id" = String, Path)), responses((status = NO_CONTENT), (status = 404, body = ErrorBody)))]
pub async fn remove(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.may_manage()?;
    app.fits.remove(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A good scan.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes the multipart form")]
pub struct ScanForm {
    /// The organized cloud.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    cloud: String,
    /// The colour image; may be left out if the cloud has colours.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    rgb: Option<String>,
}

/// Adds a good scan; one of the same name is replaced.
#[utoipa::path(put, path = "/v1/fits/{id}/scans/{name}", params(("id" = String, Path), ("name" = String, Path)),
    request_body(content = ScanForm, content_type = "multipart/form-data"),
    responses((status = NO_CONTENT), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 507, body = ErrorBody)))]
pub async fn add_scan(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path((id, name)): Path<(String, String)>,
    mut form: Multipart,
) -> Result<StatusCode, ApiError> {
    caller.may_manage()?;
    let (mut cloud, mut rgb) = (None, None);
    while let Some(field) = form.next_field().await.map_err(broken_form)? {
        match field.name().unwrap_or_default() {
            "cloud" => cloud = Some(read_file(field, "cloud").await?),
            "rgb" => rgb = Some(read_file(field, "rgb").await?),
            other => return Err(ApiError::invalid(format!("unknown field {other:?}; expected cloud and rgb"))),
        }
    }
    let cloud = cloud.ok_or_else(|| ApiError::invalid("the file cloud is missing"))?;
    blocking(move || app.fits.add_scan(&id, &name, &cloud, rgb.as_ref())).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Starts a fit. What comes of it is a version that is kept but not active.
#[utoipa::path(post, path = "/v1/fits/{id}/start", params(("id" = String, Path)), responses((status = OK, body = FitView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn start(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<FitView>, ApiError> {
    caller.may_manage()?;
    Ok(Json(app.fits.start(&id)?))
}
