//! A folder: for each inspection its record, and a picture of where.

use std::path::PathBuf;
use std::sync::Arc;

use shapeguard_data::{DataError, atomic_write, check_folder};

use super::{FOLDER, record};
use crate::delivery::{NotTaken, Sink};
use crate::pictures;
use crate::record::Record;
use crate::store::{Store, Undelivered};

/// Longest part of a file's name that comes from the scan's: names of 255 bytes are what file systems take.
const LONGEST_NAME: usize = 100;

/// Writes `NAME-ID.json` for each inspection, and `NAME-ID.png`, the anomalies over the colour image, if it was judged. A
/// result that is written again replaces itself.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn folder(folder: PathBuf, store: Arc<Store>, max_pixels: usize) -> Result<Sink, DataError> {
    check_folder(&folder)?;
    let send = move |result: &Undelivered| {
        let record = record(&result.record)?;
        let name = file_name(&record);
        let write = |extension: &str, bytes: &[u8]| {
            atomic_write(&folder.join(format!("{name}.{extension}")), true, |file| {
                std::io::Write::write_all(file, bytes)
            })
            .map_err(NotTaken::later)
        };
        // The verdict stands, whatever happens to its picture; and whoever waits for the record finds the picture there.
        let stored = store.inspection(&result.id).map_err(NotTaken::later)?;
        match pictures::overlay(&store, &stored, &record, max_pixels) {
            Ok(Some(png)) => write("png", &png)?,
            Ok(None) => {}
            Err(error) => tracing::error!(inspection = result.id, "no picture: {error}"),
        }
        write("json", format!("{}\n", result.record).as_bytes())
    };
    Ok(Sink { name: FOLDER, send: Box::new(send) })
}

/// The serial number, as far as it can be part of a file's name, and the inspection.
fn file_name(record: &Record) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let serial = record.serial.as_deref().unwrap_or("part");
    let name: String = serial.chars().map(|c| if is_plain(c) { c } else { '_' }).take(LONGEST_NAME).collect();
    format!("{}-{}", name.trim_start_matches('.'), record.id)
}
