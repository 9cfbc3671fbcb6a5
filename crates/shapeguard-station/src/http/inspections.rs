//! Inspections: judging a scan, and looking at what is kept of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{Multipart, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use shapeguard::outputs::RecordVerdict;
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::texts::{Expected, LONGEST_TEXT, ScanTexts, TextReader};
use super::{ApiError, App, ErrorBody, blocking};
use crate::maps::MapKind;
use crate::pictures::{self, PictureError};
use crate::queue::{Answer, NotTaken};
use crate::record::{Record, Verdict};
use crate::station::{Event, IfUnreadable, Inspected, InspectionRequest, UploadedFile};
use crate::store::{Feedback, FeedbackKind, FileRole, Filter, Store, StoredInspection};
use crate::time::{now_ms, parse_rfc3339};
use crate::views::{InspectionView, SummaryView};

/// Inspections of a page unless told otherwise: what a screen or two show.
const PAGE: usize = 50;
/// Points of a cloud unless told otherwise: what a browser turns smoothly on integrated graphics.
const CLOUD_POINTS: usize = 200_000;
/// The form's texts.
const FIELDS: Expected = Expected {
    kind: "field",
    names: &["model", "category", "serial", "unit", "frame"],
    all: "cloud, rgb, intrinsics, model, category, serial, unit, frame or meta.KEY",
};

type Shared = State<Arc<App>>;

/// A scan to inspect; any field `meta.KEY` besides is kept with it.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes the multipart form")]
pub struct InspectionForm {
    /// The organized cloud or depth image: TIFF, PCD, PLY, NPY, NPZ, PNG.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    cloud: String,
    /// The colour image; may be left out if the cloud has colours.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    rgb: Option<String>,
    /// The camera's intrinsics, of depth images.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    intrinsics: Option<String>,
    /// A model's name, or `auto` for the one that knows several categories.
    model: String,
    /// The category, if it is known.
    category: Option<String>,
    /// The part's serial number.
    serial: Option<String>,
    /// Unit of the coordinates: m, mm or um.
    unit: Option<String>,
    /// Frame of the coordinates: camera or other.
    frame: Option<String>,
}

/// Judges a scan. When the answer is there, the inspection is kept.
#[utoipa::path(
    post, path = "/v1/inspections",
    request_body(content = InspectionForm, content_type = "multipart/form-data"),
    responses(
        (status = CREATED, body = InspectionView),
        (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 422, body = ErrorBody),
        (status = 429, body = ErrorBody, description = "too many wait; try again after Retry-After"),
        (status = 504, body = ErrorBody), (status = 507, body = ErrorBody)
    )
)]
pub async fn inspect(State(app): Shared, form: Multipart) -> Result<Response, ApiError> {
    let received_ms = now_ms();
    let work = async {
        let request = read_form(&app, form, received_ms).await?;
        judge(&app, request).await
    };
    let Inspected { record, summary, .. } = in_time(&app, work).await?;
    let station = Arc::clone(&app.station);
    let view = blocking(move || view(&station.store, &record.id)).await??;
    tracing::debug!(n = summary.n, "kept");
    let location = [(header::LOCATION, view.links.this.clone())];
    Ok((StatusCode::CREATED, location, Json(view)).into_response())
}

/// Gives an inspection up that takes longer than requests may, its reading included.
pub(super) async fn in_time<T>(app: &App, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let limit = app.options.timeout;
    tokio::time::timeout(limit, work).await.map_err(|_| {
        app.station.measures.refused("timeout");
        let message = format!("the inspection took longer than {} s; try again, or raise --timeout", limit.as_secs());
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
    })?
}

/// Puts an inspection in the line and waits for it.
pub(super) async fn judge(app: &App, request: InspectionRequest) -> Result<Inspected, ApiError> {
    let mut ticket = app.queue.submit(request).map_err(|reason| match reason {
        NotTaken::Full => queue_full(app),
        NotTaken::Stopping => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the station is stopping"),
    })?;
    answered((&mut ticket.answer).await.unwrap_or(Answer::Panicked))
}

/// Says that too many wait, and counts it.
pub(super) fn queue_full(app: &App) -> ApiError {
    app.station.measures.refused("queue-full");
    let message = format!(
        "{} inspections wait already; try again after the time in Retry-After, or raise --queue",
        app.queue.capacity()
    );
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "queue-full", message)
}

fn answered(answer: Answer) -> Result<Inspected, ApiError> {
    match answer {
        Answer::Kept(kept) => Ok(*kept),
        Answer::Failed(error) => Err(error.into()),
        Answer::Panicked => Err(ApiError::internal("an inspection panicked")),
    }
}

