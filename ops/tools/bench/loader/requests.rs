//! Requests as bytes.

use std::io::Write as _;

use super::Load;
use crate::body;

/// Writes requests into one buffer, again and again.
pub(super) struct Requests<'a> {
    load: &'a Load,
    request: Vec<u8>,
    content: Vec<u8>,
}

impl<'a> Requests<'a> {
    pub(super) fn new(load: &'a Load) -> Self {
        Self { load, request: Vec::new(), content: Vec::new() }
    }

    /// The `number`-th request, from 0.
    pub(super) fn write(&mut self, number: u32, sent_us: u64) -> &[u8] {
        let Load { at, key, run, count, batch, .. } = self.load;
        let rows = number * batch..(number * batch + batch).min(*count);
        self.content.clear();
        if *batch == 1 {
            self.row(rows.start, sent_us);
        } else {
            self.content.extend_from_slice(br#"{"messages":["#);
            for row in rows.clone() {
                if row != rows.start {
                    self.content.push(b',');
                }
                self.row(row, sent_us);
            }
            self.content.extend_from_slice(b"]}");
        }
        let path = if *batch == 1 { "messages" } else { "messages/batch" };
        let length = self.content.len();
        self.request.clear();
        // A vector takes whatever is written.
        let _ = write!(
            self.request,
            "POST /api/v1/{path} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: {run}-{number}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        self.request.extend_from_slice(&self.content);
        &self.request
    }

    fn row(&mut self, number: u32, sent_us: u64) {
        let webhooks = &self.load.webhooks;
        let webhook = webhooks.start + number % (webhooks.end - webhooks.start);
        let _ = write!(self.content, r#"{{"webhook":"sink-{webhook}","payload":"#);
        body::write(&mut self.content, number, sent_us);
        self.content.push(b'}');
    }
}
