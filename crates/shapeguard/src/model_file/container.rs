//! The safetensors container of a model, read and written one tensor after the other: beside the tensors themselves only
//! a small buffer is in memory, and what a header claims is compared with the file's size before anything is
//! allocated.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest, Sha256};

/// Largest model file that is read: 16 GiB, some 5 million RGB features of Wide-ResNet-50-2.
const MAX_FILE_BYTES: u64 = 16 << 30;
/// Largest header that is read: up to 17 tensors and the settings take some 5 kB; the rest is room for long names and paths.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Bytes of the number that opens the file: the header's length.
const LENGTH_BYTES: u64 = 8;
/// Bytes that are read or written at a time.
const CHUNK_BYTES: usize = 1 << 16;
/// Key of our own header in the safetensors metadata.
const HEADER_KEY: &str = "shapeguard";

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// Not a model, or a damaged one: what was expected, what was found.
    Invalid(String),
}

impl Fault {
    /// A file that ends early is a damaged one; everything else is up to the system.
    fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Invalid("it is truncated: it ends amid its content".into()),
            _ => Self::Io(error),
        }
    }
}

/// A tensor's values.
pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    U32(Cow<'a, [u32]>),
    U8(Cow<'a, [u8]>),
    /// The bytes of another container; only to be written.
    Section(Draft<'a>),
}

impl Values<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U32(_) => Dtype::U32,
            Self::U8(_) | Self::Section(_) => Dtype::U8,
        }
    }

    fn byte_len(&self) -> usize {
        match self {
            Self::F32(values) => size_of_val(&**values),
            Self::U32(values) => size_of_val(&**values),
            Self::U8(values) => values.len(),
            Self::Section(draft) => draft.byte_len(),
        }
    }

    /// Gives the values' little-endian bytes, a chunk at a time.
    fn for_each_chunk<E>(&self, sink: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::F32(values) => for_each_chunk_of(values, f32::to_le_bytes, sink),
            Self::U32(values) => for_each_chunk_of(values, u32::to_le_bytes, sink),
            Self::U8(values) => values.chunks(CHUNK_BYTES).try_for_each(sink),
            Self::Section(draft) => draft.for_each_chunk(sink),
        }
    }
}

fn for_each_chunk_of<T: Copy, E>(
    values: &[T],
    bytes_of: impl Fn(T) -> [u8; 4],
    sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    for chunk in values.chunks(CHUNK_BYTES / 4) {
        buffer.clear();
        chunk.iter().for_each(|value| buffer.extend_from_slice(&bytes_of(*value)));
        sink(&buffer)?;
    }
    Ok(())
}

/// A tensor to be written.
pub(super) struct Tensor<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values<'a>,
}

impl<'a> Tensor<'a> {
    /// One value after the other.
    pub(super) fn list(values: Values<'a>) -> Self {
        let length = match &values {
            Values::F32(values) => values.len(),
            Values::U32(values) => values.len(),
            Values::U8(values) => values.len(),
            Values::Section(draft) => draft.byte_len(),
        };
        Self { shape: vec![length], values }
    }
}

/// Digest over names, number formats, shapes and bytes of tensors, which must come by name.
struct TensorDigest(Sha256);

