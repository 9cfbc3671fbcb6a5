//! The file of a model for several categories (docs/model-file.md, "Models for several categories"): another container with the
//! router, the experts' weight files, and for each category the bytes of a model file without them.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::routing::Router;
use shapeguard_data::atomic_write;

use super::container::{Container, Draft, Fault, Tensor, Tensors, Values, digest};
use super::{
    APPEARANCE_EXPERT_FILE, AnyHeader, ModelFileError, SHAPE_EXPERT_FILE, at, bank, draft, expert_files, header, read,
    restore_experts, tensors_of,
};
use crate::experts::ExpertIdentity;
use crate::routed::{RoutedDetector, check_together};

/// What a header of such a model says it is.
const FORMAT: &str = "shapeguard-routed-model";
/// The newest version that this program reads and the one that it writes. That of each category's part is its own.
pub const ROUTED_VERSION: u32 = 1;
const MEAN: &str = "router_mean";
const WHITENING: &str = "router_whitening";
const CENTRES: &str = "router_centres";
const TYPICAL: &str = "router_typical";

/// The header: what is true of all categories.
#[derive(Serialize, Deserialize)]
struct RoutedHeader {
    format: String,
    version: u32,
    /// The categories, in the router's order.
    categories: Vec<String>,
    /// The shape expert.
    shape_expert: ExpertIdentity,
    /// The appearance expert.
    appearance_expert: ExpertIdentity,
    /// Version of the program that fitted it.
    program_version: String,
    /// SHA-256 over all tensors but the categories' parts, which have their own, by name.
    tensors_sha256: String,
}

/// Names of the tensors that hold the categories' parts begin so; no other tensor's name does.
const PART_PREFIX: &str = "category_";

/// The tensor that holds a category's part.
fn part_name(category: usize) -> String {
    format!("{PART_PREFIX}{category}")
}

/// Writes a model for several categories. The same model gives the same bytes.
///
/// # Errors
/// If the file exists and `overwrite` is off, or cannot be written; then nothing is left behind. If the settings are out of
/// range.
pub fn save_routed(model: &RoutedDetector, path: &Path, overwrite: bool) -> Result<(), ModelFileError> {
    let experts = model.experts();
    let floats = |values: &'_ [f32]| Tensor::list(Values::F32(values.to_vec().into()));
    let mut tensors = expert_files(experts);
    tensors.extend([
        (MEAN, floats(&model.router.mean)),
        (WHITENING, bank(&model.router.whitening)),
        (CENTRES, bank(&model.router.centres)),
        (TYPICAL, floats(&model.router.typical)),
    ]);
    let header = RoutedHeader {
        format: FORMAT.into(),
        version: ROUTED_VERSION,
        categories: model.detectors.iter().map(|detector| detector.provenance.name.clone()).collect(),
        shape_expert: experts.shape_identity.clone(),
        appearance_expert: experts.appearance_identity.clone(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        tensors_sha256: digest(&tensors),
    };
    let io = |source| ModelFileError::Io { path: path.into(), source };
    let header = serde_json::to_string(&header).map_err(|error| io(error.into()))?;
    let names: Vec<String> = (0..model.detectors.len()).map(part_name).collect();
    let mut tensors: BTreeMap<&str, Tensor<'_>> = tensors;
    for (name, detector) in names.iter().zip(&model.detectors) {
        let mut of_category = tensors_of(detector);
        expert_files(experts).keys().for_each(|shared| drop(of_category.remove(shared)));
        tensors.insert(name, Tensor::list(Values::Section(draft(detector, of_category, path)?)));
    }
    let draft = Draft::new(header, tensors).map_err(io)?;
    atomic_write(path, overwrite, |file| draft.write(file))?;
    Ok(())
}

/// Whether a container says that it is such a model.
pub(super) fn is_routed(container: &Container) -> bool {
    let any = container.header().ok().and_then(|text| serde_json::from_str::<AnyHeader>(text).ok());
    any.is_some_and(|header| header.format == FORMAT)
}

/// The categories that a container of such a model says it has; `None` of any other container.
pub(super) fn categories_of(container: &Container) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Categories {
        categories: Vec<String>,
    }
    let text = container.header().ok().filter(|_| is_routed(container))?;
    Some(serde_json::from_str::<Categories>(text).map_or_else(|_| Vec::new(), |header| header.categories))
}

