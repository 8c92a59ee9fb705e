//! A request's body, read before anybody works on the request: bounded in size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::super::{
    Context,
    errors::{ApiError, whole_seconds},
};

/// Reads the body, if there is one.
///
/// # Errors
/// 413 if it is too large, 408 if it takes too long, 422 if it breaks off.
pub(super) async fn read(context: &Context, headers: &HeaderMap, body: Incoming) -> Result<Bytes, ApiError> {
    let mut whole = Whole::default();
    take(context, headers, body, |piece, is_last| whole.push(piece, is_last)).await?;
    Ok(whole.into_bytes())
}

/// Reads a body that nobody will look at, without keeping it: asking is free where this is called.
///
/// # Errors
/// As [`read`].
pub(super) async fn skip(context: &Context, headers: &HeaderMap, body: Incoming) -> Result<(), ApiError> {
    take(context, headers, body, |_, _| {}).await
}

/// A body in pieces. Most come in one, which is not copied.
#[derive(Default)]
struct Whole {
    only: Bytes,
    pieces: BytesMut,
}

impl Whole {
    fn push(&mut self, piece: Bytes, is_last: bool) {
        if is_last && self.pieces.is_empty() {
            self.only = piece;
        } else {
            self.pieces.extend_from_slice(&piece);
        }
    }

    fn into_bytes(self) -> Bytes {
        if self.pieces.is_empty() { self.only } else { self.pieces.freeze() }
    }
}

/// Hands on a body's pieces, each with whether it is the last, as far as they are known to be.
async fn take(
    context: &Context,
    headers: &HeaderMap,
    mut body: Incoming,
    mut each: impl FnMut(Bytes, bool),
) -> Result<(), ApiError> {
    if body.is_end_stream() {
        return Ok(());
    }
    let maximum = context.max_body_bytes;
    if body.size_hint().lower() > maximum as u64 {
        // Who asks first has not sent anything yet, and is told not to.
        if !headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(ApiError::payload_too_large(maximum));
    }
    let reading = async {
        let mut left = maximum;
        while let Some(piece) = next(&mut body).await? {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return Ok(false),
            }
            let is_last = body.is_end_stream();
            each(piece, is_last);
        }
        Ok(true)
    };
    let fits = tokio::time::timeout(context.body_timeout, reading).await;
    match fits.map_err(|_| too_slow(context.body_timeout))? {
        Ok(true) => Ok(()),
        Ok(false) => {
            discard(body).await;
            Err(ApiError::payload_too_large(maximum))
        }
        Err(BrokenOff) => Err(ApiError::invalid("body", "Input ended before it was complete")),
    }
}

struct BrokenOff;

/// The next piece; none at the end. Trailers are nobody's.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, BrokenOff> {
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(|_| BrokenOff)?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

fn too_slow(limit: Duration) -> ApiError {
    let message = format!("The body did not arrive within {} s", whole_seconds(limit));
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
        .header(header::CONNECTION, HeaderValue::from_static("close"))
}

/// How much of a body that is too large is read all the same, and for how long: a client that still sends when the
/// connection is closed sees it broken, and not the answer that says why.
const DISCARDED: (usize, Duration) = (32 * 1024 * 1024, Duration::from_secs(3));

async fn discard(mut body: Incoming) {
    let (mut left, patience) = DISCARDED;
    let reading = async {
        while left > 0
            && let Ok(Some(piece)) = next(&mut body).await
        {
            left = left.saturating_sub(piece.len());
        }
    };
    // Whether it ended or not, the answer goes out now.
    let _ = tokio::time::timeout(patience, reading).await;
}
