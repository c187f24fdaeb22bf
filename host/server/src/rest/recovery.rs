//! Backups, and the end of a hold.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use enginehouse_api::{ErrorCode, Problem, Resumed, routes};
use tokio::io::AsyncReadExt;

use crate::access::Caller;
use crate::rest::answer::Answer;

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;

pub(crate) async fn backup(caller: Caller) -> Answer<Response> {
    let house = caller.house();
    caller.must_govern_all(&house.state.lock())?;
    let (info, file) = crate::backup::make(house).await?;
    tracing::info!(by = caller.who(), bytes = info.bytes, "a backup was made");
    let unsent = |error: serde_json::Error| Problem::new(ErrorCode::Internal, error.to_string());
    let shown = serde_json::to_string(&info).map_err(unsent)?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.sqlite3"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(info.bytes));
    if let Ok(shown) = HeaderValue::from_str(&shown) {
        headers.insert(HeaderName::from_static(routes::BACKUP_HEADER), shown);
    }
    let pieces =
        futures_util::stream::try_unfold(tokio::fs::File::from_std(file), |mut file| async move {
            let mut piece = vec![0; PIECE];
            let length = file.read(&mut piece).await?;
            piece.truncate(length);
            Ok::<_, io::Error>((length > 0).then_some((piece, file)))
        });
    Ok((headers, Body::from_stream(pieces)).into_response())
}

pub(crate) async fn resume(caller: Caller) -> Answer<Json<Resumed>> {
    let resumed = crate::hold::release(caller.house(), &caller).await?;
    Ok(Json(resumed))
}
