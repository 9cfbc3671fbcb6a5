//! Work for the device: kernels in their order, recorded, submitted at once, and waited for.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytemuck::Pod;
use wgpu::{Buffer, BufferUsages, ErrorFilter};

use crate::device::{Gpu, GpuError};
use crate::kernels::{Kernel, STORAGE_BINDINGS};

/// Works on the device at a time: enough that it computes while others are prepared and read, few enough for the memory.
const WORKS_IN_FLIGHT: usize = 4;
/// Free buffers that are kept; as many as the works in flight use.
const FREE_BUFFERS: usize = 16 * WORKS_IN_FLIGHT;
/// Every device can bind parameters at multiples of this.
const PARAMETER_STRIDE: usize = 256;
/// By then another thread has passed on what it knows of finished work, however busy the processor is.
const PASSED_ON_WITHIN: Duration = Duration::from_secs(60);
/// Smallest buffer: kernels bind no empty one.
const MIN_BUFFER_BYTES: u64 = 256;

/// What a kernel reads and writes: up to four buffers to read, then the output.
pub(crate) struct Bindings<'a> {
    pub(crate) inputs: &'a [&'a Buffer],
    pub(crate) output: &'a Buffer,
}

enum Step {
    Clear(Buffer),
    /// The buffers are those that the kernel reads, then the one that it writes.
    Dispatch {
        kernel: Kernel,
        buffers: [Buffer; STORAGE_BINDINGS + 1],
        groups: [u32; 3],
    },
}

/// Work that is being recorded.
pub(crate) struct Work<'g> {
    gpu: &'g Gpu,
    /// Of each dispatch, [`PARAMETER_STRIDE`] apart.
    parameters: Vec<u8>,
    steps: Vec<Step>,
    taken: Vec<Buffer>,
}

impl Gpu {
    /// Records work, submits it, waits, and returns the first values of the buffer that `record` names.
    ///
    /// # Errors
    /// If the device fails, now or earlier.
    pub(crate) fn run<T: Pod>(&self, record: impl FnOnce(&mut Work) -> (Buffer, usize)) -> Result<Vec<T>, GpuError> {
        let _place = self.limit.enter();
        self.check()?;
        self.try_run(record).map_err(|reason| self.fail(reason))
    }

    fn try_run<T: Pod>(&self, record: impl FnOnce(&mut Work) -> (Buffer, usize)) -> Result<Vec<T>, String> {
        let (submission, staging, taken) = self.guarded(|| {
            let mut work = Work { gpu: self, parameters: Vec::new(), steps: Vec::new(), taken: Vec::new() };
            let (result, values) = record(&mut work);
            work.submit(&result, (values * size_of::<T>()) as u64)
        })?;
        let (sender, receiver) = mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver outlives the wait.
            let _ = sender.send(result);
        });
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.device.poll(wait).map_err(|error| error.to_string())?;
        // A thread that polls or submits at the same time may have taken this answer along: then it is not here yet, but
        // that thread passes it on as soon as it runs.
        match receiver.recv_timeout(PASSED_ON_WITHIN) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("its results cannot be read: {error}")),
            Err(_) => return Err("it stopped before its work was done".into()),
        }
        // A lost device answers too, with anything.
        if let Some(GpuError::Failed { reason, .. }) = self.fault() {
            return Err(reason);
        }
        let view = staging.get_mapped_range(..).map_err(|error| format!("its results cannot be read: {error}"))?;
        let values = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        self.pool.give_back(taken);
        Ok(values)
    }

    /// Runs what makes and submits things of the device.
    ///
    /// # Errors
    /// What the device objects to.
    pub(crate) fn guarded<T>(&self, make: impl FnOnce() -> T) -> Result<T, String> {
        let scopes = [ErrorFilter::Internal, ErrorFilter::OutOfMemory, ErrorFilter::Validation]
            .map(|filter| self.device.push_error_scope(filter));
        let made = make();
        let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect::<Vec<_>>();
        match errors.first() {
            None => Ok(made),
            Some(wgpu::Error::OutOfMemory { .. }) => Err("it has not enough memory".into()),
            Some(error) => Err(error.to_string()),
        }
    }

    fn bind(&self, parameters: &Buffer, buffers: &[Buffer]) -> wgpu::BindGroup {
        let one = NonZero::new(PARAMETER_STRIDE as u64);
        let parameters = wgpu::BufferBinding { buffer: parameters, offset: 0, size: one };
        let parameters = wgpu::BindingResource::Buffer(parameters);
        let resources = std::iter::once(parameters).chain(buffers.iter().map(Buffer::as_entire_binding));
        let entries: Vec<_> =
            (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        let layout = &self.kernels.bindings;
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    /// A buffer that stays, with the given values.
    ///
    /// # Errors
    /// If the device has not enough memory, or failed.
    pub(crate) fn keep<T: Pod>(&self, values: &[T]) -> Result<Buffer, GpuError> {
        self.check()?;
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let made = self.guarded(|| {
            let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: (bytes.len() as u64).max(MIN_BUFFER_BYTES),
                usage: USAGE,
                mapped_at_creation: false,
            });
            self.queue.write_buffer(&buffer, 0, bytes);
            buffer
        });
        made.map_err(|reason| self.fail(reason))
    }
}

