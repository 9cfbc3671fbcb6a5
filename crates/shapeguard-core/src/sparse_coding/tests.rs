use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// Made by `tests/goldens/omp.py`.
const GOLDENS: &str = include_str!("../../tests/goldens/omp.json");

#[derive(Deserialize)]
struct Golden {
    name: String,
    nonzeros: usize,
    dimension: usize,
    signal: Vec<f32>,
    dictionary: Vec<f32>,
    /// One coefficient per atom.
    code: Vec<f32>,
    reconstruction: Vec<f32>,
    residual: f32,
}

#[test]
fn it_equals_scikit_learn() {
    let goldens: Vec<Golden> = serde_json::from_str(GOLDENS).unwrap();
    let mut names: Vec<&str> = goldens.iter().map(|golden| golden.name.as_str()).collect();
    names.dedup();
    let expected =
        ["normal", "duplicates", "dependent", "zero signal", "an atom", "negative", "fewer atoms", "colour size"];
    assert_eq!(names, expected);
    for golden in &goldens {
        let n = golden.dictionary.len() / golden.dimension;
        let dictionary = Matrix::from_vec(n, golden.dimension, golden.dictionary.clone());
        let code = orthogonal_matching_pursuit(&golden.signal, &dictionary, golden.nonzeros);
        let mut dense = vec![0.0f32; n];
        for (atom, coefficient) in code.atoms.iter().zip(&code.coefficients) {
            dense[*atom as usize] = *coefficient;
        }
        let close = |found: &[f32], wanted: &[f32], what: &str| {
            for (x, y) in found.iter().zip(wanted) {
                // 1e-4 is the project's tolerance; the goldens are rounded to 7 digits.
                assert!((x - y).abs() <= 1e-4, "{}: {what} {x} instead of {y}", golden.name);
            }
        };
        close(&dense, &golden.code, "coefficient");
        close(&code.reconstruction, &golden.reconstruction, "reconstruction");
        close(&[code.residual], &[golden.residual], "residual");
    }
}

#[test]
fn an_orthogonal_dictionary_gives_the_largest_projections() {
    let dictionary = Matrix::from_vec(3, 3, vec![2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    // Atoms are not normalised: the first, of length 2, is chosen first though its component is the smallest.
    let code = orthogonal_matching_pursuit(&[2.0, -3.0, 2.5], &dictionary, 2);
    assert_eq!(code.atoms, [0, 1]);
    assert_eq!(code.coefficients, [1.0, -3.0]);
    assert_eq!(code.reconstruction, [2.0, -3.0, 0.0]);
    assert_eq!(code.residual, 2.5);
}

#[test]
fn scaling_signal_and_atoms_scales_the_code() {
    let values: Vec<f32> = (0..40).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
    let signal: Vec<f32> = (0..8).map(|i| (i as f32 * 1.3).cos()).collect();
    // Powers of two, so that scaling is exact.
    let tiny = 2.0f32.powi(-20);
    let code = orthogonal_matching_pursuit(&signal, &Matrix::from_vec(5, 8, values.clone()), 3);
    let scaled_signal: Vec<f32> = signal.iter().map(|x| x * tiny).collect();
    let scaled = Matrix::from_vec(5, 8, values.iter().map(|x| x * tiny).collect());
    let scaled_code = orthogonal_matching_pursuit(&scaled_signal, &scaled, 3);
    assert_eq!(code.atoms.len(), 3);
    assert_eq!(code.atoms, scaled_code.atoms);
    assert_eq!(code.coefficients, scaled_code.coefficients);
    assert_eq!(code.residual * tiny, scaled_code.residual);
}

#[test]
fn no_atoms_and_no_numbers_do_not_panic() {
    let code = orthogonal_matching_pursuit(&[3.0, 4.0], &Matrix::zeros(0, 2), 3);
    assert!(code.atoms.is_empty());
    assert_eq!((code.reconstruction, code.residual), (vec![0.0, 0.0], 5.0));
    let nothing = orthogonal_matching_pursuit(&[3.0, 4.0], &Matrix::from_vec(1, 2, vec![1.0, 0.0]), 0);
    assert!(nothing.atoms.is_empty());
    let nan = orthogonal_matching_pursuit(&[f32::NAN, 4.0], &Matrix::from_vec(2, 2, vec![1.0, 0.0, 0.0, 1.0]), 2);
    assert!(nan.residual.is_nan());
}

proptest! {
    #[test]
    fn the_residual_never_grows_and_is_orthogonal_to_the_atoms(
        values in prop::collection::vec(-1.0f32..1.0, 6 * 12),
        signal in prop::collection::vec(-1.0f32..1.0, 12),
    ) {
        let dictionary = Matrix::from_vec(6, 12, values);
        let mut last = dot(&signal, &signal).sqrt() as f32;
        for nonzeros in 1..=6 {
            let code = orthogonal_matching_pursuit(&signal, &dictionary, nonzeros);
            // The squared residual is rounded to f32 once.
            prop_assert!(code.residual <= last * (1.0 + 1e-6));
            last = code.residual;
            let rest: Vec<f32> = signal.iter().zip(&code.reconstruction).map(|(s, r)| s - r).collect();
            for atom in &code.atoms {
                // Twelve f32 differences of magnitude at most about 2.
                prop_assert!(dot(dictionary.row(*atom as usize), &rest).abs() < 1e-4);
            }
        }
    }
}
