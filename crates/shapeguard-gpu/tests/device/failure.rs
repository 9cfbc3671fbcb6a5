//! A device that fails ends in results that are no numbers and in a reason, never in a panic or in wrong numbers.

use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::FeatureBank;
use shapeguard_core::seams::{BankSearch, ShapeExpert};
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture};
use shapeguard_gpu::{DeviceChoice, Gpu, GpuSearch, GpuShapeExpert};

use crate::support::{numbers, open, points};

#[test]
fn a_lost_device_gives_no_numbers_and_its_reason() {
    let Some(gpu) = open() else { return };
    let cpu = PointNetNif::random(&ShapeArchitecture::compact(), 1);
    let device = GpuShapeExpert::new(&gpu, &cpu).unwrap();
    let search = GpuSearch::new(&gpu);
    let (bank, cloud) = (FeatureBank::from(Matrix::from_vec(50, 4, numbers(200, 1))), points(20, 2));
    let features = device.encode(&cloud, 10);
    assert!(features.as_slice().iter().all(|value| value.is_finite()));
    assert!(gpu.fault().is_none());

    gpu.lose();
    assert!(device.encode(&cloud, 10).as_slice().iter().all(|value| value.is_nan()));
    assert!(device.signed_distances(&features, &cloud, 10).iter().all(|value| value.is_nan()));
    let found = search.nearest(&bank, Some(&[3, 4, 9]), &bank, 2);
    assert_eq!(found.len(), 50);
    assert!(found.iter().all(|found| found.iter().map(|one| one.row).eq([3, 4])));
    assert!(found.iter().flatten().all(|one| one.squared_distance.is_nan()));
    let fault = gpu.fault().expect("it was lost").to_string();
    assert!(fault.contains("failed: ") && fault.contains("run again"), "{fault}");
    assert!(GpuShapeExpert::new(&gpu, &cpu).is_err_and(|error| error.to_string() == fault));
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let error = Gpu::open(&DeviceChoice::Named("no such device".into())).unwrap_err().to_string();
    for part in ["device whose name contains \"no such device\"", "found", "CPU"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn choices_are_read_as_they_are_written() {
    assert_eq!("gpu".parse(), Ok(DeviceChoice::Any));
    assert_eq!("gpu:RTX 40".parse(), Ok(DeviceChoice::Named("RTX 40".into())));
    for wrong in ["", "cpu", "gpu:", "cuda"] {
        let error = wrong.parse::<DeviceChoice>().unwrap_err();
        assert!(error.contains("gpu:NAME"), "{error}");
    }
}
