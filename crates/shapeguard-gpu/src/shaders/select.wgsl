// Of each query's values those that may be among the k smallest. A workgroup looks at one query; each thread at every
// THREADS-th value. The k-th smallest of the threads' minima bounds the k-th smallest value from above.

struct Parameters {
    rows: u32,           // values that count
    value_stride: u32,   // values between queries
    wanted: u32,         // k
    first: u32,          // values before the first query's
    output_stride: u32,  // values between queries: one for the count, two a candidate
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> values: array<f32>;
// Of each query, by how much its values may be off, twice.
@group(0) @binding(2) var<storage, read> slack: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<u32>;

const THREADS = 256u;
const LARGEST = 0x1.fffffep+127f;

var<workgroup> minima: array<f32, THREADS>;
var<workgroup> threshold: f32;
var<workgroup> count: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>) {
    let query = group.x;
    let own = thread.x;
    let base = query * p.value_stride;
    var least = LARGEST;
    for (var i = own; i < p.rows; i += THREADS) {
        least = min(least, values[base + i]);
    }
    minima[own] = least;
    if (own == 0u) {
        threshold = LARGEST;
        atomicStore(&count, 0u);
    }
    workgroupBarrier();
    var rank = 0u;
    for (var other = 0u; other < THREADS; other++) {
        let value = minima[other];
        rank += select(0u, 1u, value < least || (value == least && other < own));
    }
    // Exactly one thread has this rank. With more wanted than there are threads, all values count.
    if (rank + 1u == p.wanted) {
        threshold = least + slack[query];
    }
    workgroupBarrier();
    let limit = threshold;
    let start = p.first + query * p.output_stride;
    if (least <= limit) {
        for (var i = own; i < p.rows; i += THREADS) {
            let value = values[base + i];
            if (value <= limit) {
                let place = atomicAdd(&count, 1u);
                if (2u * place + 2u < p.output_stride) {
                    y[start + 2u * place + 1u] = i;
                    y[start + 2u * place + 2u] = bitcast<u32>(value);
                }
            }
        }
    }
    workgroupBarrier();
    if (own == 0u) {
        y[start] = atomicLoad(&count);
    }
}
