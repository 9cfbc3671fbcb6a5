//! Exact nearest neighbours, proposed by the device and chosen by the processor.
//!
//! As in `shapeguard_core::memory::ExactSearch`, products in single precision only propose: every row that may be among
//! the nearest, given a bound on the rounding error, is ranked by its exact distance. So the neighbours are the
//! same, whatever the device. A query that more rows than [`CANDIDATES`] come into question for (near-duplicates of
//! long features), or whose products may not be finite, is searched on the processor, with the same result.
//!
//! Banks are uploaded once and known again by the address of their shared values; a device keeps those used last, up to
//! [`BANK_BYTES`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use shapeguard_core::matrix::{Matrix, dot};
use shapeguard_core::memory::{Candidate, ExactSearch, FeatureBank, Proposal, choose, product_error};
use shapeguard_core::seams::{BankSearch, Neighbour};
use wgpu::Buffer;

use crate::device::{Gpu, GpuError};
use crate::kernels::{Finish, Kernel, SMALL, Source, THREADS, TILE_K};
use crate::layer::{LayerParameters, ROW_UNIT, groups, kernel};
use crate::work::{Bindings, Work};

/// Bytes of the banks that stay on the device: those of some ten categories of a hundred good scans each, which take some 30 MB each
/// with the embedded colour network; little beside the memory of any GPU.
const BANK_BYTES: usize = 1 << 30;
/// Rows of a bank that are compared at a time; their products with [`QUERIES`] take 64 MiB.
const PART_ROWS: usize = 65_536;
/// Bytes of such rows, which lie on the device twice.
const PART_BYTES: usize = 64 << 20;
/// Queries of one submission.
const QUERIES: usize = 256;
/// Candidates that a part may propose for a query; with the method's 5 to 10 neighbours there are hardly more of them.
const CANDIDATES: usize = 64;
/// Values that a query's proposal takes: their number, then row and value of each.
const PROPOSAL_VALUES: usize = 1 + 2 * CANDIDATES;

/// Bank search on a device.
pub struct GpuSearch {
    gpu: Arc<Gpu>,
    banks: Mutex<Vec<KnownBank>>,
}

/// A bank that is on the device; the one used last comes last.
struct KnownBank {
    /// Held weakly, so that the address stays this bank's.
    values: Weak<Vec<f32>>,
    on_device: Arc<DeviceBank>,
}

/// A bank on the device.
struct DeviceBank {
    /// Consecutive rows, each filled up with zeros to `width` values.
    parts: Vec<(Range<usize>, Buffer)>,
    width: usize,
    half_norms: Vec<f32>,
    largest_norm: f32,
}

/// `struct Parameters` of shaders/gather.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct GatherParameters {
    rows: u32,
    output_stride: u32,
    width: u32,
}

/// `struct Parameters` of shaders/select.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SelectParameters {
    rows: u32,
    value_stride: u32,
    wanted: u32,
    first: u32,
    output_stride: u32,
}

/// Rows of the search that lie in one part of the bank.
struct PartRows<'a> {
    /// Indices into `allowed`, or into the bank.
    range: Range<usize>,
    buffer: &'a Buffer,
    /// Rows of the part, in the order of `range`.
    rows: Vec<u32>,
    half_norms: Vec<f32>,
}

