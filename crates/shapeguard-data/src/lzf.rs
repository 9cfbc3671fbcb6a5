//! LZF decompression, as PCD's `binary_compressed` uses it (Marc Lehmann's LibLZF format), within a known output length.

use crate::fault::Fault;

/// Output per input byte that LZF cannot exceed: 264 bytes from a 3-byte back reference.
const MAX_EXPANSION: usize = 88;
/// Control bytes below this announce literals, the others a back reference.
const FIRST_REFERENCE: u8 = 32;
/// A back reference whose length field has this value has another length byte.
const LONG_REFERENCE: usize = 7;

/// Decompresses to exactly `length` bytes.
pub(crate) fn decompress(input: &[u8], length: usize) -> Result<Vec<u8>, Fault> {
    let damaged = |found: String| Fault::damaged(format!("LZF data of {length} bytes"), found);
    if length > input.len().saturating_mul(MAX_EXPANSION) {
        return Err(damaged(format!("{} compressed bytes", input.len())));
    }
    let mut out = Vec::with_capacity(length);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        if control < FIRST_REFERENCE {
            let (literals, after) = rest
                .split_at_checked(usize::from(control) + 1)
                .ok_or_else(|| damaged("its end within literals".into()))?;
            out.extend_from_slice(literals);
            rest = after;
        } else {
            let mut next = || {
                let (&byte, after) = rest.split_first().ok_or_else(|| damaged("its end within a reference".into()))?;
                rest = after;
                Ok::<usize, Fault>(byte.into())
            };
            let mut run = usize::from(control >> 5);
            if run == LONG_REFERENCE {
                run += next()?;
            }
            let back = ((usize::from(control & 0x1f) << 8) | next()?) + 1;
            let start = out.len().checked_sub(back).ok_or_else(|| damaged("a reference before its start".into()))?;
            // The reference may overlap what it writes: byte by byte.
            for i in start..start + run + 2 {
                out.push(out[i]);
            }
        }
        if out.len() > length {
            return Err(damaged("more data".into()));
        }
    }
    if out.len() != length {
        return Err(damaged(format!("{} bytes", out.len())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_overlapping_references() {
        // "ab", then 6 bytes from 2 back.
        assert_eq!(decompress(&[1, b'a', b'b', 4 << 5, 1], 8).unwrap(), b"abababab");
        // A long reference: 7 + 3 + 2 bytes from 1 back.
        assert_eq!(decompress(&[0, b'x', 7 << 5, 3, 0], 13).unwrap(), vec![b'x'; 13]);
    }

    #[test]
    fn hostile_data_is_refused() {
        assert!(decompress(&[31, 1], 32).is_err(), "literals past the end");
        assert!(decompress(&[0, 1, 1 << 5, 9], 4).is_err(), "a reference before the start");
        assert!(decompress(&[0, 1, 7 << 5], 4).is_err(), "a reference cut off");
        assert!(decompress(&[0, 1, 7 << 5, 255, 0], 4).is_err(), "more than promised");
        assert!(decompress(&[0, 1], 4).is_err(), "less than promised");
        assert!(decompress(&[0, 1], usize::MAX).is_err(), "an absurd promise");
    }
}
