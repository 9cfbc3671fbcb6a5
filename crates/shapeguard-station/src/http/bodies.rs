//! Bodies of requests. Each comes in time or is given up. What is refused is read to its end nevertheless: who is still sending
//! would see a broken connection in place of what is wrong.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_stream::{Stream, StreamExt};

use super::{ApiError, App, LARGEST_MODEL_BYTES};

/// Where models are uploaded. They are so large that not all of one must come within the time of a request; but something must.
const MODEL_FILES: &str = "/v1/models/{name}";

/// Gives a body up that does not come in time, and reads what is left of a refused one.
pub async fn bound(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let limit = app.options.timeout;
    let deadline = Instant::now() + limit;
    let is_model = request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str() == MODEL_FILES);
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let mut body = SharedBody(Arc::new(Mutex::new(TimedBody {
        data: body.into_data_stream(),
        alarm: Box::pin(sleep_until(deadline)),
        patience: is_model.then_some(limit),
        state: BodyState::Untouched,
    })));
    let response = next.run(Request::from_parts(parts, Body::from_stream(body.clone()))).await;
    let state = body.state();
    if state == BodyState::Late {
        app.station.measures.refused("timeout");
        let seconds = limit.as_secs();
        let message = format!("the request did not come within {seconds} s; send it faster, or raise --timeout");
        return ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message).into_response();
    }
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    // Who asks first sends nothing after a refusal.
    let is_awaited = state == BodyState::Coming || (state == BodyState::Untouched && !asks_first);
    if is_refused && is_awaited {
        let most = if is_model { LARGEST_MODEL_BYTES } else { app.options.largest_scan_bytes };
        // Whether it ends or not, the answer goes out.
        let _ = timeout_at(deadline, body.discard(most)).await;
    }
    response
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyState {
    /// Nobody wanted any of it yet.
    Untouched,
    /// Not all of it was read.
    Coming,
    /// It ended, or broke.
    Over,
    /// It did not come in time.
    Late,
}

struct TimedBody {
    data: BodyDataStream,
    alarm: Pin<Box<Sleep>>,
    /// Time from one piece to the next; `None` if the whole has to come before the alarm.
    patience: Option<Duration>,
    state: BodyState,
}

/// A body that can still be read when whoever read it first has let it go.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<TimedBody>>);

impl SharedBody {
    fn state(&self) -> BodyState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).state
    }

    /// Reads up to `most` bytes and forgets them.
    async fn discard(&mut self, most: usize) {
        let mut left = most;
        while let Some(Ok(piece)) = self.next().await {
            match left.checked_sub(piece.len()) {
                Some(less) => left = less,
                None => return,
            }
        }
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match Pin::new(&mut body.data).poll_next(context) {
            Poll::Ready(piece) => {
                body.state = if matches!(piece, Some(Ok(_))) { BodyState::Coming } else { BodyState::Over };
                if let Some(patience) = body.patience {
                    body.alarm.as_mut().reset(Instant::now() + patience);
                }
                Poll::Ready(piece)
            }
            Poll::Pending if body.alarm.as_mut().poll(context).is_ready() => {
                body.state = BodyState::Late;
                Poll::Ready(Some(Err(axum::Error::new(std::io::Error::from(std::io::ErrorKind::TimedOut)))))
            }
            Poll::Pending => {
                body.state = BodyState::Coming;
                Poll::Pending
            }
        }
    }
}
