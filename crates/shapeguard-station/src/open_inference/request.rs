//! From a request's bytes to a scan and what is wanted of it. Every length is checked before anything is allocated for it.

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use shapeguard_core::grid::{Grid, GridSize, RgbImage};
use utoipa::ToSchema;

use super::data::{self, Source};
use super::{CHANNELS, Input, Output, ProtocolError};

/// Most parameters of a request or tensor: more than any that is understood has.
const MOST_PARAMETERS: usize = 100;
/// Characters of what was found that a message shows.
const SHOWN: usize = 100;
/// The request's parameter that asks for binary outputs.
const BINARY_OUTPUT: &str = "binary_data_output";
/// An input's parameter: its bytes behind the JSON.
const BINARY_SIZE: &str = "binary_data_size";
/// An output's parameter: whether it is wanted behind the JSON.
const BINARY: &str = "binary_data";

/// A request, read.
#[derive(Debug, PartialEq)]
pub struct InferRequest {
    /// What the client calls it.
    pub id: Option<String>,
    /// What it says of the scan, by name, each at most once.
    pub parameters: Vec<(String, Parameter)>,
    /// Coordinates as they came.
    pub xyz: Grid<[f32; 3]>,
    /// Colours of the same grid.
    pub rgb: RgbImage,
    /// What is wanted, in this order.
    pub outputs: Vec<WantedOutput>,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A text.
    Text(String),
    /// Something else, as JSON.
    Other(String),
}

/// An output that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedOutput {
    /// Which.
    pub output: Output,
    /// Whether behind the JSON, as bytes.
    pub is_binary: bool,
}

/// A request's JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InferRequest)]
pub struct RequestJson<'a> {
    /// Echoed in the answer.
    id: Option<String>,
    /// `serial`, `category`, `unit`, `frame`, `meta.KEY`, all texts; and `binary_data_output`, whether outputs come as bytes.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    parameters: Option<&'a RawValue>,
    /// `xyz` and `rgb`.
    #[serde(borrow)]
    inputs: Vec<InputJson<'a>>,
    /// The outputs that are wanted; all, unless given.
    #[serde(borrow)]
    outputs: Option<Vec<OutputJson<'a>>>,
}

/// A tensor of a request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InferInput)]
pub struct InputJson<'a> {
    /// `xyz` or `rgb`.
    name: String,
    /// Rows, columns, 3.
    #[serde(borrow)]
    #[schema(value_type = Vec<usize>)]
    shape: &'a RawValue,
    /// `FP32` of xyz, `UINT8` of rgb.
    datatype: String,
    /// `binary_data_size`: the tensor's bytes behind the JSON, in the order of inputs.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    parameters: Option<&'a RawValue>,
    /// Its values, row by row, or lists of lists; `null` for a coordinate that there is not. Left out if they are binary.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<f32>>)]
    data: Option<&'a RawValue>,
}

/// An output that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequestedOutput)]
pub struct OutputJson<'a> {
    /// Which.
    name: String,
    /// `binary_data`: whether it comes as bytes behind the JSON.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    parameters: Option<&'a RawValue>,
}

/// Reads a request. `json_length` is the header of that name, which requests with binary data have.
///
/// # Errors
/// If it is not one of the protocol, or the scan has more than `max_pixels`.
pub fn decode(body: &[u8], json_length: Option<&str>, max_pixels: usize) -> Result<InferRequest, ProtocolError> {
    let (json, mut binary) = split(body, json_length)?;
    let RequestJson { id, parameters, inputs, outputs } =
        serde_json::from_slice(json).map_err(|error| broken(json, &error))?;
    let (parameters, is_binary_output) = request_parameters(parameters)?;
    let outputs = wanted(outputs.unwrap_or_default(), is_binary_output)?;
    let (mut xyz, mut rgb) = (None, None);
    for tensor in &inputs {
        let name = &tensor.name;
        let input = Input::ALL.into_iter().find(|input| input.name() == *name);
        let input = input.ok_or_else(|| fault(format!("unknown input {}; expected xyz and rgb", shown(name))))?;
        let named = |message: String| fault(format!("{name}: {message}"));
        let is_again = match input {
            Input::Xyz => xyz.is_some(),
            Input::Rgb => rgb.is_some(),
        };
        if is_again {
            return Err(named("expected once among the inputs, found again".into()));
        }
        let size = tensor.size(input, max_pixels).map_err(named)?;
        let shape = [size.rows, size.cols, CHANNELS];
        let source = tensor.source(input, shape, &mut binary).map_err(named)?;
        match input {
            Input::Xyz => xyz = Some(grid(size, &data::floats(source, shape).map_err(named)?)),
            Input::Rgb => rgb = Some(grid(size, &data::bytes(source, shape).map_err(named)?)),
        }
    }
    if !binary.is_empty() {
        let found = binary.len();
        return Err(fault(format!("expected no bytes after the inputs' binary data, found {found}")));
    }
    let missing = |input: Input| fault(format!("{}: expected among the inputs, found none", input.name()));
    let (xyz, rgb) = (xyz.ok_or_else(|| missing(Input::Xyz))?, rgb.ok_or_else(|| missing(Input::Rgb))?);
    if xyz.size() != rgb.size() {
        return Err(fault(format!("rgb: expected {} as xyz has, found {}", xyz.size(), rgb.size())));
    }
    Ok(InferRequest { id, parameters, xyz, rgb, outputs })
}