impl GpuSearch {
    /// A search on a device.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), banks: Mutex::default() }
    }

    /// The bank on the device, uploaded unless it is there.
    fn bank(&self, bank: &Matrix) -> Result<Arc<DeviceBank>, GpuError> {
        // Held while uploading: two threads with the same bank would do it twice.
        let mut banks = self.banks.lock().unwrap_or_else(PoisonError::into_inner);
        banks.retain(|known| known.values.strong_count() > 0);
        let is_it = |known: &&KnownBank| std::ptr::eq(known.values.as_ptr(), Arc::as_ptr(bank.shared()));
        if let Some(place) = banks.iter().position(|known| is_it(&known)) {
            let known = banks.remove(place);
            let on_device = Arc::clone(&known.on_device);
            banks.push(known);
            return Ok(on_device);
        }
        let on_device = Arc::new(DeviceBank::upload(&self.gpu, bank)?);
        banks.push(KnownBank { values: Arc::downgrade(bank.shared()), on_device: Arc::clone(&on_device) });
        // The new one stays, however large it is.
        while banks.len() > 1 && banks.iter().map(|known| known.on_device.bytes()).sum::<usize>() > BANK_BYTES {
            banks.remove(0);
        }
        Ok(on_device)
    }

    /// Each query's proposals, one of each part; `None` for a query with too many candidates.
    fn propose(
        &self,
        bank: &DeviceBank,
        parts: &[PartRows],
        queries: &Matrix,
        errors: &[f32],
        k: usize,
    ) -> Result<Vec<Option<Vec<Proposal>>>, GpuError> {
        let m = queries.rows();
        let found = self.gpu.run::<u32>(|work| {
            let columns = m.next_multiple_of(SMALL.outputs);
            let mut transposed = vec![0.0f32; bank.width * columns];
            for query in 0..m {
                for (i, value) in queries.row(query).iter().enumerate() {
                    transposed[i * columns + query] = *value;
                }
            }
            let query_values = work.upload(&transposed);
            let slack = work.upload(&errors.iter().map(|error| 2.0 * error).collect::<Vec<f32>>());
            let stride = |part: &PartRows| part.rows.len().next_multiple_of(ROW_UNIT);
            let longest = parts.iter().map(stride).max().unwrap_or_default();
            let gathered = work.scratch(bank.width * longest);
            let values = work.scratch(columns * longest);
            let proposals = work.scratch(parts.len() * m * PROPOSAL_VALUES);
            for (index, part) in parts.iter().enumerate() {
                let stride = stride(part);
                gather(work, part, stride, bank.width, &gathered);
                let mut half_norms = part.half_norms.clone();
                half_norms.resize(stride, 0.0);
                let half_norms = work.upload(&half_norms);
                // |b|^2 / 2 - <q, b>
                let product = LayerParameters {
                    has_extra: 1,
                    scale: -1.0,
                    ..LayerParameters::product(stride, bank.width, columns)
                };
                let (kernel, tile) = kernel(Source::Rows, Finish::Store, stride, columns);
                let unused = work.unused();
                let inputs = [&gathered, &query_values, &unused, &half_norms];
                let bindings = Bindings { inputs: &inputs, output: &values };
                work.dispatch(kernel, &product, bindings, groups(tile, stride, columns));
                let select = SelectParameters {
                    rows: part.rows.len() as u32,
                    value_stride: stride as u32,
                    wanted: k as u32,
                    first: (index * m * PROPOSAL_VALUES) as u32,
                    output_stride: PROPOSAL_VALUES as u32,
                };
                let bindings = Bindings { inputs: &[&values, &slack], output: &proposals };
                work.dispatch(Kernel::Select, &select, bindings, [m as u32, 1, 1]);
            }
            (proposals, parts.len() * m * PROPOSAL_VALUES)
        })?;
        let of_query = |query: usize| {
            let of_part = |(index, part): (usize, &PartRows)| {
                let found = &found[(index * m + query) * PROPOSAL_VALUES..][..PROPOSAL_VALUES];
                let pairs = found[1..].as_chunks::<2>().0.get(..found[0] as usize)?;
                let candidate = |[row, value]: &[u32; 2]| Candidate {
                    row: part.range.start as u32 + row,
                    value: f32::from_bits(*value),
                };
                Some(Proposal { candidates: pairs.iter().map(candidate).collect(), error: errors[query] })
            };
            parts.iter().enumerate().map(of_part).collect()
        };
        Ok((0..m).map(of_query).collect())
    }

    fn try_nearest(
        &self,
        bank: &FeatureBank,
        allowed: Option<&[u32]>,
        queries: &Matrix,
        k: usize,
    ) -> Result<Vec<Vec<Neighbour>>, GpuError> {
        let on_device = self.bank(bank)?;
        let parts = on_device.parts(allowed);
        let mut found = Vec::with_capacity(queries.rows());
        for first in (0..queries.rows()).step_by(QUERIES) {
            let block = queries.select_rows(first..(first + QUERIES).min(queries.rows()));
            let errors: Vec<f32> = (0..block.rows()).map(|query| on_device.error(block.row(query))).collect();
            let proposals = if errors.iter().all(|error| error.is_infinite()) {
                vec![None; block.rows()]
            } else {
                self.propose(&on_device, &parts, &block, &errors, k)?
            };
            let is_left = |query: usize| proposals[query].is_none() || errors[query].is_infinite();
            let left: Vec<usize> = (0..block.rows()).filter(|query| is_left(*query)).collect();
            tracing::debug!("{} of {} queries searched on the processor", left.len(), block.rows());
            let exact = ExactSearch.nearest(bank, allowed, &block.select_rows(left.iter().copied()), k);
            let mut exact: BTreeMap<usize, Vec<Neighbour>> = left.into_iter().zip(exact).collect();
            let chosen: Vec<Option<Vec<Neighbour>>> = (0..block.rows())
                .into_par_iter()
                .map(|query| match &proposals[query] {
                    Some(proposals) if !is_left(query) => {
                        Some(choose(block.row(query), bank, allowed, proposals.iter(), k))
                    }
                    _ => None,
                })
                .collect();
            found.extend(chosen.into_iter().enumerate().map(|(query, chosen)| {
                chosen.or_else(|| exact.remove(&query)).expect("every query is either chosen for or left")
            }));
        }
        Ok(found)
    }
}

