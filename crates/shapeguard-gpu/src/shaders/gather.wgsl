// Brings some rows of a bank side by side, feature by feature. Each thread brings four features of four rows.

struct Parameters {
    rows: u32,
    output_stride: u32,  // vec4s between features
    width: u32,          // vec4s of a row of the bank
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> wanted: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = 4u * id.x;
    if (id.x >= p.output_stride) {
        return;
    }
    // Beyond the last row the last one is repeated; its value there is not looked at.
    let last = p.rows - 1u;
    let a = bank[wanted[min(first, last)] * p.width + id.y];
    let b = bank[wanted[min(first + 1u, last)] * p.width + id.y];
    let c = bank[wanted[min(first + 2u, last)] * p.width + id.y];
    let d = bank[wanted[min(first + 3u, last)] * p.width + id.y];
    let columns = transpose(mat4x4<f32>(a, b, c, d));
    let at = 4u * id.y * p.output_stride + id.x;
    y[at] = columns[0];
    y[at + p.output_stride] = columns[1];
    y[at + 2u * p.output_stride] = columns[2];
    y[at + 3u * p.output_stride] = columns[3];
}
