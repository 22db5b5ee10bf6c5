//! The binary form: requests and responses. We request `PUT /api/v1/message`; whatever status of success comes back means taken. Of
//! clients' requests one is known, `GET /v1/keepalive`.

use prost::Message;

use super::{Frame, NotUnderstood, Said};

const REQUEST: i32 = 1;
const RESPONSE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct WebSocketMessage {
    #[prost(int32, optional, tag = "1")]
    kind: Option<i32>,
    #[prost(message, optional, tag = "2")]
    request: Option<Request>,
    #[prost(message, optional, tag = "3")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, optional, tag = "1")]
    verb: Option<String>,
    #[prost(string, optional, tag = "2")]
    path: Option<String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    body: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "4")]
    id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(uint64, optional, tag = "1")]
    id: Option<u64>,
    #[prost(uint32, optional, tag = "2")]
    status: Option<u32>,
    #[prost(string, optional, tag = "3")]
    message: Option<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    body: Option<Vec<u8>>,
}

/// The body is the sealed bytes themselves, as from December 2014 on.
pub(super) fn envelope(id: u64, sealed: Vec<u8>) -> Vec<u8> {
    let request =
        Request { verb: Some("PUT".into()), path: Some("/api/v1/message".into()), body: Some(sealed), id: Some(id) };
    WebSocketMessage { kind: Some(REQUEST), request: Some(request), response: None }.encode_to_vec()
}

pub(super) fn hear(bytes: &[u8]) -> Result<Said, NotUnderstood> {
    let said = WebSocketMessage::decode(bytes).map_err(|_| NotUnderstood::Broken)?;
    match (said.kind.unwrap_or_default(), said.request, said.response) {
        (REQUEST, Some(request), _) => Ok(answer(&request)),
        (RESPONSE, _, Some(Response { id: Some(id), status, .. })) => match status.unwrap_or_default() {
            200..300 => Ok(Said::Taken(id)),
            _ => Ok(Said::NotTaken(id)),
        },
        (REQUEST | RESPONSE, ..) => Err(NotUnderstood::Broken),
        _ => Err(NotUnderstood::Type),
    }
}

/// One without an id wants no answer.
fn answer(request: &Request) -> Said {
    let Some(id) = request.id else { return Said::Nothing };
    let path = request.path.as_deref().unwrap_or_default().trim_end_matches('/');
    let (status, message) = match (request.verb.as_deref(), path) {
        (Some("GET"), "/v1/keepalive") => (200, "OK"),
        _ => (404, "Not Found"),
    };
    let response = Response { id: Some(id), status: Some(status), message: Some(message.into()), body: None };
    let frame = WebSocketMessage { kind: Some(RESPONSE), request: None, response: Some(response) };
    Said::Asked(Frame::Binary(frame.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by hand after the description: field numbers and wire types are what clients see.
    #[test]
    fn an_envelope_is_a_request_to_put_a_message() {
        let frame = envelope(5, vec![0x01, 0xa0]);
        let expected = [b"\x08\x01\x12\x1c\x0a\x03PUT\x12\x0f/api/v1/message\x1a\x02\x01\xa0\x20\x05".as_slice()];
        assert_eq!(frame, expected.concat());
    }

    fn response(id: Option<u64>, status: Option<u32>) -> Vec<u8> {
        let response = Response { id, status, ..Response::default() };
        WebSocketMessage { kind: Some(RESPONSE), request: None, response: Some(response) }.encode_to_vec()
    }

    fn request(verb: &str, path: &str, id: Option<u64>) -> Vec<u8> {
        let request = Request { verb: Some(verb.into()), path: Some(path.into()), id, body: None };
        WebSocketMessage { kind: Some(REQUEST), request: Some(request), response: None }.encode_to_vec()
    }

    fn status_of(said: Result<Said, NotUnderstood>) -> Option<u32> {
        let Ok(Said::Asked(Frame::Binary(bytes))) = said else { panic!("no answer: {said:?}") };
        WebSocketMessage::decode(bytes.as_slice()).unwrap().response.unwrap().status
    }

    #[test]
    fn a_response_of_success_takes() {
        assert_eq!(hear(b"\x08\x02\x1a\x05\x08\x05\x10\xc8\x01"), Ok(Said::Taken(5)));
        assert_eq!(hear(&response(Some(5), Some(204))), Ok(Said::Taken(5)));
        for other in [None, Some(100), Some(300), Some(500)] {
            assert_eq!(hear(&response(Some(5), other)), Ok(Said::NotTaken(5)), "{other:?}");
        }
        assert_eq!(hear(&response(None, Some(200))), Err(NotUnderstood::Broken));
    }

    #[test]
    fn of_requests_the_keepalive_is_known() {
        assert_eq!(status_of(hear(&request("GET", "/v1/keepalive", Some(1)))), Some(200));
        assert_eq!(status_of(hear(&request("GET", "/v1/keepalive/", Some(1)))), Some(200));
        assert_eq!(status_of(hear(&request("PUT", "/v1/keepalive", Some(1)))), Some(404));
        assert_eq!(status_of(hear(&request("GET", "/v1/keys", Some(1)))), Some(404));
        assert_eq!(hear(&request("GET", "/v1/keepalive", None)), Ok(Said::Nothing));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(hear(b""), Err(NotUnderstood::Type));
        assert_eq!(hear(b"\x08\x03"), Err(NotUnderstood::Type));
        assert_eq!(hear(b"\x08\x01"), Err(NotUnderstood::Broken));
        assert_eq!(hear(b"\x0a"), Err(NotUnderstood::Broken));
        assert_eq!(hear(b"{\"type\":2}"), Err(NotUnderstood::Broken));
    }
}
