//! What a model file holds: a detector for one kind of part, or one for several.

use shapeguard_core::settings::Settings;

use crate::detector::{Detector, LoadedScan};
use crate::experts::Experts;
use crate::routed::{RoutedDetector, RoutedInspection, names};

/// A model of either kind.
#[derive(Debug)]
pub enum Model {
    /// It knows one kind of part.
    Single(Box<Detector>),
    /// It knows several.
    Routed(RoutedDetector),
}

/// A category that a model does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model has no category {name:?}; it has {known}; give one of these")]
pub struct UnknownCategory {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: String,
}

impl Model {
    /// The detectors, one for each category.
    pub fn detectors(&self) -> &[Detector] {
        match self {
            Self::Single(detector) => std::slice::from_ref(detector),
            Self::Routed(routed) => routed.detectors(),
        }
    }

    /// The detector of a category.
    ///
    /// # Errors
    /// If there is none.
    pub fn category(&self, name: &str) -> Result<&Detector, UnknownCategory> {
        self.detectors()
            .iter()
            .find(|detector| detector.provenance().name == name)
            .ok_or_else(|| UnknownCategory { name: name.to_owned(), known: names(self.detectors()).join(", ") })
    }

    /// The settings that it was fitted with.
    pub fn settings(&self) -> &Settings {
        self.detectors()[0].settings()
    }

    /// Its experts.
    pub fn experts(&self) -> &Experts {
        self.detectors()[0].experts()
    }

    /// The same model, whose experts and search run elsewhere.
    ///
    /// # Panics
    /// If they are other experts: a bug of the caller.
    #[must_use]
    pub fn with_experts(self, experts: Experts) -> Self {
        match self {
            Self::Single(detector) => Self::Single(Box::new(detector.with_experts(experts))),
            Self::Routed(routed) => Self::Routed(routed.with_experts(&experts)),
        }
    }

    /// Judges a scan: as a part of the category `given`, or of the one that it is routed to.
    pub fn inspect<'a>(&'a self, loaded: &LoadedScan, given: Option<&'a Detector>) -> RoutedInspection<'a> {
        let detector = match (given, self) {
            (Some(detector), _) => detector,
            (None, Self::Single(detector)) => detector,
            (None, Self::Routed(routed)) => return routed.inspect(loaded),
        };
        RoutedInspection { route: None, detector: Some(detector), outcome: detector.inspect(loaded) }
    }
}