fn fault(message: String) -> ProtocolError {
    ProtocolError(message)
}

/// What of a request's own words a message shows.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("{short:?}{more}")
}

/// What JSON says is wrong, without the place: that of a part means nothing to who sent the whole.
pub(super) fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said).to_owned()
}

fn broken(json: &[u8], error: &serde_json::Error) -> ProtocolError {
    let has_nan = error.is_syntax() && json.windows(3).any(|word| word == b"NaN");
    let remedy = if has_nan { "; JSON has no NaN: write null, or send the tensor as binary data" } else { "" };
    fault(format!("the request's JSON cannot be read: {error}{remedy}"))
}

/// The JSON and the binary data behind it.
fn split<'a>(body: &'a [u8], json_length: Option<&str>) -> Result<(&'a [u8], &'a [u8]), ProtocolError> {
    const HEADER: &str = "the header Inference-Header-Content-Length";
    let Some(text) = json_length else { return Ok((body, &[])) };
    let length =
        text.parse().map_err(|_| fault(format!("{HEADER}: expected a number of bytes, found {}", shown(text))));
    let most = body.len();
    let length: usize = length?;
    body.split_at_checked(length)
        .ok_or_else(|| fault(format!("{HEADER}: expected at most the body's {most} bytes, found {length}")))
}

fn grid<T: Copy>(size: GridSize, values: &[T]) -> Grid<[T; CHANNELS]> {
    Grid::new(size, values.as_chunks().0.to_vec()).expect("as many values as the shape has")
}

impl<'a> InputJson<'a> {
    /// Rows and columns.
    fn size(&self, input: Input, max_pixels: usize) -> Result<GridSize, String> {
        if self.datatype != input.datatype() {
            return Err(format!("expected the datatype {}, found {}", input.datatype(), shown(&self.datatype)));
        }
        let text = self.shape.get();
        let Ok([rows, cols, CHANNELS]) = serde_json::from_str::<[usize; 3]>(text) else {
            return Err(format!("expected the shape [rows, columns, {CHANNELS}], found {}", shown(text)));
        };
        if rows.checked_mul(cols).is_none_or(|pixels| pixels == 0 || pixels > max_pixels) {
            return Err(format!("expected 1 to {max_pixels} pixels (--max-megapixels), found {rows} x {cols}"));
        }
        Ok(GridSize::new(rows, cols))
    }

