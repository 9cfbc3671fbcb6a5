//! A tensor's values: from JSON, flat or in nested lists, and from bytes.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Bytes of JSON that a value takes at least: a digit, and what separates it from the next.
const FEWEST_BYTES: usize = 2;

/// Where a tensor's values stand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// In the JSON.
    Json(&'a RawValue),
    /// Behind it, as many as the shape has.
    Binary(&'a [u8]),
}

/// Little-endian floats. `null` is not a number, which JSON cannot write otherwise.
pub(super) fn floats(source: Source<'_>, shape: [usize; 3]) -> Result<Vec<f32>, String> {
    match source {
        Source::Json(data) => {
            let values: Vec<Option<f32>> = from_json(data, shape)?;
            Ok(values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect())
        }
        Source::Binary(bytes) => Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
    }
}

/// Bytes.
pub(super) fn bytes(source: Source<'_>, shape: [usize; 3]) -> Result<Vec<u8>, String> {
    match source {
        Source::Json(data) => from_json(data, shape),
        Source::Binary(bytes) => Ok(bytes.to_vec()),
    }
}

/// Reads a list of values, or lists of lists that have the shape.
fn from_json<'a, T: Deserialize<'a>>(data: &'a RawValue, shape: [usize; 3]) -> Result<Vec<T>, String> {
    let count: usize = shape.iter().product();
    let text = data.get();
    let most = text.len() / FEWEST_BYTES;
    if most < count {
        return Err(format!("expected {count} values, found {most} at most"));
    }
    let is_nested = text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('['));
    let flat = [count];
    let mut values = Vec::with_capacity(count);
    let level = Level { shape: if is_nested { &shape } else { &flat }, values: &mut values };
    level.deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| super::request::said(&error))?;
    Ok(values)
}

/// Lists of one depth.
struct Level<'v, T> {
    shape: &'v [usize],
    values: &'v mut Vec<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Level<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Level<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a list of {}", self.shape[0])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { shape, values } = self;
        let wrong = |found: &str| A::Error::custom(format!("expected lists of {}, found one of {found}", shape[0]));
        for found in 0..shape[0] {
            let is_there = match shape {
                [_, below @ ..] if !below.is_empty() => {
                    list.next_element_seed(Level { shape: below, values: &mut *values })?.is_some()
                }
                _ => list.next_element()?.map(|value| values.push(value)).is_some(),
            };
            if !is_there {
                return Err(wrong(&found.to_string()));
            }
        }
        match list.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(wrong("more")),
        }
    }
}
