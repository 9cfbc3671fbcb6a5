use super::*;
use crate::parameters::Parameters;
use crate::random;
use shapeguard_core::seams::ShapeExpert;

fn small() -> ShapeArchitecture {
    ShapeArchitecture { encoder_point: vec![8, 16, 32], encoder_dense: vec![16, 12], nif_width: 24, nif_hidden: 3 }
}

/// Parameters away from their start, so that norms, shifts and biases matter.
fn shaken(architecture: &ShapeArchitecture) -> Parameters {
    let mut parameters = Parameters::new(architecture, 5);
    let mut random = random::generator(6, 0);
    for parameter in &mut parameters.list {
        for value in &mut parameter.values {
            *value = *value * random::between(&mut random, 0.7, 1.3) + 0.05 * random::normal(&mut random);
        }
    }
    parameters
}

/// Points of a few bowls.
fn bowls(patches: usize, patch_size: usize, seed: u64) -> Vec<[f32; 3]> {
    let mut random = random::generator(seed, 1);
    (0..patches)
        .flat_map(|patch| {
            let points: Vec<_> = (0..patch_size)
                .map(|_| {
                    let (x, y) = (random::between(&mut random, -0.5, 0.5), random::between(&mut random, -0.5, 0.5));
                    [x, y, (patch as f32 - 1.5) * (x * x + 0.5 * y * y)]
                })
                .collect();
            points
        })
        .collect()
}

#[test]
fn the_chain_is_the_gradient() {
    let device = Device::flex();
    let parameters = shaken(&small());
    let leaves = Leaves::new(&parameters, &device);
    let (features, _) = leaves.encode(&bowls(3, 50, 1), 50, &device);
    let queries = bowls(3, 40, 2);
    let distance =
        |queries: &[[f32; 3]]| values(leaves.nif().field(features.clone(), points_tensor(queries, &device)).distance);
    let field = leaves.nif().field(features.clone(), points_tensor(&queries, &device));
    let (s, gradient) = (values(field.distance), values(field.gradient));
    let pulled = values(leaves.nif().pull(features.clone(), points_tensor(&queries, &device)));
    // Within a linear piece of the network the central difference is exact up to rounding (about 1e-7 / 1e-3 = 1e-4
    // relative); a query whose difference crosses a kink of a ReLU is off by up to the kink, so a few may be.
    let step = 1e-3;
    let mut wrong = 0;
    for axis in 0..3 {
        let moved = |by: f32| {
            let mut moved = queries.clone();
            moved.iter_mut().for_each(|q| q[axis] += by);
            distance(&moved)
        };
        for (i, (after, before)) in moved(step).iter().zip(moved(-step)).enumerate() {
            let numeric = (after - before) / (2.0 * step);
            wrong += usize::from((numeric - gradient[3 * i + axis]).abs() > 2e-3);
        }
    }
    assert!(wrong <= 18, "{wrong} of {}", 3 * queries.len());
    for (i, query) in queries.iter().enumerate() {
        let g = &gradient[3 * i..3 * i + 3];
        let length = (g.iter().map(|x| x * x).sum::<f32>() + 1e-12).sqrt();
        for axis in 0..3 {
            let expected = query[axis] - s[i] * g[axis] / length;
            assert!((pulled[3 * i + axis] - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn training_follows_the_gradient_of_the_loss_through_the_chain() {
    let parameters = shaken(&small());
    let points = bowls(3, 50, 1);
    let (queries, targets) = (bowls(3, 40, 2), bowls(3, 40, 3));
    let device = Device::flex().autodiff();
    let loss = |parameters: &Parameters| {
        let leaves = Leaves::new(parameters, &device);
        let (features, _) = leaves.encode(&points, 50, &device);
        let pulled = leaves.nif().pull(features, points_tensor(&queries, &device));
        (mean_distance(pulled, points_tensor(&targets, &device)), leaves)
    };
    let (value, leaves) = loss(&parameters);
    let gradients: Vec<_> = leaves.gradients(&value).into_iter().map(values).collect();
    assert!(gradients.iter().flatten().all(|g| g.is_finite()));
    // Moves a whole tensor along its own gradient: the loss must change by |gradient| per unit. The loss jumps where a
    // ReLU's kink passes a query, so each step is so short that hardly any does, and two of three steps must agree. The
    // loss then changes by 1e-5 or more, of which single precision loses a few percent.
    let mut checked = 0;
    for (i, gradient) in gradients.iter().enumerate() {
        let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        // The shift before the maximum is subtracted again by the next batch norm where the maximum is positive.
        if length < 1e-4 {
            continue;
        }
        let along = |by: f32| {
            let mut moved = parameters.clone();
            moved.list[i].values.iter_mut().zip(gradient).for_each(|(value, g)| *value += by * g / length);
            loss(&moved).0.into_scalar::<f32>()
        };
        let numeric = [3e-5, 1.5e-5, 1e-5].map(|change| {
            let step = change / length;
            (along(step) - along(-step)) / (2.0 * step)
        });
        let agreeing = numeric.iter().filter(|numeric| (**numeric - length).abs() < 0.1 * length).count();
        let name = &parameters.list[i].name;
        assert!(agreeing >= 2, "{name}: {numeric:?} {length}");
        checked += 1;
    }
    assert!(checked + 1 >= gradients.len(), "{checked} of {}", gradients.len());
}

#[test]
fn statistics_are_those_of_the_layer() {
    let device = Device::flex();
    let parameters = shaken(&small());
    let points = bowls(4, 50, 7);
    let (_, statistics) = Leaves::new(&parameters, &device).encode(&points, 50, &device);
    let first = statistics.into_iter().next().unwrap().read();
    // The first layer, point by point, in double precision.
    let weight = &parameters.list[0];
    for (output, row) in weight.values.chunks_exact(3).enumerate() {
        let x: Vec<f64> =
            points.iter().map(|p| row.iter().zip(p).map(|(w, p)| f64::from(*w) * f64::from(*p)).sum()).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        assert!((f64::from(first.mean[output]) - mean).abs() < 1e-5);
        assert!((f64::from(first.variance[output]) - variance).abs() < 1e-5);
    }
}

#[test]
fn folding_agrees_with_inference() {
    let device = Device::flex();
    for architecture in [small(), ShapeArchitecture::compact()] {
        let parameters = shaken(&architecture);
        let points = bowls(4, 50, 8);
        let leaves = Leaves::new(&parameters, &device);
        let (features, statistics) = leaves.encode(&points, 50, &device);
        let statistics: Vec<_> = statistics.into_iter().map(Moments::read).collect();
        let expert = crate::folding::fold(&parameters, &statistics).unwrap();
        // With the statistics of this very batch, inference must give this batch's features.
        let inferred = expert.encode(&points, 50);
        let features_here = values(features.clone());
        for (a, b) in features_here.iter().zip(inferred.as_slice()) {
            // Single precision through five layers of values of about 1.
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        let queries = bowls(4, 50, 9);
        let here = values(leaves.nif().field(features, points_tensor(&queries, &device)).distance);
        let inferred = expert.signed_distances(&inferred, &queries, 50);
        for (a, b) in here.iter().zip(&inferred) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}
