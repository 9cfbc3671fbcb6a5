//! What happens, as it happens: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use serde::Serialize;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};

use super::App;
use crate::drift::DriftView;
use crate::station::Event;
use crate::store::FeedbackKind;
use crate::views::SummaryView;

/// A sign of life this often, so that a dead connection is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Events: `inspection` (a summary), `feedback`, `models`, `drift`, `fit`.
#[utoipa::path(get, path = "/v1/events", responses((status = OK, content_type = "text/event-stream", body = String)))]
pub async fn events(State(app): State<Arc<App>>) -> Sse<impl Stream<Item = Result<SentEvent, Infallible>>> {
    // Who was too slow has missed some: the stream ends, and what reconnects reads everything again.
    let stream = BroadcastStream::new(app.station.listen())
        .map_while(Result::ok)
        .map_while(describe)
        .map(|(name, data)| Ok(SentEvent::default().event(name).data(data)));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE))
}

/// A drift alarm that began or ended.
#[derive(Serialize)]
struct DriftEvent<'a> {
    model: &'a str,
    #[serde(flatten)]
    drift: &'a DriftView,
}

/// Feedback that was given.
#[derive(Serialize)]
struct FeedbackEvent<'a> {
    id: &'a str,
    kind: FeedbackKind,
}

/// A model that changed.
#[derive(Serialize)]
struct ModelsEvent<'a> {
    name: &'a str,
}

/// Its name and data; `None` ends the stream.
fn describe(event: Event) -> Option<(&'static str, String)> {
    // To text at once: by way of a JSON value, single numbers would be widened to other digits than everywhere else.
    fn text(of: &impl Serialize) -> String {
        // Plain structs: there is nothing in them that JSON cannot hold.
        serde_json::to_string(of).unwrap_or_default()
    }
    Some(match event {
        Event::Inspection(summary) => ("inspection", text(&SummaryView::from(*summary))),
        Event::Feedback { id, kind } => ("feedback", text(&FeedbackEvent { id: &id, kind })),
        Event::Models { name } => ("models", text(&ModelsEvent { name: &name })),
        Event::Drift { model, drift } => ("drift", text(&DriftEvent { model: &model, drift: &drift })),
        Event::Fit(view) => ("fit", text(&view)),
        Event::Stopping => return None,
    })
}
