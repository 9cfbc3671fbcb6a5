//! From what was found to an answer's bytes.

use serde::Serialize;
use utoipa::ToSchema;

use super::request::WantedOutput;

/// An answer.
#[derive(Debug)]
pub struct InferResponse {
    /// The model's name.
    pub model_name: String,
    /// The version's hash.
    pub model_version: String,
    /// What the client calls the request.
    pub id: Option<String>,
    /// The inspection that is kept.
    pub inspection: String,
    /// What was wanted.
    pub outputs: Vec<OutputTensor>,
}

/// A tensor of an answer.
#[derive(Debug)]
pub struct OutputTensor {
    /// Which, and how it is sent.
    pub wanted: WantedOutput,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, as many as the shape has.
    pub data: TensorData,
}

/// Values.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TensorData {
    /// FP32.
    Floats(Vec<f32>),
    /// BYTES.
    Texts(Vec<String>),
}

impl TensorData {
    /// Little-endian floats; texts, each behind its length of 4 bytes, little-endian.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Floats(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Texts(texts) => texts
                .iter()
                .flat_map(|text| {
                    // A verdict or a record: far below 4 GiB.
                    let length = u32::try_from(text.len()).expect("a short text").to_le_bytes();
                    length.into_iter().chain(text.bytes())
                })
                .collect(),
        }
    }
}

/// An answer's JSON.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferResponse)]
pub struct ResponseJson<'a> {
    /// The model's name.
    model_name: &'a str,
    /// The SHA-256 of the model's file.
    model_version: &'a str,
    /// The request's, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// What is said beside the tensors.
    parameters: ResponseParameters<'a>,
    /// The outputs that were wanted, in their order.
    outputs: Vec<OutputJson<'a>>,
}

/// What an answer says beside the tensors.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferResponseParameters)]
pub struct ResponseParameters<'a> {
    /// The inspection's id, as in /v1/inspections/ID.
    inspection: &'a str,
}

/// A tensor of an answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferOutput)]
pub struct OutputJson<'a> {
    /// Which.
    name: &'a str,
    /// Its shape.
    shape: &'a [usize],
    /// `FP32` or `BYTES`.
    datatype: &'a str,
    /// Of binary tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    /// Its values, row by row, unless they are binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    data: Option<&'a TensorData>,
}

/// Where a binary tensor is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BinaryTensor)]
pub struct BinarySize {
    /// Its bytes behind the JSON, in the order of outputs.
    binary_data_size: usize,
}

/// An answer's body.
#[derive(Debug)]
pub struct Encoded {
    /// The body.
    pub bytes: Vec<u8>,
    /// Where its JSON ends, if binary data is asked for.
    pub json_length: Option<usize>,
}

/// Writes an answer. Numbers in JSON have the digits of 32-bit floats.
pub fn encode(response: &InferResponse) -> Encoded {
    let InferResponse { model_name, model_version, id, inspection, outputs } = response;
    let mut binary = Vec::new();
    let mut tensors = Vec::with_capacity(outputs.len());
    for OutputTensor { wanted: WantedOutput { output, is_binary }, shape, data } in outputs {
        let parameters = is_binary.then(|| {
            let bytes = data.bytes();
            binary.extend_from_slice(&bytes);
            BinarySize { binary_data_size: bytes.len() }
        });
        let (name, datatype) = (output.name(), output.datatype());
        tensors.push(OutputJson { name, shape, datatype, parameters, data: (!is_binary).then_some(data) });
    }
    let parameters = ResponseParameters { inspection };
    let json = ResponseJson { model_name, model_version, id: id.as_deref(), parameters, outputs: tensors };
    // Plain texts, numbers and lists.
    let mut bytes = serde_json::to_vec(&json).expect("an answer as JSON");
    let json_length = outputs.iter().any(|output| output.wanted.is_binary).then_some(bytes.len());
    bytes.append(&mut binary);
    Encoded { bytes, json_length }
}

#[cfg(test)]
mod tests {
    use super::super::Output;
    use super::*;
    use serde_json::{Value, json};

    fn answer(is_binary: [bool; 3]) -> InferResponse {
        let tensor = |output, is_binary, shape: &[usize], data| OutputTensor {
            wanted: WantedOutput { output, is_binary },
            shape: shape.to_vec(),
            data,
        };
        InferResponse {
            model_name: "part".into(),
            model_version: "abc".into(),
            id: None,
            inspection: "7".into(),
            outputs: vec![
                tensor(Output::Verdict, is_binary[0], &[1], TensorData::Texts(vec!["good".into()])),
                tensor(Output::AnomalyMap, is_binary[1], &[1, 2], TensorData::Floats(vec![0.1, 16_777_216.0])),
                tensor(Output::Score, is_binary[2], &[0], TensorData::Floats(vec![])),
            ],
        }
    }

    #[test]
    fn json_has_the_digits_of_single_precision() {
        let Encoded { bytes, json_length } = encode(&answer([false; 3]));
        assert_eq!(json_length, None);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"model_name\":\"part\",\"model_version\":\"abc\",\"parameters\":{\"inspection\":\"7\"},\"outputs\":[\
             {\"name\":\"verdict\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"good\"]},\
             {\"name\":\"anomaly_map\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[0.1,16777216.0]},\
             {\"name\":\"score\",\"shape\":[0],\"datatype\":\"FP32\",\"data\":[]}]}"
        );
    }

    #[test]
    fn binary_tensors_follow_the_json_in_its_order() {
        let Encoded { bytes, json_length } = encode(&answer([true, false, true]));
        let (json, binary) = bytes.split_at(json_length.unwrap());
        let json: Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["outputs"][0]["parameters"], json!({"binary_data_size": 8}));
        assert_eq!((&json["outputs"][0]["data"], &json["outputs"][1]["parameters"]), (&Value::Null, &Value::Null));
        assert_eq!(json["outputs"][2]["parameters"], json!({"binary_data_size": 0}));
        assert_eq!(binary, b"\x04\0\0\0good");

        let Encoded { bytes, json_length } = encode(&answer([true; 3]));
        assert_eq!(bytes[json_length.unwrap()..], *b"\x04\0\0\0good\xcd\xcc\xcc\x3d\0\0\x80\x4b");
    }
}
