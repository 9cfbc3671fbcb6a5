//! A bank of features, and what a search keeps of it so that it need not look at every feature.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::search::Tree;
use crate::matrix::Matrix;

/// The features of a memory, one a row. It reads as the matrix that it is made of. What a search rules rows out by is computed when it is
/// first wanted, and belongs to the features: two banks are equal if their features are.
#[derive(Clone, Debug, Default)]
pub struct FeatureBank {
    features: Matrix,
    tree: OnceLock<Option<Arc<Tree>>>,
}

impl FeatureBank {
    /// Appends the rows of `other`.
    ///
    /// # Panics
    /// If the column counts differ: a bug of the caller.
    pub fn append(&mut self, other: &Matrix) {
        self.features.append(other);
        self.tree = OnceLock::new();
    }

    /// The features in an order in which most of them need not be looked at; `None` where that would not help a search.
    pub(super) fn tree(&self) -> Option<&Tree> {
        self.tree.get_or_init(|| Tree::new(&self.features).map(Arc::new)).as_deref()
    }
}

impl Deref for FeatureBank {
    type Target = Matrix;

    fn deref(&self) -> &Matrix {
        &self.features
    }
}

impl From<Matrix> for FeatureBank {
    fn from(features: Matrix) -> Self {
        Self { features, tree: OnceLock::new() }
    }
}

impl PartialEq for FeatureBank {
    fn eq(&self, other: &Self) -> bool {
        self.features == other.features
    }
}
