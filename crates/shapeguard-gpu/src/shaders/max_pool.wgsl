// 3 x 3 maximum with stride 2 and one pixel of padding. Each thread makes one pixel of one channel.

struct Parameters {
    side: u32,
    out_side: u32,
    map_stride: u32,     // values between channels
    output_stride: u32,  // values between channels
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x;
    let channel = id.y;
    if (pixel >= p.out_side * p.out_side) {
        return;
    }
    // The map is nowhere negative.
    var largest = 0.0;
    for (var r = 0u; r < 3u; r++) {
        for (var c = 0u; c < 3u; c++) {
            let row = 2u * (pixel / p.out_side) + r - 1u;
            let col = 2u * (pixel % p.out_side) + c - 1u;
            if (row < p.side && col < p.side) {
                largest = max(largest, x[channel * p.map_stride + row * p.side + col]);
            }
        }
    }
    y[channel * p.output_stride + pixel] = largest;
}