impl BankSearch for GpuSearch {
    /// The rows that `ExactSearch` finds. Where the device fails, some allowed rows, whose distances are not numbers.
    ///
    /// # Panics
    /// If bank and queries have rows of different length, or `allowed` names a row that the bank does not have: bugs
    /// of the caller.
    fn nearest(&self, bank: &FeatureBank, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> Vec<Vec<Neighbour>> {
        let n = allowed.map_or(bank.rows(), <[u32]>::len);
        if n == 0 || k == 0 || bank.cols() == 0 {
            return vec![Vec::new(); queries.rows()];
        }
        assert_eq!(bank.cols(), queries.cols(), "queries must be as long as the bank's features");
        self.try_nearest(bank, allowed, queries, k).unwrap_or_else(|_| {
            let row = |index: usize| allowed.map_or(index as u32, |allowed| allowed[index]);
            let failed = |index| Neighbour { row: row(index), squared_distance: f32::NAN };
            vec![(0..n.min(k)).map(failed).collect(); queries.rows()]
        })
    }
}

impl DeviceBank {
    fn bytes(&self) -> usize {
        self.parts.iter().map(|(rows, _)| rows.len() * self.width * size_of::<f32>()).sum()
    }

    fn upload(gpu: &Gpu, bank: &Matrix) -> Result<Self, GpuError> {
        let width = bank.cols().next_multiple_of(TILE_K);
        let part_rows = (PART_BYTES / size_of::<f32>() / width).clamp(1, PART_ROWS);
        let parts = (0..bank.rows()).step_by(part_rows).map(|first| {
            let range = first..(first + part_rows).min(bank.rows());
            let mut values = vec![0.0f32; range.len() * width];
            for (row, values) in range.clone().zip(values.chunks_exact_mut(width)) {
                values[..bank.cols()].copy_from_slice(bank.row(row));
            }
            Ok((range, gpu.keep(&values)?))
        });
        let parts = parts.collect::<Result<_, _>>()?;
        let half_norms: Vec<f32> = bank.squared_row_norms().into_iter().map(|norm| 0.5 * norm).collect();
        // A maximum would hide what is no number.
        let is_finite = half_norms.iter().all(|norm| norm.is_finite());
        let largest = half_norms.iter().fold(0.0f32, |a, b| a.max(2.0 * b));
        let largest_norm = if is_finite { largest.sqrt() } else { f32::INFINITY };
        Ok(Self { parts, width, half_norms, largest_norm })
    }

    /// Bound on the error of a query's values; infinite where they may not be numbers.
    fn error(&self, query: &[f32]) -> f32 {
        let norm = dot(query, query).sqrt();
        // Devices may take numbers below the smallest normal one for zero.
        let underflow = (self.width + 4) as f32 * f32::MIN_POSITIVE * (1.0 + norm + self.largest_norm);
        let error = product_error(self.width, norm, self.largest_norm) + underflow;
        if error.is_finite() { error } else { f32::INFINITY }
    }

    /// The rows of the search in each part of the bank that has any.
    fn parts(&self, allowed: Option<&[u32]>) -> Vec<PartRows<'_>> {
        let mut next = 0;
        let mut parts = Vec::with_capacity(self.parts.len());
        for (in_part, buffer) in &self.parts {
            let (range, rows): (Range<usize>, Vec<u32>) = match allowed {
                None => (in_part.clone(), (0..in_part.len() as u32).collect()),
                Some(allowed) => {
                    let end = next + allowed[next..].partition_point(|row| (*row as usize) < in_part.end);
                    let rows = allowed[next..end].iter().map(|row| row - in_part.start as u32).collect();
                    let range = next..end;
                    next = end;
                    (range, rows)
                }
            };
            let half_norms = rows.iter().map(|row| self.half_norms[in_part.start + *row as usize]).collect();
            if !rows.is_empty() {
                parts.push(PartRows { range, buffer, rows, half_norms });
            }
        }
        assert!(allowed.is_none_or(|allowed| next == allowed.len()), "allowed rows must be rows of the bank");
        parts
    }
}

/// Brings the part's rows side by side, `[width, stride]`.
fn gather(work: &mut Work, part: &PartRows, stride: usize, width: usize, output: &Buffer) {
    let parameters = GatherParameters {
        rows: part.rows.len() as u32,
        output_stride: (stride / 4) as u32,
        width: (width / 4) as u32,
    };
    let wanted = work.upload(&part.rows);
    let groups = [(stride / 4).div_ceil(THREADS) as u32, (width / 4) as u32, 1];
    work.dispatch(Kernel::Gather, &parameters, Bindings { inputs: &[part.buffer, &wanted], output }, groups);
}