    /// Where its values are; takes them off the binary data, if they are there.
    fn source(&self, input: Input, shape: [usize; 3], binary: &mut &'a [u8]) -> Result<Source<'a>, String> {
        let mut size = None;
        for (name, value) in pairs(self.parameters)? {
            if name != BINARY_SIZE {
                return Err(format!("unknown parameter {}; expected {BINARY_SIZE}", shown(&name)));
            }
            let found = value.get();
            let bytes: usize = serde_json::from_str(found)
                .map_err(|_| format!("{BINARY_SIZE}: expected a number of bytes, found {}", shown(found)))?;
            size = Some(bytes);
        }
        let size = match (self.data, size) {
            (Some(data), None) => return Ok(Source::Json(data)),
            (None, Some(size)) => size,
            (Some(_), Some(_)) => return Err(format!("expected data or {BINARY_SIZE}, found both")),
            (None, None) => return Err(format!("expected data or {BINARY_SIZE}, found neither")),
        };
        let each = match input {
            Input::Xyz => size_of::<f32>(),
            Input::Rgb => size_of::<u8>(),
        };
        let expected = shape.iter().try_fold(each, |bytes, side| bytes.checked_mul(*side));
        if expected != Some(size) {
            let expected = expected.map_or("more than there can be".into(), |bytes| bytes.to_string());
            return Err(format!("{BINARY_SIZE}: expected {expected} for the shape {shape:?}, found {size}"));
        }
        let (here, rest) = binary.split_at_checked(size).ok_or_else(|| {
            format!("expected {size} bytes of binary data after the JSON and earlier inputs, found {}", binary.len())
        })?;
        *binary = rest;
        Ok(Source::Binary(here))
    }
}

/// What a request says of the scan, and whether outputs are to be binary.
fn request_parameters(raw: Option<&RawValue>) -> Result<(Vec<(String, Parameter)>, bool), ProtocolError> {
    let (mut parameters, mut is_binary) = (Vec::new(), false);
    for (name, value) in pairs(raw).map_err(fault)? {
        if name == BINARY_OUTPUT {
            is_binary = flag(&name, value).map_err(fault)?;
            continue;
        }
        let value = match serde_json::from_str(value.get()) {
            Ok(text) => Parameter::Text(text),
            Err(_) => Parameter::Other(shown(value.get())),
        };
        parameters.push((name, value));
    }
    Ok((parameters, is_binary))
}

fn wanted(outputs: Vec<OutputJson<'_>>, is_binary: bool) -> Result<Vec<WantedOutput>, ProtocolError> {
    if outputs.is_empty() {
        return Ok(Output::ALL.map(|output| WantedOutput { output, is_binary }).to_vec());
    }
    let mut wanted: Vec<WantedOutput> = Vec::new();
    for OutputJson { name, parameters } in outputs {
        let output = Output::ALL.into_iter().find(|output| output.name() == name).ok_or_else(|| {
            let all = Output::ALL.map(Output::name).join(", ");
            fault(format!("unknown output {}; expected {all}", shown(&name)))
        })?;
        let named = |message: String| fault(format!("{name}: {message}"));
        if wanted.iter().any(|before| before.output == output) {
            return Err(named("expected once among the outputs, found again".into()));
        }
        let mut is_binary = is_binary;
        for (parameter, value) in pairs(parameters).map_err(named)? {
            if parameter != BINARY {
                return Err(named(format!("unknown parameter {}; expected {BINARY}", shown(&parameter))));
            }
            is_binary = flag(&parameter, value).map_err(named)?;
        }
        wanted.push(WantedOutput { output, is_binary });
    }
    Ok(wanted)
}

fn flag(name: &str, value: &RawValue) -> Result<bool, String> {
    let found = value.get();
    serde_json::from_str(found).map_err(|_| format!("{name}: expected true or false, found {}", shown(found)))
}

/// Names and values of an object of parameters.
fn pairs(raw: Option<&RawValue>) -> Result<Vec<(String, &RawValue)>, String> {
    struct Pairs<'a>(Vec<(String, &'a RawValue)>);
    struct ObjectVisitor;

    impl<'de> Visitor<'de> for ObjectVisitor {
        type Value = Pairs<'de>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Pairs<'de>, A::Error> {
            let mut pairs: Vec<(String, &RawValue)> = Vec::new();
            while let Some((name, value)) = object.next_entry::<String, &RawValue>()? {
                if pairs.iter().any(|(before, _)| *before == name) {
                    return Err(A::Error::custom(format!("{} stands there twice", shown(&name))));
                }
                pairs.push((name, value));
                if pairs.len() > MOST_PARAMETERS {
                    return Err(A::Error::custom(format!("expected at most {MOST_PARAMETERS}, found more")));
                }
            }
            Ok(Pairs(pairs))
        }
    }

    impl<'de> de::Deserialize<'de> for Pairs<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(ObjectVisitor)
        }
    }

    let Some(raw) = raw else { return Ok(Vec::new()) };
    serde_json::from_str::<Pairs<'_>>(raw.get())
        .map(|pairs| pairs.0)
        .map_err(|error| format!("parameters: {}", said(&error)))
}

#[cfg(test)]
mod tests;
