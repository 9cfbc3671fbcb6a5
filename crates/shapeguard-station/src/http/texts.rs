//! What a request says of a scan in words: texts of a form, parameters of the Open Inference Protocol.

use std::collections::BTreeMap;

use shapeguard_core::sample::Frame;
use shapeguard_data::ReadOptions;

use super::ApiError;

/// Longest serial number, key, value or comment, bytes: a paragraph.
pub(super) const LONGEST_TEXT: usize = 2000;
/// Most free key-values: they are read with every look at the inspection.
const MOST_META: usize = 50;
/// What keys of free key-values begin with.
const META: &str = "meta.";

/// Characters of a name that a message shows.
const SHOWN: usize = 100;

/// Which texts a kind of request may have, and what messages call them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// What one is called.
    pub(super) kind: &'static str,
    /// Their names, without the free ones.
    pub(super) names: &'static [&'static str],
    /// Everything that the request may have by name, for a message.
    pub(super) all: &'static str,
}

/// What was said of a scan.
#[derive(Debug)]
pub(super) struct ScanTexts {
    pub(super) model: Option<String>,
    pub(super) category: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) options: ReadOptions,
}

/// Takes texts one by one, so that the first wrong one ends the reading.
#[derive(Debug)]
pub(super) struct TextReader {
    expected: Expected,
    texts: BTreeMap<String, String>,
    meta: BTreeMap<String, String>,
}

impl TextReader {
    pub(super) fn new(expected: Expected) -> Self {
        Self { expected, texts: BTreeMap::new(), meta: BTreeMap::new() }
    }

    /// Makes sure that a name is expected.
    pub(super) fn check_name(&self, name: &str) -> Result<(), ApiError> {
        let Expected { kind, names, all } = self.expected;
        if name.len() > LONGEST_TEXT {
            return Err(self.too_long(name));
        }
        if free_key(name).is_some() || names.contains(&name) {
            return Ok(());
        }
        Err(ApiError::invalid(format!("unknown {kind} {name:?}; expected {all}")))
    }

    pub(super) fn add(&mut self, name: String, text: String) -> Result<(), ApiError> {
        if text.len() > LONGEST_TEXT {
            return Err(self.too_long(&name));
        }
        self.check_name(&name)?;
        match free_key(&name) {
            Some(key) => self.meta.insert(key.to_owned(), text),
            None => self.texts.insert(name, text),
        };
        if self.meta.len() > MOST_META {
            return Err(ApiError::invalid(format!("more than {MOST_META} {}s {META}KEY", self.expected.kind)));
        }
        Ok(())
    }

    fn too_long(&self, name: &str) -> ApiError {
        let name: String = name.chars().take(SHOWN).collect();
        ApiError::invalid(format!("the {} {name:?}: expected at most {LONGEST_TEXT} bytes", self.expected.kind))
    }

    pub(super) fn finish(mut self, max_pixels: usize) -> Result<ScanTexts, ApiError> {
        // An empty text is what a form sends for a field that was left empty.
        let mut text = |name: &str| self.texts.remove(name).filter(|text| !text.is_empty());
        let frame = match text("frame").as_deref() {
            None | Some("camera") => Frame::Camera,
            Some("other") => Frame::Other,
            Some(found) => return Err(ApiError::invalid(format!("frame: expected camera or other, found {found:?}"))),
        };
        let unit =
            text("unit").map(|unit| unit.parse()).transpose().map_err(|error: String| ApiError::invalid(error))?;
        Ok(ScanTexts {
            model: text("model"),
            category: text("category"),
            serial: text("serial"),
            options: ReadOptions { unit: unit.unwrap_or_default(), frame, max_pixels, ..ReadOptions::default() },
            meta: self.meta,
        })
    }
}

fn free_key(name: &str) -> Option<&str> {
    name.strip_prefix(META).filter(|key| !key.is_empty())
}
