//! Contact sheets of the simulator's categories, to judge them by eye: `cargo run --release -p shapeguard-data --example
//! contact_sheet -- FOLDER [CATEGORY...] [--seed N] [--samples N] [--strength X] [--overwrite]`.
//!
//! One PNG for each category. The first row shows good scans: colour, and depth as shading, with pixels without depth
//! in magenta. Then one row for each defect kind: the colour image with the truth outlined in green, the colour around
//! the defect, its depth shading with the outline, and the depth that the defect changed (red: nearer, blue: farther,
//! full colour at 1 mm; grey: the same).

use std::path::PathBuf;

use shapeguard_core::grid::{Grid, GridSize, Mask, RgbImage};
use shapeguard_core::sample::OrganizedCloud;
use shapeguard_data::simulator::{Category, DefectSpec, SimulatedScan, simulate_scan};
use shapeguard_data::{atomic_write, encode_rgb_png};

/// Side of one picture on the sheet, pixels.
const TILE: usize = 200;
const GREEN: [u8; 3] = [0, 255, 60];
const MAGENTA: [u8; 3] = [255, 0, 255];
/// Index of the first sample, apart from those of a suite's training scans.
const FIRST_SAMPLE: u64 = 500;

struct Options {
    folder: PathBuf,
    categories: Vec<Category>,
    seed: u64,
    samples: usize,
    strength: f32,
    overwrite: bool,
}

