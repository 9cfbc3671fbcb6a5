// Depthwise convolution, clamped. Each thread makes one pixel of one channel.

struct Parameters {
    side: u32,
    out_side: u32,
    map_stride: u32,     // values between channels
    output_stride: u32,  // values between channels
    kernel: u32,
    stride: u32,
    padding: u32,
    low: f32,
    high: f32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x;
    let channel = id.y;
    if (pixel >= p.out_side * p.out_side) {
        return;
    }
    let top = (pixel / p.out_side) * p.stride;
    let left = (pixel % p.out_side) * p.stride;
    var sum = bias[channel];
    for (var r = 0u; r < p.kernel; r++) {
        for (var c = 0u; c < p.kernel; c++) {
            // Above and left of the map the difference wraps around and is too large as well.
            let row = top + r - p.padding;
            let col = left + c - p.padding;
            if (row < p.side && col < p.side) {
                let weight = weights[(channel * p.kernel + r) * p.kernel + c];
                sum = fma(x[channel * p.map_stride + row * p.side + col], weight, sum);
            }
        }
    }
    y[channel * p.output_stride + pixel] = clamp(sum, p.low, p.high);
}
