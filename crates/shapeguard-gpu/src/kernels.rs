//! The kernels, compiled for a device. All have the same bindings: parameters, up to four buffers to read, one to write.

use std::borrow::Cow;
use std::fmt::Write;

use wgpu::{BindGroupLayout, BindingType, Buffer, BufferBindingType, BufferUsages, ComputePipeline, ErrorFilter};

/// Buffers that a kernel can read.
pub(crate) const STORAGE_BINDINGS: usize = 4;
/// Threads of a workgroup of the simple kernels, along the first axis.
pub(crate) const THREADS: usize = 64;
/// Outputs of a thread of [`Kernel::Points`].
pub(crate) const POINT_OUTPUTS: usize = 16;
/// Inputs that a layer's tile holds at a time; layers are filled up to multiples of it.
pub(crate) const TILE_K: usize = 16;

/// A tile of rows and outputs that a workgroup of a layer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Rows.
    pub(crate) rows: usize,
    /// Outputs.
    pub(crate) outputs: usize,
    /// Blocks of four rows, and of four outputs, of each thread.
    thread: (usize, usize),
}

/// For large layers: 64 sums a thread, 8 multiply-adds a value read from shared memory.
pub(crate) const LARGE: Tile = Tile { rows: 128, outputs: 128, thread: (2, 2) };
/// For small layers, of which a device's many units would have few large tiles.
pub(crate) const SMALL: Tile = Tile { rows: 64, outputs: 32, thread: (1, 1) };

/// Where a layer's rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Rows, feature by feature.
    Rows,
    /// The pixels under a convolution's kernel.
    Image,
}

/// What becomes of a layer's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Clamped and stored.
    Store,
    /// The maximum over a group of rows, after ReLU.
    Maximum,
}

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Layer { source: Source, finish: Finish, is_large: bool },
    Points,
    Single,
    Depthwise,
    MaxPool,
    Cells,
    Gather,
    Select,
}

const ALL: [Kernel; 13] = [
    layer(Source::Rows, Finish::Store, false),
    layer(Source::Rows, Finish::Store, true),
    layer(Source::Rows, Finish::Maximum, false),
    layer(Source::Rows, Finish::Maximum, true),
    layer(Source::Image, Finish::Store, false),
    layer(Source::Image, Finish::Store, true),
    Kernel::Points,
    Kernel::Single,
    Kernel::Depthwise,
    Kernel::MaxPool,
    Kernel::Cells,
    Kernel::Gather,
    Kernel::Select,
];

const fn layer(source: Source, finish: Finish, is_large: bool) -> Kernel {
    Kernel::Layer { source, finish, is_large }
}

impl Kernel {
    fn source(self) -> Cow<'static, str> {
        match self {
            Kernel::Layer { source, finish, is_large } => {
                layer_source(source, finish, if is_large { LARGE } else { SMALL }).into()
            }
            Kernel::Points => include_str!("shaders/points.wgsl").into(),
            Kernel::Single => include_str!("shaders/single.wgsl").into(),
            Kernel::Depthwise => include_str!("shaders/depthwise.wgsl").into(),
            Kernel::MaxPool => include_str!("shaders/max_pool.wgsl").into(),
            Kernel::Cells => include_str!("shaders/cells.wgsl").into(),
            Kernel::Gather => include_str!("shaders/gather.wgsl").into(),
            Kernel::Select => include_str!("shaders/select.wgsl").into(),
        }
    }
}

/// The compiled kernels.
pub(crate) struct Kernels {
    pub(crate) bindings: BindGroupLayout,
    /// Stands where a kernel reads nothing.
    pub(crate) unused: Buffer,
    pipelines: Vec<ComputePipeline>,
}

impl Kernels {
    /// Compiles all kernels.
    ///
    /// # Errors
    /// The name of a kernel that the driver refuses, and why.
    pub(crate) fn compile(device: &wgpu::Device) -> Result<Self, (String, String)> {
        let entry = |binding: usize, ty: BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: BindingType::Buffer { ty, has_dynamic_offset: binding == 0, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, BufferBindingType::Uniform)];
        entries.extend((1..=STORAGE_BINDINGS).map(|i| entry(i, BufferBindingType::Storage { read_only: true })));
        entries.push(entry(STORAGE_BINDINGS + 1, BufferBindingType::Storage { read_only: false }));
        let layout = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
        let bindings = device.create_bind_group_layout(&layout);
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let pipelines = ALL
            .iter()
            .map(|kernel| {
                let name = format!("{kernel:?}");
                let internal = device.push_error_scope(ErrorFilter::Internal);
                let validation = device.push_error_scope(ErrorFilter::Validation);
                let module = wgpu::ShaderModuleDescriptor {
                    label: Some(&name),
                    source: wgpu::ShaderSource::Wgsl(kernel.source()),
                };
                // The check would count along in every loop, and keep drivers from unrolling the inner ones.
                let checks =
                    wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
                // SAFETY: every loop of the shaders counts up to a bound that is fixed before it begins, so that none is
                // infinite; all other checks are on.
                let module = unsafe { device.create_shader_module_trusted(module, checks) };
                let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(&name),
                    layout: Some(&layout),
                    module: &module,
                    entry_point: Some("main"),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        // Every value of shared memory is written before it is read.
                        zero_initialize_workgroup_memory: false,
                        ..Default::default()
                    },
                    cache: None,
                });
                let errors = [pollster::block_on(validation.pop()), pollster::block_on(internal.pop())];
                match errors.into_iter().flatten().next() {
                    Some(error) => Err((name, error.to_string())),
                    None => Ok(pipeline),
                }
            })
            .collect::<Result<_, _>>()?;
        let unused = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 256,
            usage: BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        Ok(Self { bindings, unused, pipelines })
    }

    pub(crate) fn pipeline(&self, kernel: Kernel) -> &ComputePipeline {
        let index = ALL.iter().position(|one| *one == kernel).expect("every kernel that is used is in the list");
        &self.pipelines[index]
    }
}

