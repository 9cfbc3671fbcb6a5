//! The Open Inference Protocol, version 2 (docs/station.md). An inference is an inspection like any other.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shapeguard::pipeline::map_at_scan_size;
use shapeguard_data::{encode_rgb_png, encode_xyz_tiff};
use utoipa::ToSchema;

use super::error::ErrorMessage;
use super::inspections::{in_time, judge, queue_full, view};
use super::texts::{Expected, LONGEST_TEXT, ScanTexts, TextReader};
use super::{ApiError, App, blocking, status};
use crate::open_inference::request::{InferRequest, Parameter, RequestJson, WantedOutput, decode};
use crate::open_inference::response::{InferResponse, OutputTensor, ResponseJson, TensorData, encode};
use crate::open_inference::{EXTENSIONS, Input, JSON_LENGTH_HEADER, Output, PLATFORM};
use crate::shelf::LoadedModel;
use crate::station::{IfUnreadable, Inspected, InspectionRequest, UploadedFile};
use crate::store::Store;
use crate::time::now_ms;

/// A request's parameters.
const PARAMETERS: Expected = Expected {
    kind: "parameter",
    names: &["category", "serial", "unit", "frame"],
    all: "serial, category, unit, frame, meta.KEY or binary_data_output",
};
/// Bytes of a foreign error's text that are read: a sentence.
const LONGEST_ERROR: usize = 4096;

type Shared = State<Arc<App>>;

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlainError {
    /// What was expected and found, and what to do.
    error: String,
}

/// Gives errors below /v2 the body that clients of the protocol show, whoever they come from.
pub(super) async fn plain_errors(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_ours = path == "/v2" || path.starts_with("/v2/");
    let response = next.run(request).await;
    let status = response.status();
    if !is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let error = match parts.extensions.get::<ErrorMessage>() {
        Some(ErrorMessage(message)) => message.clone(),
        None => {
            let text = to_bytes(body, LONGEST_ERROR).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.is_empty() { status.to_string() } else { text }
        }
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    (parts, Json(PlainError { error })).into_response()
}

/// What the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    #[schema(value_type = Vec<String>)]
    extensions: [&'static str; 1],
}

/// What the server is.
#[utoipa::path(get, path = "/v2", responses((status = OK, body = ServerMetadata), (status = 401, body = PlainError)))]
pub async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata { name: "shapeguard", version: env!("CARGO_PKG_VERSION"), extensions: EXTENSIONS })
}

/// That the server runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    live: bool,
}

/// Whether the server runs; needs no token.
#[utoipa::path(get, path = "/v2/health/live", responses((status = OK, body = Live)))]
pub async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// That there is a model to inspect with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    ready: bool,
}

/// Whether there is a model to inspect with; needs no token.
#[utoipa::path(get, path = "/v2/health/ready", responses((status = OK, body = Ready), (status = 503, body = PlainError)))]
pub async fn ready(State(app): Shared) -> Result<Json<Ready>, ApiError> {
    if status::is_ready(&app).await {
        return Ok(Json(Ready { ready: true }));
    }
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", status::NOT_READY))
}

/// A tensor of a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct TensorMetadata {
    name: &'static str,
    datatype: &'static str,
    /// -1 where it depends on the scan.
    shape: &'static [i64],
}

/// What a model takes and gives.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelMetadata {
    name: String,
    /// The SHA-256 of the active version's file, the only one that is served.
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// The model that judges: the active version, which is the only one that may be named.
fn served(app: &App, name: &str, version: Option<&str>) -> Result<Arc<LoadedModel>, ApiError> {
    let loaded = app.station.shelf.model(name)?;
    if let Some(version) = version.filter(|version| *version != loaded.sha256) {
        let message =
            format!("{}: the version {version:?} is not served; the active one is {:?}", loaded.name, loaded.sha256);
        return Err(ApiError::new(StatusCode::NOT_FOUND, "version-not-served", message));
    }
    Ok(loaded)
}

fn metadata(loaded: &LoadedModel) -> Json<ModelMetadata> {
    let input = |input: Input| TensorMetadata { name: input.name(), datatype: input.datatype(), shape: &Input::SHAPE };
    let output =
        |output: Output| TensorMetadata { name: output.name(), datatype: output.datatype(), shape: output.shape() };
    Json(ModelMetadata {
        name: loaded.name.clone(),
        versions: vec![loaded.sha256.clone()],
        platform: PLATFORM,
        inputs: Input::ALL.map(input).into(),
        outputs: Output::ALL.map(output).into(),
    })
}