fn options() -> Result<Options, String> {
    let usage = "usage: contact_sheet FOLDER [CATEGORY...] [--seed N] [--samples N] [--strength X] [--overwrite]";
    let mut folder = None;
    let mut options = Options {
        folder: PathBuf::new(),
        categories: Vec::new(),
        seed: 1,
        samples: 7,
        strength: 1.0,
        overwrite: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value; {usage}"));
        fn number<T: std::str::FromStr>(option: &str, text: String) -> Result<T, String> {
            text.parse().map_err(|_| format!("{option}: expected a number, found \"{text}\""))
        }
        match arg.as_str() {
            "--seed" => options.seed = number("--seed", value()?)?,
            "--samples" => options.samples = number("--samples", value()?)?,
            "--strength" => options.strength = number("--strength", value()?)?,
            "--overwrite" => options.overwrite = true,
            "-h" | "--help" => return Err(usage.to_string()),
            _ if folder.is_none() => folder = Some(PathBuf::from(&arg)),
            name => options.categories.push(Category::by_name(name).ok_or_else(|| {
                let known: Vec<&str> = Category::list().iter().map(|category| category.name()).collect();
                format!("no category \"{name}\"; there are {}", known.join(", "))
            })?),
        }
    }
    options.folder = folder.ok_or(usage)?;
    if options.categories.is_empty() {
        options.categories = Category::list().to_vec();
    }
    if options.samples == 0 {
        return Err("--samples: expected at least 1, found 0".to_string());
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options()?;
    std::fs::create_dir_all(&options.folder)?;
    for &category in &options.categories {
        let sheet = sheet(category, &options);
        let path = options.folder.join(format!("{category}.png"));
        atomic_write(&path, options.overwrite, |file| {
            std::io::Write::write_all(file, &encode_rgb_png(&sheet).map_err(std::io::Error::other)?)
        })?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// A square of a scan: first row, first column, side.
#[derive(Clone, Copy)]
struct Crop {
    row: f32,
    col: f32,
    side: f32,
}

impl Crop {
    fn whole(size: GridSize) -> Self {
        let side = size.rows.max(size.cols) as f32;
        Self { row: 0.5 * (size.rows as f32 - side), col: 0.5 * (size.cols as f32 - side), side }
    }

    /// Around a mask, with as much again on each side; never less than 40 pixels.
    fn around(mask: &Mask) -> Self {
        let size = mask.size();
        let (mut low, mut high) = ([f32::MAX; 2], [0.0f32; 2]);
        for row in 0..size.rows {
            for col in 0..size.cols {
                if mask[(row, col)] {
                    low = [low[0].min(row as f32), low[1].min(col as f32)];
                    high = [high[0].max(row as f32), high[1].max(col as f32)];
                }
            }
        }
        if low[0] > high[0] {
            return Self::whole(size);
        }
        let extent = (high[0] - low[0]).max(high[1] - low[1]) + 1.0;
        let side = (2.0 * extent).clamp(40.0, size.rows.max(size.cols) as f32);
        Self { row: 0.5 * (low[0] + high[0] - side), col: 0.5 * (low[1] + high[1] - side), side }
    }

    /// One picture of the sheet, nearest pixel; black outside the scan.
    fn tile(&self, picture: &RgbImage) -> RgbImage {
        let size = picture.size();
        let at = |first: f32, i: usize| (first + (i as f32 + 0.5) * self.side / TILE as f32).floor();
        RgbImage::from_fn(GridSize::new(TILE, TILE), |i, j| {
            let (row, col) = (at(self.row, i), at(self.col, j));
            if row < 0.0 || col < 0.0 || row >= size.rows as f32 || col >= size.cols as f32 {
                return [0; 3];
            }
            picture[(row as usize, col as usize)]
        })
    }
}

/// The picture with the pixels just outside the mask in green.
fn outlined(picture: &RgbImage, mask: &Mask) -> RgbImage {
    let size = picture.size();
    RgbImage::from_fn(size, |row, col| {
        let near = [(row.wrapping_sub(1), col), (row + 1, col), (row, col.wrapping_sub(1)), (row, col + 1)];
        let touches = near.iter().any(|&(r, c)| r < size.rows && c < size.cols && mask[(r, c)]);
        if touches && !mask[(row, col)] { GREEN } else { picture[(row, col)] }
    })
}

/// Depth as shading under a light from the upper left.
fn shaded(cloud: &OrganizedCloud) -> RgbImage {
    let size = cloud.size();
    let point = |row: usize, col: usize| {
        let at = (row.min(size.rows - 1), col.min(size.cols - 1));
        cloud.valid()[at].then(|| cloud.points_m()[at])
    };
    RgbImage::from_fn(size, |row, col| {
        let Some(here) = point(row, col) else { return MAGENTA };
        let slope = |axis: usize, before: Option<[f32; 3]>, after: Option<[f32; 3]>| {
            let (a, b) = (before.unwrap_or(here), after.unwrap_or(here));
            let run = b[axis] - a[axis];
            if run.abs() > 1e-6 { (b[2] - a[2]) / run } else { 0.0 }
        };
        let dx = slope(0, point(row, col.saturating_sub(2)), point(row, col + 2));
        let dy = slope(1, point(row.saturating_sub(2), col), point(row + 2, col));
        let lit = (0.85 + 0.45 * (dx + dy)) / (1.0 + dx * dx + dy * dy).sqrt();
        [(190.0 * lit.clamp(0.05, 1.3)) as u8; 3]
    })
}

/// What the defect did to the depth: red where the surface came nearer, blue where it went away.
fn moved(good: &OrganizedCloud, bad: &OrganizedCloud) -> RgbImage {
    RgbImage::from_fn(good.size(), |row, col| {
        let at = (row, col);
        match (good.valid()[at], bad.valid()[at]) {
            (false, false) => [0; 3],
            (true, true) => {
                let mm = (good.points_m()[at][2] - bad.points_m()[at][2]) * 1000.0;
                let level = |share: f32| (128.0 * (1.0 - share.clamp(0.0, 1.0))) as u8;
                let strong = 128 + (127.0 * mm.abs().min(1.0)) as u8;
                match mm {
                    _ if mm > 0.0 => [strong, level(mm), level(mm)],
                    _ if mm < 0.0 => [level(-mm), level(-mm), strong],
                    _ => [128; 3],
                }
            }
            _ => MAGENTA,
        }
    })
}

fn sheet(category: Category, options: &Options) -> RgbImage {
    let kinds = category.defect_kinds();
    let scan = |i: usize, defect: Option<DefectSpec>| -> SimulatedScan {
        simulate_scan(category, options.seed, FIRST_SAMPLE + i as u64, defect)
    };
    let mut columns: Vec<Vec<RgbImage>> = Vec::with_capacity(options.samples);
    for i in 0..options.samples {
        let good = scan(i, None);
        let whole = Crop::whole(category.size());
        let mut column = vec![whole.tile(good.scan.rgb()), whole.tile(&shaded(good.scan.cloud()))];
        for &kind in kinds {
            let bad = scan(i, Some(DefectSpec { kind, strength: options.strength }));
            let close = Crop::around(&bad.truth);
            column.push(whole.tile(&outlined(bad.scan.rgb(), &bad.truth)));
            column.push(close.tile(bad.scan.rgb()));
            column.push(close.tile(&outlined(&shaded(bad.scan.cloud()), &bad.truth)));
            column.push(close.tile(&outlined(&moved(good.scan.cloud(), bad.scan.cloud()), &bad.truth)));
        }
        columns.push(column);
    }
    let size = GridSize::new(TILE * columns[0].len(), TILE * columns.len());
    Grid::from_fn(size, |row, col| columns[col / TILE][row / TILE][(row % TILE, col % TILE)])
}
