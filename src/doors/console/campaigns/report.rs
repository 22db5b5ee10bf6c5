//! A campaign's report as a file.

use std::io;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;
use warp::Reply;

use super::super::call::{Answer, Call, Turned};
use crate::App;
use crate::campaigns::{REPORT_TYPE, Report};
use crate::senders;

/// Pieces made and not yet sent.
const UNSENT: usize = 2;

/// `GET /console/campaigns/{id}/report.csv`
pub(in crate::doors::console) async fn report(call: Call) -> Answer {
    let campaign = super::find(&call).await?;
    let (pieces, unsent) = mpsc::channel(UNSENT);
    tokio::spawn(write(call.app().clone(), call.operator.key, Report::of(campaign.id), pieces));
    let mut response = warp::reply::stream(ReceiverStream::new(unsent)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(REPORT_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let name = format!("attachment; filename=\"campaign-{}.csv\"", campaign.id);
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Err(Turned::Whole(Box::new(response)))
}

/// A report that ends early must not look like a whole one: the connection breaks.
async fn write(app: App, key: Option<Uuid>, mut report: Report, pieces: mpsc::Sender<io::Result<Bytes>>) {
    let patience = app.config.private.read_timeout.duration();
    loop {
        let piece = match next(&app, key, &mut report).await {
            Ok(None) => return,
            Ok(Some(lines)) => Ok(Bytes::from(lines)),
            Err(error) => {
                tracing::warn!(%error, "a report broke off");
                Err(error)
            }
        };
        let broken = piece.is_err();
        if pieces.send_timeout(piece, patience).await.is_err() || broken {
            return;
        }
    }
}

/// Lines, as long as the key that began it holds.
async fn next(app: &App, key: Option<Uuid>, report: &mut Report) -> io::Result<Option<Vec<u8>>> {
    if let Some(key) = key
        && senders::get(app, key).await.map_err(io::Error::other)?.is_none()
    {
        return Err(io::Error::other("the key was revoked"));
    }
    report.next(app).await.map_err(io::Error::other)
}
