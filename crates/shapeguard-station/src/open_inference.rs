//! The Open Inference Protocol, version 2, as bytes: requests with a scan, answers with what was found (docs/station.md).
//!
//! Source: the protocol's REST description (kserve/open-inference-protocol, `inference_rest.md`), and Triton's extension for
//! binary tensor data (`extension_binary_data.md`). Left out, and refused: shared memory, classification, sequences, priorities,
//! and all datatypes but those of the tensors here. Beyond it: `null` for a coordinate, since JSON has no NaN.

pub mod data;
pub mod request;
pub mod response;

/// The header that says where the JSON ends and binary data begins.
pub const JSON_LENGTH_HEADER: &str = "inference-header-content-length";
/// What is supported beyond the protocol itself.
pub const EXTENSIONS: [&str; 1] = ["binary_tensor_data"];
/// What models here run on, in the protocol's words.
pub const PLATFORM: &str = "shapeguard";

/// A request that is not one of the protocol: what was expected, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProtocolError(String);

/// What a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The organized cloud.
    Xyz,
    /// The colour image of the same grid.
    Rgb,
}

impl Input {
    /// All of them; each is required.
    pub const ALL: [Self; 2] = [Self::Xyz, Self::Rgb];
    /// Shape of each: rows and columns as the scan has them, three channels.
    pub const SHAPE: [i64; 3] = [-1, -1, CHANNELS as i64];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xyz => "xyz",
            Self::Rgb => "rgb",
        }
    }

    /// The kind of its numbers.
    pub fn datatype(self) -> &'static str {
        match self {
            Self::Xyz => "FP32",
            Self::Rgb => "UINT8",
        }
    }
}

/// Numbers of a pixel, of either input.
pub const CHANNELS: usize = 3;

/// What an answer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// good, rejected or not-judged.
    Verdict,
    /// The fused score.
    Score,
    /// The score above which a part is rejected.
    Threshold,
    /// Share of good parts that score at least as high.
    PValue,
    /// The fused map on the scan's pixels.
    AnomalyMap,
    /// Everything that is kept of the inspection, as JSON.
    Record,
}

impl Output {
    /// All of them, in the order of answers to requests that name none.
    pub const ALL: [Self; 6] =
        [Self::Verdict, Self::Score, Self::Threshold, Self::PValue, Self::AnomalyMap, Self::Record];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Score => "score",
            Self::Threshold => "threshold",
            Self::PValue => "p_value",
            Self::AnomalyMap => "anomaly_map",
            Self::Record => "record",
        }
    }

    /// The kind of its elements.
    pub fn datatype(self) -> &'static str {
        match self {
            Self::Verdict | Self::Record => "BYTES",
            Self::Score | Self::Threshold | Self::PValue | Self::AnomalyMap => "FP32",
        }
    }

    /// Its shape, -1 where it depends on the scan: a number that there is not has no element.
    pub fn shape(self) -> &'static [i64] {
        match self {
            Self::Verdict | Self::Record => &[1],
            Self::Score | Self::Threshold | Self::PValue => &[-1],
            Self::AnomalyMap => &[-1, -1],
        }
    }
}