const USAGE: BufferUsages =
    BufferUsages::STORAGE.union(BufferUsages::UNIFORM).union(BufferUsages::COPY_DST).union(BufferUsages::COPY_SRC);

impl Work<'_> {
    /// A buffer of this work for so many values, which may hold anything.
    pub(crate) fn scratch(&mut self, values: usize) -> Buffer {
        let buffer = self.gpu.pool.take(&self.gpu.device, (values * size_of::<f32>()) as u64);
        self.taken.push(buffer.clone());
        buffer
    }

    /// A buffer of this work with the given values.
    pub(crate) fn upload<T: Pod>(&mut self, values: &[T]) -> Buffer {
        let buffer = self.scratch(size_of_val(values).div_ceil(size_of::<f32>()));
        self.gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        buffer
    }

    /// Stands for what a kernel does not look at; holds zeros.
    pub(crate) fn unused(&self) -> Buffer {
        self.gpu.kernels.unused.clone()
    }

    /// Fills a buffer with zeros.
    pub(crate) fn clear(&mut self, buffer: &Buffer) {
        self.steps.push(Step::Clear(buffer.clone()));
    }

    /// Runs a kernel after all that is recorded already.
    pub(crate) fn dispatch<P: Pod>(&mut self, kernel: Kernel, parameters: &P, bindings: Bindings, groups: [u32; 3]) {
        debug_assert!(size_of::<P>() <= PARAMETER_STRIDE);
        self.parameters.extend_from_slice(bytemuck::bytes_of(parameters));
        self.parameters.resize(self.parameters.len().next_multiple_of(PARAMETER_STRIDE), 0);
        let unused = &self.gpu.kernels.unused;
        let buffers = std::array::from_fn(|binding| match binding {
            STORAGE_BINDINGS => bindings.output.clone(),
            _ => bindings.inputs.get(binding).copied().unwrap_or(unused).clone(),
        });
        self.steps.push(Step::Dispatch { kernel, buffers, groups });
    }

    /// Submits everything; the last step copies `bytes` of the result to where the processor can read it.
    fn submit(mut self, result: &Buffer, bytes: u64) -> (wgpu::SubmissionIndex, Buffer, Vec<Buffer>) {
        let gpu = self.gpu;
        let parameters = self.upload(&self.parameters.clone());
        let mut offset = 0;
        let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT),
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut steps = self.steps.iter().peekable();
        while let Some(step) = steps.peek() {
            if let Step::Clear(buffer) = step {
                encoder.clear_buffer(buffer, 0, None);
                steps.next();
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            while let Some(Step::Dispatch { kernel, buffers, groups: [x, y, z] }) =
                steps.next_if(|step| matches!(step, Step::Dispatch { .. }))
            {
                pass.set_pipeline(gpu.kernels.pipeline(*kernel));
                pass.set_bind_group(0, &gpu.bind(&parameters, buffers), &[offset]);
                pass.dispatch_workgroups(*x, *y, *z);
                offset += PARAMETER_STRIDE as u32;
            }
        }
        encoder.copy_buffer_to_buffer(result, 0, &staging, 0, staging.size());
        let submission = gpu.queue.submit([encoder.finish()]);
        (submission, staging, self.taken)
    }
}

/// Buffers for the next work: to make them costs more than some kernels.
#[derive(Default)]
pub(crate) struct Pool {
    free: Mutex<Vec<Buffer>>,
}

impl Pool {
    /// A buffer of at least so many bytes.
    fn take(&self, device: &wgpu::Device, bytes: u64) -> Buffer {
        // Few sizes, so that buffers find a use again.
        let size = bytes.max(MIN_BUFFER_BYTES).next_power_of_two();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = free.iter().position(|buffer| buffer.size() == size) {
            return free.swap_remove(index);
        }
        drop(free);
        let size = size.min(device.limits().max_buffer_size).max(bytes);
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage: USAGE, mapped_at_creation: false })
    }

    /// Takes buffers back that the device is done with.
    fn give_back(&self, buffers: Vec<Buffer>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(buffers);
        let surplus = free.len().saturating_sub(FREE_BUFFERS);
        free.drain(..surplus);
    }
}

/// Bounds how much is on the device at a time.
#[derive(Default)]
pub(crate) struct Limit {
    works: Mutex<usize>,
    left: Condvar,
}

/// A place on the device; dropping it lets the next one in.
struct Place<'a>(&'a Limit);

impl Limit {
    fn enter(&self) -> Place<'_> {
        let works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |works: &mut usize| *works >= WORKS_IN_FLIGHT;
        let mut works = self.left.wait_while(works, is_full).unwrap_or_else(PoisonError::into_inner);
        *works += 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.works.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}
