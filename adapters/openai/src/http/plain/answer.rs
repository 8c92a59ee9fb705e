//! What an HTTP/1.1 answer consists of: its head, and a body whose end is told in one of three ways.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use httparse::Status;
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{READ, TransportError};

/// The longest head, and the longest line between the pieces of a body, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The most headers of an answer; many more than any server sends.
const MAX_HEADERS: usize = 100;

/// The head of an answer.
pub(in crate::http) struct Head {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) headers: HeaderMap,
    is_1_1: bool,
}

/// Reads up to the end of the head; what has come behind it is left in the buffer.
pub(super) async fn head(tcp: &mut TcpStream, buffer: &mut BytesMut) -> Result<Head, TransportError> {
    loop {
        buffer.reserve(READ);
        if tcp.read_buf(buffer).await.map_err(|error| TransportError::lost(&error))? == 0 {
            return Err(TransportError::cut_off());
        }
        while let Some(head) = parse(buffer)? {
            // What is said in between is not the answer; a change of protocol is none that was asked for.
            if !head.status.is_informational() {
                return Ok(head);
            }
        }
        if buffer.len() > MAX_HEAD {
            return Err(TransportError::malformed("a head without an end"));
        }
    }
}

/// Takes a head off the buffer, if all of it is there.
fn parse(buffer: &mut BytesMut) -> Result<Option<Head>, TransportError> {
    let malformed = |_| TransportError::malformed("no head of an answer");
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, buffer, &mut headers);
    let Status::Complete(length) = parsed.map_err(malformed)? else { return Ok(None) };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| TransportError::malformed("no status"))?;
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for header in &*answer.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) else {
            return Err(TransportError::malformed("no header"));
        };
        headers.append(name, value);
    }
    let is_1_1 = answer.version == Some(1);
    buffer.advance(length);
    Ok(Some(Head { status, headers, is_1_1 }))
}

/// How the body's end is told, and whether the connection can be used again after it.
pub(super) fn framing(head: &Head) -> Result<(Framing, bool), TransportError> {
    let keep = head.is_1_1 && !has_word(&head.headers, &CONNECTION, "close");
    if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok((Framing::Length(0), keep));
    }
    let length = content_length(&head.headers)?;
    if head.headers.contains_key(TRANSFER_ENCODING) {
        let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
        let is_chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !is_chunked || codings.next().is_some() {
            return Err(TransportError::malformed("an unknown transfer coding"));
        }
        // Two ends are told: this is the one that counts, and the other may be where somebody else has read to.
        return Ok((Framing::Chunked(Chunk::Size), keep && length.is_none()));
    }
    Ok(match length {
        Some(length) => (Framing::Length(length), keep),
        None => (Framing::UntilClosed, false),
    })
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, TransportError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|value| {
        let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| TransportError::malformed("no length"))
    });
    let Some(first) = lengths.next().transpose()? else { return Ok(None) };
    for other in lengths {
        if other? != first {
            return Err(TransportError::malformed("two lengths"));
        }
    }
    Ok(Some(first))
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many more bytes.
    Length(u64),
    /// Behind a chunk without a byte.
    Chunked(Chunk),
    /// With the connection.
    UntilClosed,
}

/// What comes next of a body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// A line with a chunk's size.
    Size,
    /// So many bytes and the end of a line.
    Data(u64),
    /// Headers behind the last chunk, up to an empty line; so many bytes of them have been passed over.
    Trailer(usize),
    /// Nothing.
    Over,
}

impl Framing {
    /// Whether all of the body has been handed out.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Over))
    }

    /// Whether the end of the connection is the end of the body, and not its loss.
    pub(super) fn ends_with_connection(&self) -> bool {
        *self == Self::UntilClosed
    }

    /// The next piece of the body; none if more has to be received, or all is over.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, TransportError> {
        loop {
            let chunk = match self {
                Self::Length(left) => return Ok(take(buffer, left)),
                Self::UntilClosed => return Ok(take(buffer, &mut { u64::MAX })),
                Self::Chunked(chunk) => chunk,
            };
            let next = match chunk {
                Chunk::Size => size(buffer)?.map(|size| if size == 0 { Chunk::Trailer(0) } else { Chunk::Data(size) }),
                Chunk::Data(0) => line_end(buffer)?.then_some(Chunk::Size),
                Chunk::Data(left) => return Ok(take(buffer, left)),
                Chunk::Trailer(passed) => trailer(buffer, *passed)?,
                Chunk::Over => None,
            };
            let Some(next) = next else { return Ok(None) };
            *chunk = next;
        }
    }
}

/// What there is of the bytes that are left.
fn take(buffer: &mut BytesMut, left: &mut u64) -> Option<Bytes> {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= length as u64;
    (length > 0).then(|| buffer.split_to(length).freeze())
}

/// Takes the line with a chunk's size, once it is there.
fn size(buffer: &mut BytesMut) -> Result<Option<u64>, TransportError> {
    match httparse::parse_chunk_size(buffer) {
        Ok(Status::Complete((length, size))) => {
            buffer.advance(length);
            Ok(Some(size))
        }
        Ok(Status::Partial) if buffer.len() <= MAX_HEAD => Ok(None),
        _ => Err(TransportError::malformed("no size of a chunk")),
    }
}

/// Takes the end of a chunk, once it is there.
fn line_end(buffer: &mut BytesMut) -> Result<bool, TransportError> {
    let is_there = buffer.len() >= LINE_END.len();
    if is_there {
        if !buffer.starts_with(LINE_END) {
            return Err(TransportError::malformed("a chunk without an end"));
        }
        buffer.advance(LINE_END.len());
    }
    Ok(is_there)
}

const LINE_END: &[u8] = b"\r\n";

/// Passes over a line behind the last chunk, once it is there.
fn trailer(buffer: &mut BytesMut, passed: usize) -> Result<Option<Chunk>, TransportError> {
    let end = buffer.iter().position(|&byte| byte == b'\n');
    let length = end.map_or(buffer.len(), |end| end + 1);
    if passed + length > MAX_HEAD {
        return Err(TransportError::malformed("a body without an end"));
    }
    let is_last = end.is_some() && buffer[..length].trim_ascii().is_empty();
    Ok(end.map(|_| {
        buffer.advance(length);
        if is_last { Chunk::Over } else { Chunk::Trailer(passed + length) }
    }))
}

#[cfg(test)]
mod tests;
