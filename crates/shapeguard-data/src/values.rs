//! The numbers of PCD and PLY files: the same kinds, written as text or as bytes of either order.

use crate::fault::Fault;

/// Kinds of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Scalar {
    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Ascii,
    LittleEndian,
    BigEndian,
}

/// Reads numbers one after the other.
pub(crate) struct Values<'a> {
    rest: &'a [u8],
    encoding: Encoding,
}

impl<'a> Values<'a> {
    pub(crate) fn new(rest: &'a [u8], encoding: Encoding) -> Self {
        Self { rest, encoding }
    }

    /// Refuses a promise of more numbers than the rest can hold, before anything is allocated for them.
    /// `bytes` is their size when binary, `count` their number.
    pub(crate) fn check_promise(&self, count: u128, bytes: u128) -> Result<(), Fault> {
        // As text, each number takes a digit and a separator; the last one needs no separator.
        let needed = if self.encoding == Encoding::Ascii { (2 * count).saturating_sub(1) } else { bytes };
        if needed > self.rest.len() as u128 {
            return Err(Fault::damaged(format!("{needed} more bytes"), format!("{}", self.rest.len())));
        }
        Ok(())
    }

    /// The next number; `f64` holds every 32-bit value exactly.
    pub(crate) fn next(&mut self, scalar: Scalar) -> Result<f64, Fault> {
        let big = match self.encoding {
            Encoding::Ascii => return self.next_text(),
            Encoding::LittleEndian => false,
            Encoding::BigEndian => true,
        };
        macro_rules! number {
            ($kind:ty) => {{
                let bytes = self.take()?;
                (if big { <$kind>::from_be_bytes(bytes) } else { <$kind>::from_le_bytes(bytes) }) as f64
            }};
        }
        Ok(match scalar {
            Scalar::I8 => number!(i8),
            Scalar::U8 => number!(u8),
            Scalar::I16 => number!(i16),
            Scalar::U16 => number!(u16),
            Scalar::I32 => number!(i32),
            Scalar::U32 => number!(u32),
            Scalar::I64 => number!(i64),
            Scalar::U64 => number!(u64),
            Scalar::F32 => number!(f32),
            Scalar::F64 => number!(f64),
        })
    }

    /// The next colour packed as `0x__RRGGBB`; in binary the bits of the number, whatever its kind.
    ///
    /// As text, a number without point or exponent is the packed value itself even where the field is called a float:
    /// PCL writes it so, since opaque colours are NaN as floats.
    pub(crate) fn next_packed_colour(&mut self, scalar: Scalar) -> Result<[u8; 3], Fault> {
        let bits = if self.encoding == Encoding::Ascii {
            let token = self.token()?;
            let integer = token.parse::<i64>().ok().map(|value| value as u32);
            let float = || token.parse::<f32>().ok().filter(|_| scalar.is_float()).map(f32::to_bits);
            integer.or_else(float).ok_or_else(|| Fault::damaged("a packed colour", format!("\"{token}\"")))?
        } else {
            self.next(Scalar::U32)? as u32
        };
        let [_, red, green, blue] = bits.to_be_bytes();
        Ok([red, green, blue])
    }

    fn next_text(&mut self) -> Result<f64, Fault> {
        let token = self.token()?;
        token.parse().map_err(|_| Fault::damaged("a number", format!("\"{}\"", token.escape_debug())))
    }

    fn token(&mut self) -> Result<&'a str, Fault> {
        let start = self.rest.iter().position(|byte| !byte.is_ascii_whitespace());
        let text = &self.rest[start.unwrap_or(self.rest.len())..];
        let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        self.rest = rest;
        if token.is_empty() {
            return Err(Fault::damaged("more numbers", "the end of the file"));
        }
        /// Longer than any number: protects messages from binary data read as text.
        const MAX_TOKEN: usize = 64;
        std::str::from_utf8(&token[..token.len().min(MAX_TOKEN)])
            .map_err(|_| Fault::damaged("a number as text", "other bytes"))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| Fault::damaged("more data", "the end of the file"))?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// A cloud as decoded from a file: raw coordinates, and colour where the file has it.
#[derive(Debug)]
pub(crate) struct RawCloud {
    pub(crate) points: shapeguard_core::grid::Grid<[f32; 3]>,
    pub(crate) colours: Option<shapeguard_core::grid::RgbImage>,
}
