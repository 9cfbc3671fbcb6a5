//! Who can be told of inspections: a stream, a folder, a web server, an MQTT broker. What each is sent is the inspection's
//! record, as JSON.

mod certificates;
mod folder;
mod mqtt;
mod webhook;

use std::io::Write;

pub use folder::folder;
pub use mqtt::{MqttAddress, MqttOptions, mqtt};
pub use webhook::{WebhookOptions, webhook};

use crate::delivery::{NotTaken, Sink};
use crate::record::Record;

/// The sink's names in the outbox. One that is set up differently after a restart still takes what is left.
pub const STDOUT: &str = "stdout";
/// The folder's.
pub const FOLDER: &str = "folder";
/// The web server's.
pub const WEBHOOK: &str = "webhook";
/// The broker's.
pub const MQTT: &str = "mqtt";

/// Writes a text for each inspection.
pub fn stream(mut out: impl Write + Send + 'static, text: impl Fn(&str, &Record) -> String + Send + 'static) -> Sink {
    let send = move |result: &crate::store::Undelivered| {
        let record = record(&result.record)?;
        let text = text(&result.record, &record);
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(NotTaken::later)
    };
    Sink { name: STDOUT, send: Box::new(send) }
}

fn record(text: &str) -> Result<Record, NotTaken> {
    serde_json::from_str(text).map_err(|error| NotTaken::Never { reason: format!("its record is damaged: {error}") })
}