async fn read_form(app: &App, mut form: Multipart, received_ms: i64) -> Result<InspectionRequest, ApiError> {
    let mut files: BTreeMap<&'static str, UploadedFile> = BTreeMap::new();
    let mut texts = TextReader::new(FIELDS);
    while let Some(field) = form.next_field().await.map_err(broken_form)? {
        let name = field.name().unwrap_or_default().to_owned();
        let file = ["cloud", "rgb", "intrinsics"].into_iter().find(|known| *known == name);
        if let Some(role) = file {
            files.insert(role, read_file(field, role).await?);
            continue;
        }
        texts.add(name, field.text().await.map_err(broken_form)?)?;
    }
    let ScanTexts { model, category, serial, meta, options } = texts.finish(app.options.max_pixels)?;
    let model = model.ok_or_else(|| ApiError::invalid("the field model is missing; give a model's name, or auto"))?;
    let cloud = files.remove("cloud").ok_or_else(|| ApiError::invalid("the file cloud is missing"))?;
    Ok(InspectionRequest {
        model: app.station.shelf.model(&model)?,
        category,
        serial,
        meta,
        cloud: Some(cloud),
        rgb: files.remove("rgb"),
        intrinsics: files.remove("intrinsics"),
        options,
        received_ms,
        watched: None,
        if_unreadable: IfUnreadable::Keep,
    })
}

/// A file of a form. Its name is for messages alone.
pub(super) async fn read_file(field: Field<'_>, role: &str) -> Result<UploadedFile, ApiError> {
    let name = field.file_name().unwrap_or_default();
    let name: String = name.rsplit(['/', '\\']).next().unwrap_or_default().chars().take(200).collect();
    let name = if name.is_empty() { role.to_owned() } else { name };
    Ok(UploadedFile { name, bytes: field.bytes().await.map_err(broken_form)?.to_vec() })
}

pub(super) fn broken_form(error: MultipartError) -> ApiError {
    let status = error.status();
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "too-large" } else { "invalid-request" };
    ApiError::new(status, code, format!("the form cannot be read: {}", error.body_text()))
}

/// Which inspections to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    model: Option<String>,
    category: Option<String>,
    #[param(value_type = Option<Verdict>)]
    verdict: Option<RecordVerdict>,
    serial: Option<String>,
    feedback: Option<FeedbackKind>,
    /// From this moment on, RFC 3339.
    since: Option<String>,
    /// Before this moment, RFC 3339.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Most inspections of the page, up to 1000.
    limit: Option<usize>,
}

/// A page of inspections.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListView {
    /// Newest first.
    inspections: Vec<SummaryView>,
    /// `before` of the next page; `null` on the last.
    next: Option<String>,
}

/// Inspections, newest first.
#[utoipa::path(get, path = "/v1/inspections", params(ListQuery), responses((status = OK, body = ListView), (status = 400, body = ErrorBody)))]
pub async fn list(State(app): Shared, Query(query): Query<ListQuery>) -> Result<Json<ListView>, ApiError> {
    let moment = |text: Option<String>| text.as_deref().map(parse_rfc3339).transpose().map_err(ApiError::invalid);
    let filter = Filter {
        model: query.model,
        category: query.category,
        verdict: query.verdict,
        serial: query.serial,
        feedback: query.feedback,
        since_ms: moment(query.since)?,
        until_ms: moment(query.until)?,
        before: query.before,
    };
    let station = Arc::clone(&app.station);
    let page = blocking(move || station.store.inspections(&filter, query.limit.unwrap_or(PAGE))).await??;
    Ok(Json(ListView {
        inspections: page.inspections.into_iter().map(SummaryView::from).collect(),
        next: page.next.map(|n| n.to_string()),
    }))
}

/// What is kept of an inspection, read back.
struct Kept {
    record: Record,
    stored: StoredInspection,
}

fn read_kept(store: &Store, id: &str) -> Result<Kept, ApiError> {
    let stored = store.inspection(id)?;
    let record = serde_json::from_str(&stored.record)
        .map_err(|error| ApiError::internal(&format!("the record of {id} is damaged: {error}")))?;
    Ok(Kept { record, stored })
}

pub(super) fn view(store: &Store, id: &str) -> Result<InspectionView, ApiError> {
    let Kept { record, stored } = read_kept(store, id)?;
    let feedback = store.feedback(stored.summary.n)?;
    Ok(InspectionView::new(record, &stored, feedback))
}

/// One inspection.
#[utoipa::path(get, path = "/v1/inspections/{id}", params(("id" = String, Path)), responses((status = OK, body = InspectionView), (status = 404, body = ErrorBody)))]
pub async fn get(State(app): Shared, Path(id): Path<String>) -> Result<Json<InspectionView>, ApiError> {
    let station = Arc::clone(&app.station);
    Ok(Json(blocking(move || view(&station.store, &id)).await??))
}

/// What an operator says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    kind: FeedbackKind,
    comment: Option<String>,
}

