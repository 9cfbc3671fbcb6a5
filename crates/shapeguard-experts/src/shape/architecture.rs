//! Layer widths of the shape expert, what they cost, and the tensors that they need.

use serde::{Deserialize, Serialize};

/// Largest width of a layer that a weight file may ask for; the paper's widest has 1,024 outputs.
const MAX_WIDTH: usize = 4096;
/// Most layers in a row that a weight file may ask for; the paper has 7.
const MAX_LAYERS: usize = 32;
/// Most parameters that a weight file may ask for; the paper's expert has 3.2 million.
const MAX_PARAMETERS: usize = 32_000_000;
/// Coordinates of a point.
pub(super) const COORDINATES: usize = 3;

/// Layer widths of a shape expert (paper section 3.2; docs/method.md, "Shape expert").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeArchitecture {
    /// Outputs of the encoder's layers that all points share, up to the maximum over points.
    pub encoder_point: Vec<usize>,
    /// Outputs of the encoder's layers after the maximum; the last is the feature's length.
    pub encoder_dense: Vec<usize>,
    /// Width of every layer of the neural implicit function.
    pub nif_width: usize,
    /// Its layers between the merge of query and code and the output.
    pub nif_hidden: usize,
}

/// Why an architecture is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// A list of layers is empty or too long.
    #[error("`{list}` has {found} layers, expected 1 to {MAX_LAYERS}")]
    LayerCount {
        /// Field of [`ShapeArchitecture`].
        list: &'static str,
        /// Number of layers.
        found: usize,
    },
    /// A layer's width is out of range.
    #[error("`{list}` holds a width of {found}, expected 1 to {MAX_WIDTH}")]
    Width {
        /// Field of [`ShapeArchitecture`].
        list: &'static str,
        /// The width.
        found: usize,
    },
    /// The layers together are too large.
    #[error("the layers have {found} parameters, expected at most {MAX_PARAMETERS}")]
    Parameters {
        /// Number of parameters.
        found: usize,
    },
}

impl ShapeArchitecture {
    /// The paper's architecture: 3.2 million parameters, 2.1 million multiply-adds per query point (2.4 million, were
    /// what the feature alone decides not computed once per patch).
    pub fn paper() -> Self {
        Self { encoder_point: vec![64, 128, 1024], encoder_dense: vec![512, 128], nif_width: 512, nif_hidden: 7 }
    }

    /// The compact architecture of the preset `default`: about 37,000 multiply-adds per query point.
    pub fn compact() -> Self {
        Self { encoder_point: vec![32, 64, 128], encoder_dense: vec![128, 128], nif_width: 96, nif_hidden: 3 }
    }

    /// Length of a patch's feature.
    ///
    /// # Panics
    /// If the architecture has no dense layer; [`Self::check`] refuses that.
    pub fn feature_dim(&self) -> usize {
        *self.encoder_dense.last().expect("a checked architecture has a dense layer")
    }

