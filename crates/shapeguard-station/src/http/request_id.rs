//! The id of each request: in its answer, and in every line of the log that it leads to.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client: those of common tracing systems have up to 75.
const LONGEST: usize = 128;

/// Takes the client's own id over, if it is a plain one, or makes one.
pub async fn name(request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_plain(id));
    let id = given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    // At the level of errors, so that their lines bear it even where nothing else is logged.
    let span = tracing::error_span!("request", %id);
    let mut response = next.run(request).instrument(span).await;
    // Plain or a UUID.
    response.headers_mut().insert(HEADER, HeaderValue::try_from(id).expect("a plain text"));
    response
}

/// Whether it can stand in a line of a log without being taken for anything else.
fn is_plain(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(is_plain)
}
