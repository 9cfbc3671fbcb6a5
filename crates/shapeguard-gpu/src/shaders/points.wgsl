// The first layer: three coordinates, ReLU. Each thread makes OUTPUTS_PER_THREAD outputs of four rows.

struct Parameters {
    point_stride: u32,   // vec4s between coordinates
    first: u32,          // vec4s before the first row
    output_stride: u32,  // vec4s
    rows: u32,           // vec4s
    outputs: u32,        // a multiple of OUTPUTS_PER_THREAD
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> points: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

const OUTPUTS_PER_THREAD = 16u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if (row >= p.rows) {
        return;
    }
    // Rows that fill up a tile may lie beyond the last point.
    let point = min(p.first + row, p.point_stride - 1u);
    let a = points[point];
    let b = points[p.point_stride + point];
    let c = points[2u * p.point_stride + point];
    for (var i = 0u; i < OUTPUTS_PER_THREAD; i++) {
        let output = id.y * OUTPUTS_PER_THREAD + i;
        var sum = vec4<f32>(bias[output]);
        sum = fma(a, vec4<f32>(weights[output]), sum);
        sum = fma(b, vec4<f32>(weights[p.outputs + output]), sum);
        sum = fma(c, vec4<f32>(weights[2u * p.outputs + output]), sum);
        y[output * p.output_stride + row] = max(sum, vec4<f32>(0.0));
    }
}
