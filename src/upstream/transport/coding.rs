//! Bodies that come compressed, asked for or not.

use std::io::{self, Read};

use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};
use flate2::{Decompress, FlushDecompress, Status, read::MultiGzDecoder};

/// Why a body cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undone {
    TooLarge,
    Broken,
}

/// The body as it was before it was compressed, of at most `most` bytes. Of a coding that is not known here it is left as
/// it came: nothing can be read from it then, and that is said where it is read.
///
/// # Errors
/// It grows larger, or is cut off, or is not what the head says.
pub(super) fn decoded(headers: &HeaderMap, body: Vec<u8>, most: usize) -> Result<Vec<u8>, Undone> {
    let codings = headers.get_all(CONTENT_ENCODING).filter_map(|coding| coding.to_str().ok());
    let codings = codings.flat_map(|codings| codings.split(',')).map(str::trim);
    let mut codings = codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    let (coding, another) = (codings.next(), codings.next());
    let is = |name: &str| coding.is_some_and(|coding| coding.eq_ignore_ascii_case(name));
    if body.is_empty() || another.is_some() {
        Ok(body)
    } else if is("gzip") || is("x-gzip") {
        read(MultiGzDecoder::new(body.as_slice()), most)
    } else if is("deflate") {
        // The coding of that name is the zlib format; some peers leave its frame out (RFC 9110, 8.4.1.2).
        match inflated(&body, true, most) {
            Err(Undone::Broken) => inflated(&body, false, most),
            inflated => inflated,
        }
    } else {
        Ok(body)
    }
}

fn read(from: impl Read, most: usize) -> Result<Vec<u8>, Undone> {
    let mut body = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read: io::Result<usize> = from.take(limit).read_to_end(&mut body);
    match read {
        Ok(_) if body.len() > most => Err(Undone::TooLarge),
        Ok(_) => Ok(body),
        Err(_) => Err(Undone::Broken),
    }
}

/// How much room is made at once, in bytes.
const AT_ONCE: usize = 16 * 1024;

/// What was deflated, in the frame of zlib or without it. The library's own readers take one that is cut off for one that
/// ends there, and an empty answer means something.
fn inflated(mut rest: &[u8], has_frame: bool, most: usize) -> Result<Vec<u8>, Undone> {
    let (mut inflate, mut body) = (Decompress::new(has_frame), Vec::new());
    loop {
        body.reserve(AT_ONCE);
        let (read, written) = (inflate.total_in(), body.len());
        let status = inflate.decompress_vec(rest, &mut body, FlushDecompress::None).map_err(|_| Undone::Broken)?;
        let read = usize::try_from(inflate.total_in() - read).map_err(|_| Undone::Broken)?;
        rest = rest.get(read..).unwrap_or_default();
        match status {
            _ if body.len() > most => return Err(Undone::TooLarge),
            Status::StreamEnd if rest.is_empty() => return Ok(body),
            Status::StreamEnd => return Err(Undone::Broken),
            Status::Ok | Status::BufError if read == 0 && body.len() == written => return Err(Undone::Broken),
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use actix_web::http::header::HeaderValue;
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn headers(codings: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        headers
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(vec![], Compression::best());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn gzip_and_both_kinds_of_deflate_are_read() {
        let text = b"{\"a\":1}".to_vec();
        let mut zlib = ZlibEncoder::new(vec![], Compression::best());
        zlib.write_all(&text).unwrap();
        let mut raw = DeflateEncoder::new(vec![], Compression::best());
        raw.write_all(&text).unwrap();
        for (codings, body) in [
            (["gzip"], gzip(&text)),
            (["X-GZIP"], gzip(&text)),
            ([" identity , gzip "], gzip(&text)),
            (["deflate"], zlib.finish().unwrap()),
            (["deflate"], raw.finish().unwrap()),
            (["identity"], text.clone()),
            ([""], text.clone()),
        ] {
            assert_eq!(decoded(&headers(&codings), body, 100), Ok(text.clone()), "{codings:?}");
        }
        // Two of them, and one that is not known, stay as they are; an empty body has no coding.
        assert_eq!(decoded(&headers(&["gzip", "gzip"]), text.clone(), 100), Ok(text.clone()));
        assert_eq!(decoded(&headers(&["br"]), text.clone(), 100), Ok(text));
        assert_eq!(decoded(&headers(&["gzip"]), vec![], 100), Ok(vec![]));
    }

    #[test]
    fn what_grows_beyond_the_limit_is_not_unpacked_and_what_is_cut_off_is_broken() {
        let zeros = vec![0; 50_000_000];
        let mut zlib = ZlibEncoder::new(vec![], Compression::best());
        zlib.write_all(&zeros).unwrap();
        for (coding, bomb) in [("gzip", gzip(&zeros)), ("deflate", zlib.finish().unwrap())] {
            assert!(bomb.len() < 60_000);
            assert_eq!(decoded(&headers(&[coding]), bomb, 1_000_000), Err(Undone::TooLarge), "{coding}");
        }
        let (mut zlib, mut raw) =
            (ZlibEncoder::new(vec![], Compression::best()), DeflateEncoder::new(vec![], Compression::best()));
        for encoder in [&mut zlib as &mut dyn Write, &mut raw] {
            encoder.write_all(b"{\"a\":1}").unwrap();
        }
        for (coding, whole) in
            [("gzip", gzip(b"{\"a\":1}")), ("deflate", zlib.finish().unwrap()), ("deflate", raw.finish().unwrap())]
        {
            for length in 1..whole.len() {
                let part = whole[..length].to_vec();
                assert_eq!(decoded(&headers(&[coding]), part, 100), Err(Undone::Broken), "{coding} {length}");
            }
            let more = [whole, b"x".to_vec()].concat();
            assert_eq!(decoded(&headers(&[coding]), more, 100), Err(Undone::Broken), "{coding}");
        }
        assert_eq!(decoded(&headers(&["gzip"]), b"plain".to_vec(), 100), Err(Undone::Broken));
    }
}
