// The last layer: one output.

struct Parameters {
    input_stride: u32,  // vec4s
    rows: u32,          // vec4s
    inputs: u32,
    weight_stride: u32, // values between inputs
    first: u32,         // vec4s before the first output
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if (row >= p.rows) {
        return;
    }
    var sum = vec4<f32>(bias[0]);
    for (var k = 0u; k < p.inputs; k++) {
        sum = fma(x[k * p.input_stride + row], vec4<f32>(weights[k * p.weight_stride]), sum);
    }
    y[p.first + row] = sum;
}