/// Reads such a model from its container.
///
/// # Errors
/// As [`super::load`].
pub(super) fn load(mut container: Container, path: &Path) -> Result<RoutedDetector, ModelFileError> {
    let invalid = |message: String| ModelFileError::Invalid { path: path.into(), message };
    let outer = outer_header(&container, path)?;
    let count = outer.categories.len();
    let parts: Vec<String> = (0..count).map(part_name).collect();
    let dims = check_layout(&container, count, &parts).map_err(invalid)?;
    let (mut tensors, found) =
        container.read(|name| !name.starts_with(PART_PREFIX)).map_err(|fault| at(path, fault))?;
    if found != outer.tensors_sha256 {
        return Err(invalid("its content does not have the digest that its header states".into()));
    }
    let router = router(&mut tensors, count, dims).map_err(invalid)?;
    let experts = restore_experts(&mut tensors, &outer.shape_expert, &outer.appearance_expert, path)?;
    if dims != 2 * experts.appearance.feature_dim() {
        let feature = experts.appearance.feature_dim();
        return Err(invalid(format!(
            "its router takes {dims} values, expected 2 for each of the {feature} of the appearance expert's features"
        )));
    }
    let mut detectors = Vec::with_capacity(count);
    for (part, name) in parts.iter().zip(&outer.categories) {
        // What is wrong is told of the category, since a file has many.
        let of_category = |fault| match fault {
            Fault::Invalid(message) => Fault::Invalid(format!("category {name:?}: {message}")),
            io => io,
        };
        let in_category = |error| match error {
            ModelFileError::Invalid { path, message } => {
                ModelFileError::Invalid { path, message: format!("category {name:?}: {message}") }
            }
            other => other,
        };
        let section = container.section(part).map_err(|fault| at(path, of_category(fault)))?;
        if is_routed(&section) {
            return Err(invalid(format!("category {name:?}: expected a single category, found a model for several")));
        }
        let inner = header(&section, path).map_err(in_category)?;
        if inner.provenance.name != *name {
            let found = &inner.provenance.name;
            return Err(invalid(format!("expected the category {name:?} at its place, found {found:?}")));
        }
        if (&inner.shape_expert, &inner.appearance_expert) != (&outer.shape_expert, &outer.appearance_expert) {
            return Err(invalid(format!("the category {name:?} was fitted with other experts than the model has")));
        }
        detectors.push(read(section, inner, path, Some(&experts)).map_err(in_category)?);
    }
    check_together(&detectors).map_err(|error| invalid(error.to_string()))?;
    Ok(RoutedDetector { router, detectors })
}

fn outer_header(container: &Container, path: &Path) -> Result<RoutedHeader, ModelFileError> {
    let invalid = |message: String| ModelFileError::Invalid { path: path.into(), message };
    let damaged = |error: serde_json::Error| invalid(format!("its header is damaged ({error})"));
    let text = container.header().map_err(invalid)?;
    let any: AnyHeader = serde_json::from_str(text).map_err(damaged)?;
    if any.version > u64::from(ROUTED_VERSION) {
        return Err(ModelFileError::NewerRouted { path: path.into(), found: any.version });
    }
    if any.version == 0 {
        return Err(invalid("expected the version 1 or later, found 0".into()));
    }
    let header: RoutedHeader = serde_json::from_str(text).map_err(damaged)?;
    if header.categories.is_empty() {
        return Err(invalid("it has no category".into()));
    }
    Ok(header)
}

/// Checks names, number formats and shapes of all tensors, of which none is read; the length of a descriptor.
fn check_layout(container: &Container, count: usize, parts: &[String]) -> Result<usize, String> {
    let [dims]: [usize; 1] = container.shape(MEAN, Dtype::F32)?;
    let expect = |name: &str, found: &[usize], expected: &[usize]| {
        if found == expected {
            Ok(())
        } else {
            Err(format!("the tensor {name:?} must be {expected:?}, found {found:?}"))
        }
    };
    expect(WHITENING, &container.shape::<2>(WHITENING, Dtype::F32)?, &[dims, dims])?;
    expect(CENTRES, &container.shape::<2>(CENTRES, Dtype::F32)?, &[count, dims])?;
    expect(TYPICAL, &container.shape::<1>(TYPICAL, Dtype::F32)?, &[count])?;
    for name in parts.iter().map(String::as_str) {
        container.shape::<1>(name, Dtype::U8)?;
    }
    let experts = [SHAPE_EXPERT_FILE, APPEARANCE_EXPERT_FILE];
    for name in experts.into_iter().filter(|name| container.has(name)) {
        container.shape::<1>(name, Dtype::U8)?;
    }
    let known = [MEAN, WHITENING, CENTRES, TYPICAL].into_iter().chain(experts);
    let is_known = |name: &String| known.clone().any(|known| known == name) || parts.contains(name);
    match container.names().iter().find(|name| !is_known(name)) {
        Some(name) => Err(format!("it holds the tensor {name:?}, which no model of {count} categories has")),
        None => Ok(dims),
    }
}

fn router(tensors: &mut Tensors, count: usize, dims: usize) -> Result<Router, String> {
    let router = Router {
        mean: tensors.f32(MEAN)?,
        whitening: Matrix::from_vec(dims, dims, tensors.f32(WHITENING)?),
        centres: Matrix::from_vec(count, dims, tensors.f32(CENTRES)?),
        typical: tensors.f32(TYPICAL)?,
    };
    match router.typical.iter().find(|typical| **typical <= 0.0) {
        Some(typical) => Err(format!("the tensor {TYPICAL:?} holds {typical}, expected distances above 0")),
        None => Ok(router),
    }
}