impl TensorDigest {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn begin(&mut self, name: &str, dtype: Dtype, shape: &[usize]) {
        self.0.update(format!("{name}:{dtype:?}:{shape:?};"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        crate::hex(&self.0.finalize())
    }
}

/// The digest that [`Container::read_all`] finds for these tensors.
pub(super) fn digest(tensors: &BTreeMap<&str, Tensor<'_>>) -> String {
    let mut digest = TensorDigest::new();
    for (name, tensor) in tensors {
        digest.begin(name, tensor.values.dtype(), &tensor.shape);
        let fed: Result<(), std::convert::Infallible> = tensor.values.for_each_chunk(&mut |bytes| {
            digest.bytes(bytes);
            Ok(())
        });
        let Ok(()) = fed;
    }
    digest.finish()
}

/// A container that is ready to be written.
pub(super) struct Draft<'a> {
    /// The table's length and the table.
    table: Vec<u8>,
    /// In the order of the file.
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Draft<'a> {
    /// Our header, then the tensors by name, those of 32-bit numbers first, so that all lie aligned.
    pub(super) fn new(header: String, tensors: BTreeMap<&str, Tensor<'a>>) -> io::Result<Self> {
        let is_bytes = |tensor: &Tensor<'_>| tensor.values.dtype() == Dtype::U8;
        let mut ordered: Vec<_> = tensors.into_iter().collect();
        ordered.sort_by_key(|(_, tensor)| is_bytes(tensor));
        let mut end = 0;
        let infos = ordered.iter().map(|(name, tensor)| {
            let start = end;
            end += tensor.values.byte_len();
            let (dtype, shape) = (tensor.values.dtype(), tensor.shape.clone());
            ((*name).to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) })
        });
        let metadata = HashMap::from([(HEADER_KEY.to_owned(), header)]);
        let table = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
        let mut text = serde_json::to_string(&table)?;
        while !text.len().is_multiple_of(LENGTH_BYTES as usize) {
            text.push(' ');
        }
        let table = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        Ok(Self { table, tensors: ordered.into_iter().map(|(_, tensor)| tensor).collect() })
    }

    /// Writes it.
    pub(super) fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        self.for_each_chunk(&mut |bytes| writer.write_all(bytes))
    }

    fn byte_len(&self) -> usize {
        self.table.len() + self.tensors.iter().map(|tensor| tensor.values.byte_len()).sum::<usize>()
    }

    fn for_each_chunk<E>(&self, sink: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        sink(&self.table)?;
        self.tensors.iter().try_for_each(|tensor| tensor.values.for_each_chunk(&mut *sink))
    }
}

/// A container whose table has been read and fits the file's size; none of its tensors has been read.
pub(super) struct Container {
    file: File,
    table: Metadata,
    /// Where the tensors begin, bytes.
    start: u64,
}