/// Rows that lie feature by feature are read as they are.
const ROWS_SOURCE: &str = "fn source(k: u32, row: u32) -> vec4<f32> {
    return x[k * p.input_stride + row];
}";

/// Inputs are ordered kernel row, kernel column, channel. The pixel of the input under this part of the kernel, or zero
/// outside the map; above and left of it the difference wraps around and is too large as well.
const IMAGE_SOURCE: &str = "fn under_kernel(k: u32, pixel: u32) -> f32 {
    let channel = k % p.channels;
    let tap = k / p.channels;
    let row = (pixel / p.out_side) * p.stride + tap / p.kernel - p.padding;
    let col = (pixel % p.out_side) * p.stride + tap % p.kernel - p.padding;
    if (tap >= p.kernel * p.kernel || row >= p.side || col >= p.side) {
        return 0.0;
    }
    return x[channel * p.map_stride + row * p.side + col];
}

fn source(k: u32, row: u32) -> vec4<f32> {
    let pixel = 4u * row;
    return vec4<f32>(
        under_kernel(k, pixel),
        under_kernel(k, pixel + 1u),
        under_kernel(k, pixel + 2u),
        under_kernel(k, pixel + 3u),
    );
}";

const STORE: &str = "fn finish(output: u32, row: u32, sum: vec4<f32>) {
    var value = p.scale * sum;
    if (p.has_extra != 0u) {
        value += extra[output * p.extra_stride + row];
    }
    y[output * p.output_stride + row] = clamp(value, vec4<f32>(p.low), vec4<f32>(p.high));
}";

/// Numbers that are not negative are ordered like their bits, so that the maximum can be one of integers.
const MAXIMUM: &str = "fn finish(output: u32, row: u32, sum: vec4<f32>) {
    let largest = max(max(sum.x, sum.y), max(sum.z, sum.w));
    let group = p.first_group + row * 4u / p.group_rows;
    if (group < p.groups) {
        atomicMax(&y[output * p.output_stride + group], bitcast<u32>(max(largest, 0.0)));
    }
}";

/// The text of a layer's kernel: every register of a thread has a name of its own, since drivers may put what is indexed
/// into memory.
fn layer_source(source: Source, finish: Finish, tile: Tile) -> String {
    let (thread_rows, thread_outputs) = tile.thread;
    let (rows, outputs) = (tile.rows / 4, tile.outputs / 4);
    let (across, down) = (rows / thread_rows, outputs / thread_outputs);
    let (mut start, mut multiply, mut end) = (String::new(), String::new(), String::new());
    // Writing to a string cannot fail.
    for r in 0..thread_rows {
        let _ = writeln!(multiply, "            let x{r} = x_tile[kk * ROWS + {r}u * ACROSS + thread.x];");
    }
    for o in 0..thread_outputs {
        let _ = writeln!(multiply, "            let w{o} = w_tile[kk * OUTPUTS + {o}u * DOWN + thread.y];");
        for (lane, r) in (0..4).flat_map(|lane| (0..thread_rows).map(move |r| (lane, r))) {
            let output = format!("4u * (first_output + {o}u * DOWN + thread.y) + {lane}u");
            let row = format!("first_row + {r}u * ACROSS + thread.x");
            let sum = format!("sum{o}{lane}{r}");
            let _ = writeln!(start, "    var {sum} = bias_of({output}, {row});");
            let _ = writeln!(multiply, "            {sum} = fma(x{r}, vec4<f32>(w{o}[{lane}]), {sum});");
            let _ = writeln!(end, "    finish({output}, {row}, {sum});");
        }
    }
    let (source_type, source) = match source {
        Source::Rows => ("vec4<f32>", ROWS_SOURCE),
        Source::Image => ("f32", IMAGE_SOURCE),
    };
    let (output_type, finish) = match finish {
        Finish::Store => ("vec4<f32>", STORE),
        Finish::Maximum => ("atomic<u32>", MAXIMUM),
    };
    include_str!("shaders/layer.wgsl")
        .replace("$SOURCE_TYPE", source_type)
        .replace("$OUTPUT_TYPE", output_type)
        .replace("$SOURCE", source)
        .replace("$FINISH", finish)
        .replace("$TILE_K", &TILE_K.to_string())
        .replace("$ROWS", &rows.to_string())
        .replace("$OUTPUTS", &outputs.to_string())
        .replace("$ACROSS", &across.to_string())
        .replace("$DOWN", &down.to_string())
        .replace("$START", start.trim_end())
        .replace("$MULTIPLY", multiply.trim_end())
        .replace("$END", end.trim_end())
}