/// What a model takes and gives.
#[utoipa::path(get, path = "/v2/models/{name}", params(("name" = String, Path)), responses((status = OK, body = ModelMetadata), (status = 404, body = PlainError)))]
pub async fn model(State(app): Shared, Path(name): Path<String>) -> Result<Json<ModelMetadata>, ApiError> {
    Ok(metadata(&*served(&app, &name, None)?))
}

/// The same of the active version.
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}", params(("name" = String, Path), ("version" = String, Path)), responses((status = OK, body = ModelMetadata), (status = 404, body = PlainError)))]
pub async fn version(
    State(app): Shared,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<ModelMetadata>, ApiError> {
    Ok(metadata(&*served(&app, &name, Some(&version))?))
}

/// That a model can be inspected with.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelReady {
    name: String,
    ready: bool,
}

/// Whether a model is loaded: 404 if not.
#[utoipa::path(get, path = "/v2/models/{name}/ready", params(("name" = String, Path)), responses((status = OK, body = ModelReady), (status = 404, body = PlainError)))]
pub async fn model_ready(State(app): Shared, Path(name): Path<String>) -> Result<Json<ModelReady>, ApiError> {
    Ok(Json(ModelReady { name: served(&app, &name, None)?.name.clone(), ready: true }))
}

/// Whether a version is the active one: 404 if not.
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}/ready", params(("name" = String, Path), ("version" = String, Path)), responses((status = OK, body = ModelReady), (status = 404, body = PlainError)))]
pub async fn version_ready(
    State(app): Shared,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<ModelReady>, ApiError> {
    Ok(Json(ModelReady { name: served(&app, &name, Some(&version))?.name.clone(), ready: true }))
}

/// Judges a scan that comes as tensors. When the answer is there, the inspection is kept. With the header
/// `Inference-Header-Content-Length`, tensors may stand as bytes behind the JSON (the extension `binary_tensor_data`).
#[utoipa::path(
    post, path = "/v2/models/{name}/infer", params(("name" = String, Path)),
    request_body(content((RequestJson = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = OK, content((ResponseJson = "application/json"), (Vec<u8> = "application/octet-stream"))),
        (status = 400, body = PlainError), (status = 404, body = PlainError), (status = 409, body = PlainError),
        (status = 413, body = PlainError), (status = 415, body = PlainError), (status = 422, body = PlainError),
        (status = 429, body = PlainError, description = "too many wait; try again after Retry-After"),
        (status = 503, body = PlainError), (status = 504, body = PlainError), (status = 507, body = PlainError)
    )
)]
pub async fn infer(State(app): Shared, Path(name): Path<String>, request: Request) -> Result<Response, ApiError> {
    in_time(&app, answer(&app, &name, None, request)).await
}

/// The same with the active version.
#[utoipa::path(
    post, path = "/v2/models/{name}/versions/{version}/infer",
    params(("name" = String, Path), ("version" = String, Path)),
    request_body(content((RequestJson = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = OK, content((ResponseJson = "application/json"), (Vec<u8> = "application/octet-stream"))),
        (status = 400, body = PlainError), (status = 404, body = PlainError), (status = 409, body = PlainError),
        (status = 413, body = PlainError), (status = 415, body = PlainError), (status = 422, body = PlainError),
        (status = 429, body = PlainError, description = "too many wait; try again after Retry-After"),
        (status = 503, body = PlainError), (status = 504, body = PlainError), (status = 507, body = PlainError)
    )
)]
pub async fn infer_version(
    State(app): Shared,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    in_time(&app, answer(&app, &name, Some(&version), request)).await
}

async fn answer(app: &Arc<App>, name: &str, version: Option<&str>, request: Request) -> Result<Response, ApiError> {
    let received_ms = now_ms();
    let headers = request.headers().clone();
    let body = read_body(request).await?;
    let model = served(app, name, version)?;
    refuse_encoded(&headers)?;
    if app.queue.is_full() {
        return Err(queue_full(app));
    }
    // As many at a time as are inspected: what waits has not grown yet, and the inspectors keep their cores.
    let permit = app.decoding.acquire().await.map_err(|error| ApiError::internal(&error.to_string()))?;
    let max_pixels = app.options.max_pixels;
    let (request, asked) = blocking(move || {
        let json_length = headers.get(JSON_LENGTH_HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let request = decode(&body, json_length.as_deref(), max_pixels)?;
        drop(body);
        inspection(request, model, max_pixels, received_ms)
    })
    .await??;
    drop(permit);
    let inspected = judge(app, request).await?;
    let station = Arc::clone(&app.station);
    let encoded =
        blocking(move || respond(&station.store, &inspected, asked).map(|response| encode(&response))).await??;
    let mut response = Body::from(encoded.bytes).into_response();
    let kind = if encoded.json_length.is_some() { "application/octet-stream" } else { "application/json" };
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if let Some(length) = encoded.json_length {
        response.headers_mut().insert(JSON_LENGTH_HEADER, length.into());
    }
    Ok(response)
}

async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, &()).await.map_err(|error| {
        let (status, text) = (error.status(), error.body_text());
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("the request is larger than --max-upload-mib of the station: {text}");
            return ApiError::new(status, "too-large", message);
        }
        ApiError::new(status, "invalid-request", format!("the request cannot be read: {text}"))
    })
}

