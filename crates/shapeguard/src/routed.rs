//! One model for several categories: a detector for each, and a router that tells which of them a scan shows, or that it shows
//! none (docs/method.md, "Routing"). All share their experts and settings, so that a scan is prepared once.

use shapeguard_core::routing::{Route, Router, RoutingError, UNKNOWN_FROM, descriptor};
use shapeguard_core::settings::Settings;

use crate::detector::{Detector, FittedCategory, Inspection, LoadedScan};
use crate::experts::Experts;
use crate::pipeline::{NotJudged, PreparedScan};

/// Categories that a message names before it counts the rest.
const NAMES_IN_MESSAGES: usize = 20;

/// Several detectors and what tells their categories apart.
#[derive(Debug)]
pub struct RoutedDetector {
    pub(crate) router: Router,
    pub(crate) detectors: Vec<Detector>,
}

/// Why categories cannot be one model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoutedError {
    /// There is none.
    #[error("a model needs at least one category, found none")]
    NoCategory,
    /// Two categories have one name.
    #[error("two categories are called {name:?}; expected names that differ; rename one of them")]
    SameName {
        /// The name.
        name: String,
    },
    /// Categories that were fitted differently.
    #[error(
        "the categories {first:?} and {other:?} were fitted with different settings or experts; expected the same for all; fit them again together"
    )]
    Different {
        /// A category.
        first: String,
        /// One that differs from it.
        other: String,
    },
    /// The router cannot learn.
    #[error("routing between {categories}: {source}")]
    Routing {
        /// The categories.
        categories: String,
        /// Why.
        source: RoutingError,
    },
}

/// What a model says of one scan.
#[derive(Debug)]
pub struct RoutedInspection<'a> {
    /// Where the scan was routed to; `None` if it was not, because the category was given, the model has but one, or no part was
    /// found.
    pub route: Option<Route>,
    /// The detector of the category that the scan was compared with; `None` if it was with none.
    pub detector: Option<&'a Detector>,
    /// What came of it.
    pub outcome: Result<Inspection, NotJudged>,
}

impl RoutedDetector {
    /// Puts fitted categories together, in their order.
    ///
    /// # Errors
    /// If there is none, two have the same name, they differ in settings or experts, or nothing tells them apart.
    pub fn new(categories: Vec<FittedCategory>) -> Result<Self, RoutedError> {
        let (detectors, descriptors): (Vec<_>, Vec<_>) =
            categories.into_iter().map(|category| (category.detector, category.descriptors)).unzip();
        check_together(&detectors)?;
        let router = Router::learn(&descriptors)
            .map_err(|source| RoutedError::Routing { categories: names(&detectors).join(", "), source })?;
        Ok(Self { router, detectors })
    }

    /// The detectors, one for each category.
    pub fn detectors(&self) -> &[Detector] {
        &self.detectors
    }

    /// What tells the categories apart.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The settings that all categories were fitted with.
    pub fn settings(&self) -> &Settings {
        self.detectors[0].settings()
    }

    /// The experts of all categories.
    pub fn experts(&self) -> &Experts {
        self.detectors[0].experts()
    }

    /// The same model, whose experts and search run elsewhere.
    ///
    /// # Panics
    /// If they are other experts: a bug of the caller.
    #[must_use]
    pub fn with_experts(self, experts: &Experts) -> Self {
        let place = |detector: Detector| detector.with_experts(experts.clone());
        Self { detectors: self.detectors.into_iter().map(place).collect(), ..self }
    }

    /// Where a scan belongs that was prepared by this model's experts and settings.
    pub fn route(&self, prepared: &PreparedScan) -> Route {
        self.router.route(&descriptor(&prepared.features))
    }

    /// Routes a scan and compares it with the category that it belongs to. A part of no category is not judged.
    pub fn inspect(&self, loaded: &LoadedScan) -> RoutedInspection<'_> {
        let prepared = match self.experts().prepare(loaded, self.settings()) {
            Ok(prepared) => prepared,
            Err(error) => return RoutedInspection { route: None, detector: None, outcome: Err(error) },
        };
        let route = self.route(&prepared);
        let nearest = &self.detectors[route.nearest];
        if route.is_known {
            let outcome = nearest.judge(prepared);
            return RoutedInspection { route: Some(route), detector: Some(nearest), outcome };
        }
        // What is no number is a fault of the expert or its device, not a part that nobody knows.
        let reason = if route.distance.is_finite() {
            self.unknown_part(&route)
        } else {
            NotJudged::NotFinite { score: route.distance }
        };
        RoutedInspection { route: Some(route), detector: None, outcome: Err(reason) }
    }

    fn unknown_part(&self, route: &Route) -> NotJudged {
        let all = names(&self.detectors);
        let mut known = all.iter().copied().take(NAMES_IN_MESSAGES).collect::<Vec<_>>().join(", ");
        if all.len() > NAMES_IN_MESSAGES {
            known += &format!(" and {} more", all.len() - NAMES_IN_MESSAGES);
        }
        NotJudged::UnknownPart {
            nearest: all[route.nearest].to_owned(),
            distance: route.distance,
            limit: UNKNOWN_FROM,
            known,
        }
    }
}

/// Makes sure that detectors can share a model.
///
/// # Errors
/// If there is none, two have the same name, or they differ in settings or experts.
pub(crate) fn check_together(detectors: &[Detector]) -> Result<(), RoutedError> {
    let first = detectors.first().ok_or(RoutedError::NoCategory)?;
    let mut sorted = names(detectors);
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(RoutedError::SameName { name: pair[0].to_owned() });
    }
    let made_by = |detector: &Detector| {
        let experts = &detector.experts;
        (detector.settings.clone(), experts.shape_identity.clone(), experts.appearance_identity.clone())
    };
    match detectors.iter().find(|detector| made_by(detector) != made_by(first)) {
        None => Ok(()),
        Some(other) => {
            Err(RoutedError::Different { first: first.provenance.name.clone(), other: other.provenance.name.clone() })
        }
    }
}

/// Names of the categories.
pub(crate) fn names(detectors: &[Detector]) -> Vec<&str> {
    detectors.iter().map(|detector| detector.provenance.name.as_str()).collect()
}
