//! The appearance expert's half: the shape-guided dictionary, the cells' residuals, and their way to pixels (paper
//! section 3.3).

use crate::grid::{Grid, GridSize, Mask, ScoreMap};
use crate::matrix::Matrix;
use crate::memory::DualMemory;
use crate::scoring::{LeaveOut, rebuild_features};
use crate::seams::{BankSearch, CELL_PX, Neighbour};
use crate::settings::{AppearanceMetric, MemorySettings};

/// The RGB rows that a sample is compared with, ascending, without those of a sample that is left out; `None` is the
/// whole bank. Guided by shape, it is the union of the cells of **all** neighbours of all patches, not only of the
/// few that a sparse code uses. In a thinned bank it may be empty ([`cell_residuals`]).
pub fn dictionary(
    neighbours: &[Vec<Neighbour>],
    memory: &DualMemory,
    settings: &MemorySettings,
    leave_out: LeaveOut,
) -> Option<Vec<u32>> {
    if settings.shape_guided {
        let linked = memory.linked_rows(neighbours.iter().flatten().map(|neighbour| neighbour.row));
        // An SDF row only knows cells of its own sample, so the neighbours have left the sample out already.
        debug_assert!(linked.iter().all(|row| LeaveOut::Sample(memory.appearance_sample[*row as usize]) != leave_out));
        Some(linked)
    } else {
        match leave_out {
            LeaveOut::Sample(sample) => Some(memory.appearance_rows_without(sample)),
            LeaveOut::Nothing | LeaveOut::Nearest => None,
        }
    }
}

/// What cells were compared with, and how well that rebuilt them.
#[derive(Clone, Debug, PartialEq)]
pub struct CellResiduals {
    /// The nearest dictionary rows of each cell.
    pub neighbours: Vec<Vec<Neighbour>>,
    /// The residual of each cell, in the memory's metric; in Euclid's until that is learnt.
    pub residuals: Vec<f32>,
    /// What each cell's feature differs by from its reconstruction, `[n, d]`: only where a metric is yet to be learnt of it.
    pub differences: Option<Matrix>,
}

/// The residual of each of the given cells. Rows of a left-out sample the dictionary does not have; [`LeaveOut::Nearest`] is
/// heeded here. Where the dictionary is empty, nothing rebuilds a cell, and its residual is its feature's length.
///
/// # Shapes
/// - `appearance`: `[n_cells, appearance_dim]`, the features of all cells of the sample, a square number of them
pub fn cell_residuals(
    appearance: &Matrix,
    cells: &[u32],
    memory: &DualMemory,
    dictionary: Option<&[u32]>,
    search: &dyn BankSearch,
    settings: &MemorySettings,
    leave_out: LeaveOut,
) -> CellResiduals {
    let queries = appearance.select_rows(cells.iter().map(|cell| *cell as usize));
    let k = settings.appearance_neighbours;
    let neighbours = leave_out.nearest(search, &memory.appearance, dictionary, &queries, k);
    let (coding, nonzeros) = (settings.appearance_coding, settings.nonzeros);
    let rebuilt = rebuild_features(&queries, &memory.appearance, &neighbours, coding, nonzeros);
    let residuals = rebuilt.residuals;
    match (settings.appearance_metric, &memory.appearance_metric) {
        (AppearanceMetric::Euclidean, _) => CellResiduals { neighbours, residuals, differences: None },
        (AppearanceMetric::Mahalanobis, Some(metric)) => {
            let residuals = metric.lengths(&differences(&queries, &rebuilt.features, &residuals));
            CellResiduals { neighbours, residuals, differences: None }
        }
        (AppearanceMetric::Mahalanobis, None) => {
            let differences = Some(differences(&queries, &rebuilt.features, &residuals));
            CellResiduals { neighbours, residuals, differences }
        }
    }
}

/// Features minus their reconstructions; no numbers where a residual is none (a search that failed).
fn differences(features: &Matrix, rebuilt: &Matrix, residuals: &[f32]) -> Matrix {
    let mut differences = features.clone();
    for (row, residual) in residuals.iter().enumerate() {
        let difference = differences.row_mut(row);
        match residual.is_nan() {
            true => difference.fill(f32::NAN),
            false => difference.iter_mut().zip(rebuilt.row(row)).for_each(|(x, y)| *x -= y),
        }
    }
    differences
}

/// Values of some cells on the square grid of all; 0 elsewhere.
pub fn cell_grid(cells: &[u32], values: impl IntoIterator<Item = f32>, side: usize) -> Grid<f32> {
    let mut grid = Grid::filled(GridSize::new(side, side), 0.0);
    for (cell, value) in cells.iter().zip(values) {
        grid.as_mut_slice()[*cell as usize] = value;
    }
    grid
}

/// Brings cells to pixels by bilinear interpolation with half-pixel centres; beyond the outermost centres a cell's
/// value continues.
pub fn upsample_cells(cells: &Grid<f32>) -> ScoreMap {
    let size = cells.size();
    let positions = |n: usize| -> Vec<(usize, usize, f32)> {
        (0..n * CELL_PX)
            .map(|pixel| {
                let position = ((pixel as f32 + 0.5) / CELL_PX as f32 - 0.5).clamp(0.0, (n - 1) as f32);
                let low = position.floor() as usize;
                (low, (low + 1).min(n - 1), position - low as f32)
            })
            .collect()
    };
    let (rows, cols) = (positions(size.rows), positions(size.cols));
    Grid::from_fn(GridSize::new(rows.len(), cols.len()), |row, col| {
        let ((top, bottom, down), (left, right, across)) = (rows[row], cols[col]);
        let upper = cells[(top, left)] * (1.0 - across) + cells[(top, right)] * across;
        let lower = cells[(bottom, left)] * (1.0 - across) + cells[(bottom, right)] * across;
        upper * (1.0 - down) + lower * down
    })
}

/// The pixels of the given cells of a square grid. These count as scored: a pixel of another cell that interpolation reaches from
/// beside blends a score with nothing.
pub fn pixels_of_cells(cells: &[u32], grid_side: usize) -> Mask {
    let mut has_score = vec![false; grid_side * grid_side];
    for cell in cells {
        has_score[*cell as usize] = true;
    }
    let pixels = grid_side * CELL_PX;
    Mask::from_fn(GridSize::new(pixels, pixels), |row, col| has_score[row / CELL_PX * grid_side + col / CELL_PX])
}
