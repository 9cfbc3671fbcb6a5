use shapeguard_core::seams::ShapeExpert;
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture};
use shapeguard_gpu::*;

fn points(n: usize, seed: u64) -> Vec<[f32; 3]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut coordinate = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| [coordinate(), coordinate(), coordinate()]).collect()
}

fn err(a: &[f32], b: &[f32]) -> f32 {
    let scale = b.iter().fold(0.0f32, |x, y| x.max(y.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale
}

#[test]
fn first() {
    let t = std::time::Instant::now();
    let gpu = Gpu::open(&DeviceChoice::Named("llvmpipe".into())).unwrap();
    println!("{} {:?}", gpu.name(), t.elapsed());
    for (arch, patches, size) in [
        (ShapeArchitecture { encoder_point: vec![5, 33, 70], encoder_dense: vec![31, 9], nif_width: 45, nif_hidden: 2 }, 3, 23),
        (ShapeArchitecture { encoder_point: vec![40], encoder_dense: vec![9], nif_width: 45, nif_hidden: 0 }, 150, 3),
        (ShapeArchitecture::compact(), 149, 500),
        (ShapeArchitecture::paper(), 4, 500),
    ] {
        let cpu = PointNetNif::random(&arch, 3);
        let expert = GpuShapeExpert::new(&gpu, &cpu).unwrap();
        let p = points(patches * size, 1);
        let q = points(patches * size, 2);
        let f = cpu.encode(&p, size);
        let t = std::time::Instant::now();
        let g = expert.encode(&p, size);
        println!("enc {:e} {:?}", err(g.as_slice(), f.as_slice()), t.elapsed());
        let d = cpu.signed_distances(&f, &q, size);
        let t = std::time::Instant::now();
        let e = expert.signed_distances(&f, &q, size);
        println!("nif {:e} {:?}", err(&e, &d), t.elapsed());
    }
}