/// Refuses bodies that would be read as something that they are not.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), ApiError> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"identity") {
            let message = format!("expected a body without Content-Encoding, found {value:?}; send it uncompressed");
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded", message));
        }
    }
    Ok(())
}

/// What is answered beside what was found.
struct Asked {
    id: Option<String>,
    outputs: Vec<WantedOutput>,
}

/// The scan as files, which is how scans are kept.
fn inspection(
    request: InferRequest,
    model: Arc<LoadedModel>,
    max_pixels: usize,
    received_ms: i64,
) -> Result<(InspectionRequest, Asked), ApiError> {
    let InferRequest { id, parameters, xyz, rgb, outputs } = request;
    if id.as_ref().is_some_and(|id| id.len() > LONGEST_TEXT) {
        return Err(ApiError::invalid(format!("id: expected at most {LONGEST_TEXT} bytes")));
    }
    let mut texts = TextReader::new(PARAMETERS);
    for (name, value) in parameters {
        texts.check_name(&name)?;
        match value {
            Parameter::Text(text) => texts.add(name, text)?,
            Parameter::Other(found) => {
                return Err(ApiError::invalid(format!("the parameter {name:?}: expected a text, found {found}")));
            }
        }
    }
    let ScanTexts { category, serial, meta, options, .. } = texts.finish(max_pixels)?;
    let file = |input: Input, bytes: Result<Vec<u8>, shapeguard_data::DataError>| {
        let bytes = bytes.map_err(|error| ApiError::internal(&error.to_string()))?;
        Ok::<_, ApiError>(UploadedFile { name: input.name().to_owned(), bytes })
    };
    let cloud = Some(file(Input::Xyz, encode_xyz_tiff(&xyz))?);
    let rgb = Some(file(Input::Rgb, encode_rgb_png(&rgb))?);
    let request = InspectionRequest {
        model,
        category,
        serial,
        meta,
        cloud,
        rgb,
        intrinsics: None,
        options,
        received_ms,
        watched: None,
        if_unreadable: IfUnreadable::Keep,
    };
    Ok((request, Asked { id, outputs }))
}

fn respond(store: &Store, inspected: &Inspected, asked: Asked) -> Result<InferResponse, ApiError> {
    let Inspected { record, fused, .. } = inspected;
    let number = |value: Option<f32>| {
        let values: Vec<f32> = value.into_iter().collect();
        (vec![values.len()], TensorData::Floats(values))
    };
    let text = |text: String| (vec![1], TensorData::Texts(vec![text]));
    let mut outputs = Vec::new();
    for wanted in asked.outputs {
        let (shape, data) = match wanted.output {
            Output::Verdict => text(record.verdict.to_string()),
            Output::Score => number(record.score),
            Output::Threshold => number(record.threshold),
            Output::PValue => number(record.p_value.map(|p| p as f32)),
            Output::AnomalyMap => {
                let map = fused.as_ref().zip(record.frame()).map(|(map, frame)| map_at_scan_size(map, frame));
                let size = map.as_ref().map_or([0, 0], |map| [map.size().rows, map.size().cols]);
                let values = map.map_or_else(Vec::new, |map| map.as_slice().to_vec());
                (size.to_vec(), TensorData::Floats(values))
            }
            Output::Record => {
                let json = serde_json::to_string(&view(store, &record.id)?);
                text(json.map_err(|error| ApiError::internal(&error.to_string()))?)
            }
        };
        outputs.push(OutputTensor { wanted, shape, data });
    }
    Ok(InferResponse {
        model_name: record.model.clone(),
        model_version: record.model_sha256.clone(),
        id: asked.id,
        inspection: record.id.clone(),
        outputs,
    })
}
