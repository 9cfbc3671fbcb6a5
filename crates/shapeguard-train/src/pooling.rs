//! Which point wins the maximum over a patch, for each output of the last shared layer.

use rayon::prelude::*;
use shapeguard_core::matrix::multiply_transposed;

/// The row of `h` with the largest product with each row of `weight`, patch after patch; the first, if several are equal.
///
/// # Shapes
/// - `h`: `[n_patches * patch_size, inputs]`, `weight`: `[outputs, inputs]`
/// - result: `n_patches * outputs` rows of `h`
pub(crate) fn winners(h: &[f32], weight: &[f32], patch_size: usize, inputs: usize) -> Vec<i64> {
    let outputs = weight.len() / inputs;
    let patches = h.len() / (patch_size * inputs);
    let mut winners = vec![0i64; patches * outputs];
    winners.par_chunks_mut(outputs).zip(h.par_chunks(patch_size * inputs)).enumerate().for_each_init(
        || (vec![0.0f32; patch_size * outputs], vec![0.0f32; outputs]),
        |(product, best), (patch, (winners, h))| {
            multiply_transposed(h, weight, product, patch_size, inputs, outputs, false);
            best.fill(f32::NEG_INFINITY);
            for (point, row) in product.chunks_exact(outputs).enumerate() {
                let index = (patch * patch_size + point) as i64;
                for ((best, winner), value) in best.iter_mut().zip(winners.iter_mut()).zip(row) {
                    let wins = *value > *best;
                    *winner = if wins { index } else { *winner };
                    *best = if wins { *value } else { *best };
                }
            }
        },
    );
    winners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_product_wins() {
        // Two patches of three points with two inputs; outputs x, -x and y.
        let h = [1.0, 0.0, 3.0, -1.0, 2.0, 5.0, -1.0, 0.0, 0.0, 1.0, 1.0, -2.0];
        let weight = [1.0, 0.0, -1.0, 0.0, 0.0, 1.0];
        assert_eq!(winners(&h, &weight, 3, 2), vec![1, 0, 2, 5, 3, 4]);
    }
}