    /// Refuses empty and absurdly large architectures.
    ///
    /// # Errors
    /// Names the field, what was expected and what arrived.
    pub fn check(&self) -> Result<(), ArchitectureError> {
        for (list, widths) in [("encoder_point", &self.encoder_point), ("encoder_dense", &self.encoder_dense)] {
            if widths.is_empty() || widths.len() > MAX_LAYERS {
                return Err(ArchitectureError::LayerCount { list, found: widths.len() });
            }
            check_widths(list, widths)?;
        }
        check_widths("nif_width", &[self.nif_width])?;
        if self.nif_hidden > MAX_LAYERS {
            return Err(ArchitectureError::LayerCount { list: "nif_hidden", found: self.nif_hidden });
        }
        match self.parameters() {
            found if found > MAX_PARAMETERS => Err(ArchitectureError::Parameters { found }),
            _ => Ok(()),
        }
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.tensor_shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Multiply-adds of encoding one patch.
    pub fn encoder_multiply_adds(&self, patch_size: usize) -> usize {
        let per_point: usize = chain(COORDINATES, &self.encoder_point).map(|(inputs, outputs)| inputs * outputs).sum();
        let after_maximum: usize =
            chain(self.pooled_dim(), &self.encoder_dense).map(|(inputs, outputs)| inputs * outputs).sum();
        patch_size * per_point + after_maximum
    }

    /// Multiply-adds per query point, with what depends on the feature alone computed once per patch.
    pub fn query_multiply_adds(&self) -> usize {
        let w = self.nif_width;
        COORDINATES * w + w * w + self.nif_hidden * w * w + w
    }

    /// Multiply-adds of the signed distances at one patch's query points.
    pub fn patch_multiply_adds(&self, patch_size: usize) -> usize {
        let w = self.nif_width;
        w * self.feature_dim() + w * w + patch_size * self.query_multiply_adds()
    }

    /// Names and shapes of the tensors of a weight file, in the order in which they are written.
    pub fn tensor_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = Vec::new();
        let mut layer = |name: String, inputs: usize, outputs: usize| {
            tensors.push((format!("{name}.weight"), vec![outputs, inputs]));
            tensors.push((format!("{name}.bias"), vec![outputs]));
        };
        for (i, (inputs, outputs)) in chain(COORDINATES, &self.encoder_point).enumerate() {
            layer(format!("encoder.point.{i}"), inputs, outputs);
        }
        for (i, (inputs, outputs)) in chain(self.pooled_dim(), &self.encoder_dense).enumerate() {
            layer(format!("encoder.dense.{i}"), inputs, outputs);
        }
        let w = self.nif_width;
        layer("nif.query".into(), COORDINATES, w);
        layer("nif.code".into(), self.feature_dim(), w);
        layer("nif.merge".into(), 2 * w, w);
        for i in 0..self.nif_hidden {
            layer(format!("nif.hidden.{i}"), w, w);
        }
        layer("nif.out".into(), w, 1);
        tensors
    }

    fn pooled_dim(&self) -> usize {
        *self.encoder_point.last().expect("a checked architecture has a point layer")
    }
}

fn check_widths(list: &'static str, widths: &[usize]) -> Result<(), ArchitectureError> {
    match widths.iter().find(|width| !(1..=MAX_WIDTH).contains(*width)) {
        Some(found) => Err(ArchitectureError::Width { list, found: *found }),
        None => Ok(()),
    }
}

/// (inputs, outputs) of consecutive layers.
fn chain(first_inputs: usize, outputs: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    std::iter::once(first_inputs).chain(outputs.iter().copied()).zip(outputs.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_architecture_has_its_published_size() {
        let paper = ShapeArchitecture::paper();
        // docs/method.md states 3,170,433 parameters with batch norm and weight norm. Folding drops the batch
        // norms' scales and shifts (2 x 1856) and the weight norms' lengths (7 x 512).
        assert_eq!(paper.parameters(), 3_170_433 - 2 * 1856 - 7 * 512);
        // 181 GMAC at 74,500 points without hoisting; hoisting removes W1 and half of W3.
        let unhoisted = paper.query_multiply_adds() + 512 * 128 + 512 * 512;
        assert!(((unhoisted * 74_500) as f64 / 1e9 - 181.0).abs() < 0.5);
    }

    #[test]
    fn the_compact_architecture_fits_its_budget() {
        let compact = ShapeArchitecture::compact();
        assert!(compact.query_multiply_adds() < 40_000, "{}", compact.query_multiply_adds());
        assert!(compact.encoder_multiply_adds(500) < 5_500_000, "{}", compact.encoder_multiply_adds(500));
    }

    #[test]
    fn absurd_architectures_are_refused() {
        let paper = ShapeArchitecture::paper;
        let cases = [
            (ShapeArchitecture { encoder_point: vec![], ..paper() }, "`encoder_point` has 0 layers"),
            (ShapeArchitecture { encoder_dense: vec![8; 33], ..paper() }, "`encoder_dense` has 33 layers"),
            (ShapeArchitecture { encoder_dense: vec![512, 0], ..paper() }, "holds a width of 0"),
            (ShapeArchitecture { nif_width: usize::MAX, ..paper() }, "`nif_width` holds a width of"),
            (ShapeArchitecture { nif_hidden: usize::MAX, ..paper() }, "`nif_hidden` has"),
            (ShapeArchitecture { nif_width: 4096, ..paper() }, "expected at most 32000000"),
        ];
        for (architecture, expected) in cases {
            let message = architecture.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
