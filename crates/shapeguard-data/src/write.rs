//! Writing files: whole or not at all, and never over an existing one without being told to.

use std::fs::File;
use std::io::{self, BufWriter, Cursor, Seek, Write};
use std::path::Path;

use serde::Serialize;
use shapeguard_core::grid::{Grid, Mask, RgbImage, ScoreMap};
use shapeguard_core::sample::OrganizedCloud;
use tempfile::NamedTempFile;
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, colortype};

use crate::error::DataError;
use crate::image_file::{encode_mask_png, encode_rgb_png};

/// Writes a file so that nobody ever sees half of it: into a temporary file of the same folder, flushed to the disk,
/// then renamed. Missing folders are made.
///
/// # Errors
/// If the file exists and `overwrite` is false, or anything cannot be written; the old file, if any, is then as it was.
pub fn atomic_write(
    path: &Path,
    overwrite: bool,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), DataError> {
    let fail = |source: io::Error| DataError::Write { path: path.to_path_buf(), source };
    let exists = || DataError::Exists { path: path.to_path_buf() };
    if path.file_name().is_none() {
        return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file")));
    }
    // Early, so that nothing long is computed in vain; the rename below makes sure.
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(fail)?;
    let temporary = temporary_in(folder).map_err(fail)?;
    let (file, temporary) = temporary.into_parts();
    let mut writer = BufWriter::new(file);
    write(&mut writer).map_err(fail)?;
    let file = writer.into_inner().map_err(|error| fail(error.into_error()))?;
    file.sync_all().map_err(fail)?;
    drop(file);
    if overwrite {
        temporary.persist(path).map_err(|error| fail(error.error))?;
    } else {
        temporary.persist_noclobber(path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists(),
            _ => fail(error.error),
        })?;
    }
    // The rename itself reaches the disk with the folder; not every system lets a folder be opened for it.
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    Ok(())
}

/// Makes sure, before long work, that its results can be written to a folder, which need not exist yet. Leaves nothing
/// behind; what changes until the results are there can still make writing them fail.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn check_folder(folder: &Path) -> Result<(), DataError> {
    let fail = |source| DataError::Write { path: folder.to_path_buf(), source };
    // What there is of it; the rest would be made in there.
    let existing = folder.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    if !existing.is_dir() {
        let message = format!("{} is not a folder", existing.display());
        return Err(fail(io::Error::new(io::ErrorKind::NotADirectory, message)));
    }
    // Asking for permissions would not tell of a read-only disk.
    temporary_in(existing).map(drop).map_err(fail)
}

fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".shapeguard-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As a plain new file: the umask takes its part away.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Writes a cloud as MVTec 3D-AD does: a float32 TIFF of three channels, metres, `(0,0,0)` where there is no point;
/// deflate-compressed.
///
/// # Errors
/// As [`atomic_write`].
pub fn write_xyz_tiff(path: &Path, cloud: &OrganizedCloud, overwrite: bool) -> Result<(), DataError> {
    atomic_write(path, overwrite, |writer| encode_tiff(writer, cloud.points_m()))
}

/// Coordinates, in whatever unit and with whatever stands for no point, as the bytes of the TIFF that [`write_xyz_tiff`]
/// writes.
///
/// # Errors
/// If a TIFF cannot hold so much.
pub fn encode_xyz_tiff(points: &Grid<[f32; 3]>) -> Result<Vec<u8>, DataError> {
    let mut bytes = Cursor::new(Vec::new());
    encode_tiff(&mut bytes, points)
        .map_err(|source| DataError::Write { path: "cloud to be written".into(), source })?;
    Ok(bytes.into_inner())
}

fn encode_tiff(writer: impl Write + Seek, points: &Grid<[f32; 3]>) -> io::Result<()> {
    let size = points.size();
    let other = |error: tiff::TiffError| match error {
        tiff::TiffError::IoError(error) => error,
        error => io::Error::other(error),
    };
    // `Fast`: floats hardly shrink further, and the simulator writes thousands.
    let mut encoder =
        TiffEncoder::new(writer).map_err(other)?.with_compression(Compression::Deflate(DeflateLevel::Fast));
    let values = points.as_slice().as_flattened();
    encoder.write_image::<colortype::RGB32Float>(size.cols as u32, size.rows as u32, values).map_err(other)
}

/// Writes a colour image as PNG.
///
/// # Errors
/// As [`atomic_write`].
pub fn write_rgb_png(path: &Path, image: &RgbImage, overwrite: bool) -> Result<(), DataError> {
    let bytes = encode_rgb_png(image)?;
    atomic_write(path, overwrite, |writer| writer.write_all(&bytes))
}

/// Writes a mask as a grey PNG, 255 where it is set.
///
/// # Errors
/// As [`atomic_write`].
pub fn write_mask_png(path: &Path, mask: &Mask, overwrite: bool) -> Result<(), DataError> {
    let bytes = encode_mask_png(mask)?;
    atomic_write(path, overwrite, |writer| writer.write_all(&bytes))
}

/// Writes the valid points as a binary PLY with `x, y, z` in metres, `red, green, blue`, and the anomaly score as
/// `scalar_score`, the name under which point-cloud viewers offer a scalar field.
///
/// # Errors
/// As [`atomic_write`].
///
/// # Panics
/// If the three grids differ in size: a bug of the caller.
pub fn write_coloured_ply(
    path: &Path,
    cloud: &OrganizedCloud,
    colours: &RgbImage,
    scores: &ScoreMap,
    overwrite: bool,
) -> Result<(), DataError> {
    assert_eq!(cloud.size(), colours.size(), "one colour per point");
    assert_eq!(cloud.size(), scores.size(), "one score per point");
    atomic_write(path, overwrite, |writer| {
        write!(
            writer,
            "ply\nformat binary_little_endian 1.0\ncomment written by shapeguard, metres\nelement vertex {}\n\
             property float x\nproperty float y\nproperty float z\n\
             property uchar red\nproperty uchar green\nproperty uchar blue\nproperty float scalar_score\nend_header\n",
            cloud.valid().count()
        )?;
        let points = cloud.points_m().as_slice().iter().zip(cloud.valid().as_slice());
        for (((point, valid), colour), score) in points.zip(colours.as_slice()).zip(scores.as_slice()) {
            if *valid {
                let mut vertex = [0; 19];
                for (bytes, value) in vertex.chunks_exact_mut(4).zip(point) {
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
                vertex[12..15].copy_from_slice(colour);
                vertex[15..].copy_from_slice(&score.to_le_bytes());
                writer.write_all(&vertex)?;
            }
        }
        Ok(())
    })
}

/// Writes a value as indented JSON with a final newline.
///
/// # Errors
/// As [`atomic_write`].
pub fn write_json(path: &Path, value: &impl Serialize, overwrite: bool) -> Result<(), DataError> {
    atomic_write(path, overwrite, |writer| {
        serde_json::to_writer_pretty(&mut *writer, value)?;
        writer.write_all(b"\n")
    })
}
