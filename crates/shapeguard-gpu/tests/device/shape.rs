use rayon::prelude::*;
use shapeguard_core::seams::ShapeExpert;
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture, builtin};
use shapeguard_gpu::GpuShapeExpert;

use crate::support::{on_device, points, relative_error};

/// Single precision, chains of at most 1,024 roundings, at most 10 layers; the processor fuses multiply-adds, a device
/// may not. The processor's own distance from double precision is bound by the same figure.
const TOLERANCE: f32 = 2e-5;

fn agrees(device: &GpuShapeExpert, cpu: &PointNetNif, patches: usize, patch_size: usize) {
    let (cloud, queries) = (points(patches * patch_size, 1), points(patches * patch_size, 2));
    let features = cpu.encode(&cloud, patch_size);
    let found = device.encode(&cloud, patch_size);
    assert_eq!((found.rows(), found.cols()), (patches, cpu.feature_dim()));
    let error = relative_error(found.as_slice(), features.as_slice());
    assert!(error < TOLERANCE, "features of {patches} patches of {patch_size} points: {error:e}");
    let expected = cpu.signed_distances(&features, &queries, patch_size);
    let error = relative_error(&device.signed_distances(&features, &queries, patch_size), &expected);
    assert!(error < TOLERANCE, "distances of {patches} patches of {patch_size} points: {error:e}");
}

/// Layers that fill no tile.
fn odd() -> ShapeArchitecture {
    ShapeArchitecture { encoder_point: vec![5, 33, 70], encoder_dense: vec![31, 9], nif_width: 45, nif_hidden: 2 }
}

#[test]
fn layers_and_patches_that_fill_no_tile_agree() {
    on_device(|gpu| {
        let cpu = PointNetNif::random(&odd(), 3);
        let device = GpuShapeExpert::new(&gpu, &cpu).unwrap();
        for (patches, patch_size) in [(1, 1), (3, 23), (130, 2), (2, 601)] {
            agrees(&device, &cpu, patches, patch_size);
        }
    });
}

#[test]
fn a_single_layer_before_the_maximum_agrees() {
    on_device(|gpu| {
        let shallow = ShapeArchitecture { encoder_point: vec![40], encoder_dense: vec![9], nif_hidden: 0, ..odd() };
        let cpu = PointNetNif::random(&shallow, 4);
        agrees(&GpuShapeExpert::new(&gpu, &cpu).unwrap(), &cpu, 150, 3);
    });
}

/// A scan of 256 patches of 261 points does not fit into a chunk of the widest layer: its chunks end within tiles, and the
/// maxima have exactly as many places as there are patches.
#[test]
fn scans_of_several_chunks_agree() {
    on_device(|gpu| {
        let wide =
            ShapeArchitecture { encoder_point: vec![512, 8], encoder_dense: vec![8], nif_width: 512, nif_hidden: 0 };
        let cpu = PointNetNif::random(&wide, 5);
        agrees(&GpuShapeExpert::new(&gpu, &cpu).unwrap(), &cpu, 256, 261);
    });
}

#[test]
fn the_experts_of_the_presets_agree() {
    on_device(|gpu| {
        for (name, patches) in [("compact", 10), ("paper", 1)] {
            let cpu = builtin(name).unwrap();
            agrees(&GpuShapeExpert::new(&gpu, &cpu).unwrap(), &cpu, patches, 500);
        }
    });
}

#[test]
fn many_threads_get_what_one_gets() {
    on_device(|gpu| {
        let cpu = PointNetNif::random(&odd(), 6);
        let device = GpuShapeExpert::new(&gpu, &cpu).unwrap();
        let scan = |seed: u64| {
            let cloud = points(20 * 12, seed);
            let features = device.encode(&cloud, 12);
            let distances = device.signed_distances(&features, &cloud, 12);
            (features, distances)
        };
        let one_by_one: Vec<_> = (0..16).map(scan).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
        let at_once: Vec<_> = pool.install(|| (0..16).into_par_iter().map(scan).collect());
        // To the last bit.
        assert!(one_by_one == at_once);
    });
}

#[test]
fn nothing_in_is_nothing_out() {
    on_device(|gpu| {
        let cpu = PointNetNif::random(&odd(), 7);
        let device = GpuShapeExpert::new(&gpu, &cpu).unwrap();
        let features = device.encode(&[], 5);
        assert_eq!((features.rows(), features.cols()), (0, 9));
        assert!(device.signed_distances(&features, &[], 5).is_empty());
    });
}
