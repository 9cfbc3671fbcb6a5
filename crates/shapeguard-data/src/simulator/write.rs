//! Simulated scans on disk: the layout of MVTec 3D-AD, a whole category or nothing.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use shapeguard_core::grid::Mask;
use shapeguard_core::seams::Progress;

use super::category::Category;
use super::defect::DefectKind;
use super::scene::CameraParameters;
use super::{DefectSpec, SimulatedScan, simulate_scan};
use crate::{DataError, atomic_write, write_json, write_rgb_png, write_xyz_tiff};

/// Which part of a dataset a scan belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// To learn from.
    Train,
    /// Further good scans, for the threshold.
    Validation,
    /// To test with.
    Test,
}

impl Split {
    const fn folder(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// One scan of a simulated dataset: where it goes and what [`simulate_scan`] is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedScan {
    /// Part of the dataset.
    pub split: Split,
    /// Number within its folder: the file's name.
    pub number: usize,
    /// Index of the sample for the simulator.
    pub sample_index: u64,
    /// The defect, if it has one.
    pub defect: Option<DefectSpec>,
}

impl PlannedScan {
    /// The folder, within the category's, that holds its `rgb`, `xyz` and `gt`.
    pub fn folder(&self) -> PathBuf {
        Path::new(self.split.folder()).join(self.defect.map_or(crate::GOOD, |defect| defect.kind.name()))
    }

    /// The file's name without extension.
    pub fn name(&self) -> String {
        format!("{:03}", self.number)
    }
}

/// Writes the scans of a category into `root/CATEGORY`, all of them or none: into a temporary folder beside it, renamed
/// when it is complete. Calls `progress` scan by scan; returns the category's folder.
///
/// # Errors
/// If the folder exists and is not empty and `overwrite` is false; if anything cannot be written.
pub fn write_category(
    root: &Path,
    category: Category,
    seed: u64,
    scans: &[PlannedScan],
    overwrite: bool,
    progress: &dyn Progress,
) -> Result<PathBuf, DataError> {
    let target = root.join(category.name());
    let fail = |path: &Path, source: std::io::Error| DataError::Write { path: path.to_path_buf(), source };
    let occupied = match std::fs::read_dir(&target) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(fail(&target, error)),
    };
    if occupied && !overwrite {
        return Err(DataError::Exists { path: target });
    }
    std::fs::create_dir_all(root).map_err(|error| fail(root, error))?;
    let temporary =
        tempfile::Builder::new().prefix(".simulating-").tempdir_in(root).map_err(|error| fail(root, error))?;
    let building = temporary.path().join(category.name());
    write_json(
        &building.join("calibration").join("camera_parameters.json"),
        &CameraParameters::of(category.view()),
        false,
    )?;
    progress.begin(&format!("simulating {category}"), scans.len());
    let written = scans.par_iter().try_for_each(|planned| {
        let simulated = simulate_scan(category, seed, planned.sample_index, planned.defect);
        write_scan(&building, planned, &simulated)?;
        progress.step();
        Ok(())
    });
    progress.end();
    written?;
    // The old folder leaves only when the new one is whole.
    let aside = temporary.path().join("replaced");
    match std::fs::rename(&target, &aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(&target, error)),
        _ => {}
    }
    std::fs::rename(&building, &target).map_err(|error| fail(&target, error))?;
    Ok(target)
}

fn write_scan(category_folder: &Path, planned: &PlannedScan, simulated: &SimulatedScan) -> Result<(), DataError> {
    let folder = category_folder.join(planned.folder());
    let file = |modality: &str, extension: &str| folder.join(modality).join(planned.name()).with_extension(extension);
    write_rgb_png(&file("rgb", "png"), simulated.scan.rgb(), false)?;
    write_xyz_tiff(&file("xyz", "tiff"), simulated.scan.cloud(), false)?;
    // As in MVTec 3D-AD, tests have ground truth, good ones included.
    if planned.split == Split::Test {
        write_truth(&file("gt", "png"), &simulated.truth, planned.defect.map(|defect| defect.kind))?;
    }
    Ok(())
}

/// Writes a mask as grey PNG with the kind's own value.
fn write_truth(path: &Path, truth: &Mask, kind: Option<DefectKind>) -> Result<(), DataError> {
    let value = kind.map_or(0, DefectKind::mask_value);
    let size = truth.size();
    let pixels: Vec<u8> = truth.as_slice().iter().map(|set| if *set { value } else { 0 }).collect();
    atomic_write(path, false, |writer| {
        let mut encoder = png::Encoder::new(writer, size.cols as u32, size.rows as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut image = encoder.write_header().map_err(std::io::Error::other)?;
        image.write_image_data(&pixels).map_err(std::io::Error::other)?;
        image.finish().map_err(std::io::Error::other)
    })
}
