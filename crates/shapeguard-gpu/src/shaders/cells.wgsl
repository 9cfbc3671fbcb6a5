// Pools a map into cells: a weighted sum over a window of rows and one of columns, rows first. Each thread makes one
// channel of one cell.

struct Parameters {
    side: u32,
    map_stride: u32,  // values between channels
    cell_side: u32,
    first: u32,       // channels of the cell before the map's
    cell_stride: u32, // values between cells
    longest: u32,     // weights of a window
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// Of each window the weights, zeros where it is shorter than the longest.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
// Of each window the first pixel.
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let cell = id.x;
    let channel = id.y;
    if (cell >= p.cell_side * p.cell_side) {
        return;
    }
    let row = cell / p.cell_side;
    let col = cell % p.cell_side;
    var sum = 0.0;
    for (var c = 0u; c < p.longest; c++) {
        let column = min(starts[col] + c, p.side - 1u);
        var down = 0.0;
        for (var r = 0u; r < p.longest; r++) {
            let line = min(starts[row] + r, p.side - 1u);
            down = fma(x[channel * p.map_stride + line * p.side + column], weights[row * p.longest + r], down);
        }
        sum = fma(down, weights[col * p.longest + c], sum);
    }
    y[cell * p.cell_stride + p.first + channel] = sum;
}
