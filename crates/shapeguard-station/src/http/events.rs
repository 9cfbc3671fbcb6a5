//! What happens, as it happens: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};

use super::App;
use crate::record::SummaryView;
use crate::station::Event;

/// A sign of life this often, so that a dead connection is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Events: `inspection` (a summary), `feedback`, `models`, `drift`, `fit`.
#[utoipa::path(get, path = "/v1/events", responses((status = OK, content_type = "text/event-stream", body = String)))]
pub async fn events(State(app): State<Arc<App>>) -> Sse<impl Stream<Item = Result<SentEvent, Infallible>>> {
    // Who was too slow has missed some: the stream ends, and what reconnects reads everything again.
    let stream = BroadcastStream::new(app.station.listen())
        .map_while(Result::ok)
        .map_while(describe)
        .map(|(name, data)| Ok(SentEvent::default().event(name).data(data.to_string())));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE))
}

/// `None` ends the stream.
fn describe(event: Event) -> Option<(&'static str, Value)> {
    // Plain structs: there is nothing in them that JSON cannot hold.
    fn value(of: &impl Serialize) -> Value {
        serde_json::to_value(of).unwrap_or_default()
    }
    Some(match event {
        Event::Inspection(summary) => ("inspection", value(&SummaryView::from(*summary))),
        Event::Feedback { id, kind } => ("feedback", json!({ "id": id, "kind": kind })),
        Event::Models { name } => ("models", json!({ "name": name })),
        Event::Drift { model, drift } => {
            let mut data = value(&drift);
            data["model"] = model.into();
            ("drift", data)
        }
        Event::Fit(view) => ("fit", value(&view)),
        Event::Stopping => return None,
    })
}