/// Says that a verdict was a false reject, a missed defect, or right. What was said before is kept.
#[utoipa::path(post, path = "/v1/inspections/{id}/feedback", params(("id" = String, Path)), request_body = NewFeedback,
    responses((status = CREATED, body = InspectionView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn add_feedback(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(new): Json<NewFeedback>,
) -> Result<(StatusCode, Json<InspectionView>), ApiError> {
    if new.comment.as_ref().is_some_and(|comment| comment.len() > LONGEST_TEXT) {
        return Err(ApiError::invalid(format!("comment: expected at most {LONGEST_TEXT} bytes")));
    }
    let station = Arc::clone(&app.station);
    let view = blocking(move || {
        let feedback = Feedback { at_ms: now_ms(), kind: new.kind, comment: new.comment, given_by: caller.name };
        station.store.add_feedback(&id, &feedback)?;
        station.tell(Event::Feedback { id: id.clone(), kind: new.kind });
        view(&station.store, &id)
    })
    .await??;
    Ok((StatusCode::CREATED, Json(view)))
}

/// A file that never changes, since what is kept never does.
fn unchanging(kind: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=31536000, immutable")];
    (headers, Body::from(bytes)).into_response()
}

fn no_picture(what: &str) -> ApiError {
    ApiError::not_found(format!("this inspection has no {what}: the scan was not judged, or could not be read"))
}

/// Draws a picture of what is kept.
async fn picture(
    app: Arc<App>,
    id: String,
    kind: &'static str,
    draw: impl FnOnce(&Store, &Kept, usize) -> Result<Option<Vec<u8>>, PictureError> + Send + 'static,
) -> Result<Response, ApiError> {
    let bytes = blocking(move || {
        let kept = read_kept(&app.station.store, &id)?;
        draw(&app.station.store, &kept, app.options.max_pixels).map_err(|error| match error {
            PictureError::Store(error) => ApiError::from(error),
            PictureError::Damaged(details) => ApiError::internal(&details),
        })
    })
    .await??;
    bytes.map(|bytes| unchanging(kind, bytes)).ok_or_else(|| no_picture("such picture"))
}

const PNG: &str = "image/png";

/// A small picture of the part, its anomalies over it.
#[utoipa::path(get, path = "/v1/inspections/{id}/thumbnail.png", params(("id" = String, Path)), responses((status = OK, content_type = "image/png", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub async fn thumbnail(State(app): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    picture(app, id, PNG, |store, kept, _| {
        Ok(kept.stored.file(FileRole::Thumbnail).map(|sha256| store.file(sha256)).transpose()?)
    })
    .await
}

/// The colour image.
#[utoipa::path(get, path = "/v1/inspections/{id}/image.png", params(("id" = String, Path)), responses((status = OK, content_type = "image/png", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub async fn image(State(app): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    picture(app, id, PNG, |store, kept, max| pictures::image(store, &kept.stored, &kept.record, max)).await
}

/// The fused map in colours.
#[utoipa::path(get, path = "/v1/inspections/{id}/heat.png", params(("id" = String, Path)), responses((status = OK, content_type = "image/png", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub async fn heat(State(app): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    picture(app, id, PNG, |store, kept, _| pictures::heat(store, &kept.stored, &kept.record)).await
}

/// The fused map over the colour image.
#[utoipa::path(get, path = "/v1/inspections/{id}/overlay.png", params(("id" = String, Path)), responses((status = OK, content_type = "image/png", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub async fn overlay(State(app): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    picture(app, id, PNG, |store, kept, max| pictures::overlay(store, &kept.stored, &kept.record, max)).await
}

/// A map's values, `sdf.f32`, `rgb.f32` or `fused.f32`: 32-bit floats, little-endian, row by row, on one scale.
#[utoipa::path(get, path = "/v1/inspections/{id}/maps/{map}", params(("id" = String, Path), ("map" = String, Path)), responses((status = OK, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub async fn map(State(app): Shared, Path((id, map)): Path<(String, String)>) -> Result<Response, ApiError> {
    let kind = map.strip_suffix(".f32").and_then(MapKind::of);
    let kind = kind.ok_or_else(|| ApiError::not_found("expected the map sdf.f32, rgb.f32 or fused.f32"))?;
    picture(app, id, "application/octet-stream", move |store, kept, _| {
        let map = pictures::map(store, &kept.stored, &kept.record, kind)?;
        Ok(map.map(|map| map.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect()))
    })
    .await
}

/// How many points.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CloudQuery {
    /// Most points; the cloud is thinned evenly. 200,000 unless given.
    max_points: Option<usize>,
}

/// The cloud: binary PLY with x, y, z in metres, colour, score, and the pixel of each point.
#[utoipa::path(get, path = "/v1/inspections/{id}/cloud.ply", params(("id" = String, Path), CloudQuery), responses((status = OK, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub async fn cloud(
    State(app): Shared,
    Path(id): Path<String>,
    Query(query): Query<CloudQuery>,
) -> Result<Response, ApiError> {
    let most = query.max_points.unwrap_or(CLOUD_POINTS).max(1);
    picture(app, id, "application/octet-stream", move |store, kept, max| {
        pictures::cloud(store, &kept.stored, &kept.record, max, most)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_the_stations_fault_and_told_without_details() {
        let error = answered(Answer::Panicked).unwrap_err();
        assert_eq!((error.status, error.code), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    }
}
