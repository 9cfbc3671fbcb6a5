//! What goes wrong, as an answer: a status, a word for programs, a message for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fits::FitsError;
use crate::open_inference::ProtocolError;
use crate::shelf::ShelfError;
use crate::station::InspectError;
use crate::store::StoreError;

/// Seconds after which a client may try again when the queue was full: the time of a few inspections.
const RETRY_AFTER_SECONDS: u32 = 1;

/// An answer that is an error.
#[derive(Debug)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// A word for programs.
    pub code: &'static str,
    /// What was expected and found, and what to do.
    pub message: String,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// A word for programs.
    pub code: String,
    /// What was expected and found, and what to do.
    pub message: String,
}

impl ApiError {
    /// An error.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A request that cannot be understood.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", message)
    }

    /// Something that is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// A fault of the server, whose details are for its log.
    pub fn internal(details: &str) -> Self {
        tracing::error!("{details}");
        let message = "the station failed; its log has more, under the request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let message = ErrorMessage(self.message.clone());
        let detail = ErrorDetail { code: self.code.to_owned(), message: self.message };
        let mut response = (self.status, Json(ErrorBody { error: detail })).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(message);
        response
    }
}

/// The message of an answer that is an error, for those who put it in other words.
#[derive(Clone, Debug)]
pub(super) struct ErrorMessage(pub(super) String);

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            _ if error.is_disk_full() => {
                tracing::error!("{error}");
                let message = "the station's disk is full: nothing of this request was kept; make room, or let old inspections go, and send it again";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", message)
            }
            StoreError::NotFound { .. } => Self::not_found(error.to_string()),
            StoreError::Refused { .. } => Self::new(StatusCode::CONFLICT, "refused", error.to_string()),
            // The others name files of the server.
            _ => Self::internal(&error.to_string()),
        }
    }
}

impl From<ShelfError> for ApiError {
    fn from(error: ShelfError) -> Self {
        let message = error.to_string();
        match error {
            ShelfError::Name { .. } => Self::invalid(message),
            ShelfError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown-model", message),
            ShelfError::NoRoutingModel { .. } => Self::new(StatusCode::CONFLICT, "no-routing-model", message),
            ShelfError::Invalid { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-model", message),
            ShelfError::Store(error) => error.into(),
            ShelfError::Read { .. } => Self::internal(&message),
        }
    }
}

impl From<InspectError> for ApiError {
    fn from(error: InspectError) -> Self {
        let message = error.to_string();
        match error {
            InspectError::Category(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-category", message),
            InspectError::WantsMask { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wants-mask", message),
            InspectError::Unreadable(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", message),
            InspectError::Store(error) => error.into(),
        }
    }
}

impl From<ProtocolError> for ApiError {
    fn from(error: ProtocolError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<FitsError> for ApiError {
    fn from(error: FitsError) -> Self {
        let message = error.to_string();
        match error {
            FitsError::Unknown { .. } => Self::not_found(message),
            FitsError::Store(error) => error.into(),
            FitsError::Refused { .. } => Self::new(StatusCode::CONFLICT, "refused", message),
            FitsError::Disk { source } if source.kind() == std::io::ErrorKind::StorageFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", message)
            }
            FitsError::Disk { .. } => Self::internal(&message),
        }
    }
}
