use super::*;

#[test]
fn patches_lie_on_their_surfaces() {
    let held_back = held_back_surface_patches(11, 200, 500);
    let (mut far, mut total) = (0, 0);
    for patch in &held_back {
        assert_eq!(patch.points.len(), 500);
        let extent = (0..3)
            .map(|axis| {
                let values = || patch.points.iter().map(|p| p[axis]);
                values().fold(f32::NEG_INFINITY, f32::max) - values().fold(f32::INFINITY, f32::min)
            })
            .fold(0.0, f32::max);
        assert!((extent - 1.0).abs() < 1e-4);
        for p in &patch.points {
            let (distance, _) = (patch.signed_distance)(*p);
            total += 1;
            // Noise of up to 0.2 spacings has its four-fold deviation at 0.8 of at least 20 spacings.
            far += usize::from(distance.abs() > 0.04);
        }
    }
    assert!(far * 200 < total, "{far} of {total}");
}

#[test]
fn signed_distances_have_unit_slope_and_lead_to_the_surface() {
    let mut random = random::generator(21, 0);
    let (mut wrong, mut total) = (0, 0);
    for patch in held_back_surface_patches(12, 100, 500) {
        for p in patch.points.iter().step_by(50) {
            let q = p.map(|x| x + 0.05 * random::normal(&mut random));
            let (distance, gradient) = (patch.signed_distance)(q);
            assert!((gradient.iter().map(|g| g * g).sum::<f32>() - 1.0).abs() < 1e-3);
            let pulled = [0, 1, 2].map(|axis| q[axis] - distance * gradient[axis]);
            let (rest, _) = (patch.signed_distance)(pulled);
            total += 1;
            // Not near the edges of cut solids and the steep walls of steps, where the distance is a bound.
            wrong += usize::from(rest.abs() > 0.005);
        }
    }
    assert!(wrong * 20 < total, "{wrong} of {total}");
}

#[test]
fn equal_seeds_give_equal_patches() {
    assert_eq!(surface_patches(3, 5, 500), surface_patches(3, 5, 500));
    assert_ne!(surface_patches(3, 1, 500), surface_patches(4, 1, 500));
}