impl Container {
    /// Opens a file and reads its table.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        // Before opening, which would wait for the other end of a pipe.
        let metadata = std::fs::metadata(path).map_err(Fault::Io)?;
        if !metadata.is_file() {
            return Err(Fault::Invalid("expected a file, found a folder or a device".into()));
        }
        let file = File::open(path).map_err(Fault::Io)?;
        let length = file.metadata().map_err(Fault::Io)?.len();
        if length > MAX_FILE_BYTES {
            return Err(Fault::Invalid(format!(
                "it has {length} bytes, more than the largest model ({MAX_FILE_BYTES} bytes)"
            )));
        }
        Self::within(file, 0, length)
    }

    /// The container that a tensor's bytes are.
    pub(super) fn section(&self, name: &str) -> Result<Self, Fault> {
        let [_]: [usize; 1] = self.shape(name, Dtype::U8).map_err(Fault::Invalid)?;
        let info = self.table.info(name).ok_or_else(|| Fault::Invalid(format!("the tensor {name:?} is missing")))?;
        let (first, end) = info.data_offsets;
        let file = self.file.try_clone().map_err(Fault::Io)?;
        Self::within(file, self.start + first as u64, (end - first) as u64)
    }

    /// Reads the table of the container of this length that begins at this place of a file.
    fn within(mut file: File, origin: u64, length: u64) -> Result<Self, Fault> {
        if length < LENGTH_BYTES {
            return Err(Fault::Invalid(format!("it has {length} bytes, too few for any model")));
        }
        file.seek(SeekFrom::Start(origin)).map_err(Fault::Io)?;
        let mut number = [0; LENGTH_BYTES as usize];
        file.read_exact(&mut number).map_err(Fault::reading)?;
        let header_length = u64::from_le_bytes(number);
        if header_length > MAX_HEADER_BYTES {
            return Err(Fault::Invalid(format!(
                "expected a safetensors header of at most {MAX_HEADER_BYTES} bytes, found one that claims {header_length}"
            )));
        }
        let start = LENGTH_BYTES + header_length;
        if start > length {
            return Err(Fault::Invalid(format!(
                "it is truncated: its header takes {start} bytes, the file has {length}"
            )));
        }
        let mut text = vec![0; header_length as usize];
        file.read_exact(&mut text).map_err(Fault::reading)?;
        let table: Metadata = serde_json::from_slice(&text).map_err(|error| {
            Fault::Invalid(format!("expected a safetensors file, found something else or a damaged one ({error})"))
        })?;
        let expected = start + table.data_len() as u64;
        if expected != length {
            let damage = if expected > length { "truncated" } else { "damaged" };
            return Err(Fault::Invalid(format!(
                "it is {damage}: expected {expected} bytes by its header, found {length}"
            )));
        }
        Ok(Self { file, table, start: origin + start })
    }

    /// Our own header.
    pub(super) fn header(&self) -> Result<&str, String> {
        let metadata = self.table.metadata().as_ref();
        let header = metadata.and_then(|metadata| metadata.get(HEADER_KEY)).map(String::as_str);
        header.ok_or_else(|| "it is a safetensors file of another program: it has no Shapeguard header".into())
    }

    /// Names of all tensors, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.table.offset_keys();
        names.sort_unstable();
        names
    }

    /// A tensor's shape, if it has this number format and rank.
    pub(super) fn shape<const RANK: usize>(&self, name: &str, dtype: Dtype) -> Result<[usize; RANK], String> {
        let info = self.table.info(name).ok_or_else(|| format!("the tensor {name:?} is missing"))?;
        match <[usize; RANK]>::try_from(info.shape.as_slice()) {
            Ok(shape) if info.dtype == dtype => Ok(shape),
            _ => Err(format!(
                "the tensor {name:?} must be {dtype:?} of rank {RANK}, found {:?} {:?}",
                info.dtype, info.shape
            )),
        }
    }

    /// Whether there is such a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.info(name).is_some()
    }

    /// Reads all tensors, whose number formats are known to be those of [`Values`], and their digest.
    pub(super) fn read_all(mut self) -> Result<(Tensors, String), Fault> {
        self.read(|_| true)
    }

    /// As [`Self::read_all`], of some tensors.
    pub(super) fn read(&mut self, is_wanted: impl Fn(&str) -> bool) -> Result<(Tensors, String), Fault> {
        let mut digest = TensorDigest::new();
        let mut tensors = BTreeMap::new();
        for name in self.names().into_iter().filter(|name| is_wanted(name)) {
            let Some(info) = self.table.info(&name).cloned() else { continue };
            digest.begin(&name, info.dtype, &info.shape);
            let (first, end) = info.data_offsets;
            self.file.seek(SeekFrom::Start(self.start + first as u64)).map_err(Fault::Io)?;
            let length = end - first;
            let values = match info.dtype {
                Dtype::F32 => Values::F32(self.read_values(length, f32::from_le_bytes, &mut digest)?.into()),
                Dtype::U32 => Values::U32(self.read_values(length, u32::from_le_bytes, &mut digest)?.into()),
                Dtype::U8 => Values::U8(self.read_values(length, |[byte]: [u8; 1]| byte, &mut digest)?.into()),
                other => return Err(Fault::Invalid(format!("the tensor {name:?} has numbers of the kind {other:?}"))),
            };
            tensors.insert(name, values);
        }
        Ok((Tensors(tensors), digest.finish()))
    }

    fn read_values<T, const SIZE: usize>(
        &mut self,
        length: usize,
        value: impl Fn([u8; SIZE]) -> T,
        digest: &mut TensorDigest,
    ) -> Result<Vec<T>, Fault> {
        // The table fits the file, so this is no more than the file holds.
        let mut values = Vec::with_capacity(length / SIZE);
        let mut buffer = vec![0; CHUNK_BYTES.min(length)];
        let mut left = length;
        while left > 0 {
            let chunk = &mut buffer[..CHUNK_BYTES.min(left)];
            self.file.read_exact(chunk).map_err(Fault::reading)?;
            digest.bytes(chunk);
            values.extend(chunk.as_chunks::<SIZE>().0.iter().map(|bytes| value(*bytes)));
            left -= chunk.len();
        }
        Ok(values)
    }
}

/// The tensors of a file, each taken once.
pub(super) struct Tensors(BTreeMap<String, Values<'static>>);

impl Tensors {
    fn take(&mut self, name: &str) -> Result<Values<'static>, String> {
        self.0.remove(name).ok_or_else(|| format!("the tensor {name:?} is missing"))
    }

    /// Whether this tensor was read and not yet taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Refuses anything that is not finite.
    pub(super) fn f32(&mut self, name: &str) -> Result<Vec<f32>, String> {
        let Values::F32(values) = self.take(name)? else { return Err(format!("the tensor {name:?} must be F32")) };
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(format!("the tensor {name:?} holds {} at index {index}", values[index])),
            None => Ok(values.into_owned()),
        }
    }

    pub(super) fn u32(&mut self, name: &str) -> Result<Vec<u32>, String> {
        let Values::U32(values) = self.take(name)? else { return Err(format!("the tensor {name:?} must be U32")) };
        Ok(values.into_owned())
    }

    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let Values::U8(values) = self.take(name)? else { return Err(format!("the tensor {name:?} must be U8")) };
        Ok(values.into_owned())
    }
}
