//! What one endpoint says about itself.
//!
//! What holds for all of them is not said again: keys and their scopes, unknown query parameters, failures on our side; with a
//! parameter in its path what is named may not exist; with a body it may be too large, too slow, or of another type.

use serde_json::{Map, Value, json};

use crate::doors::api::page;
use crate::doors::api::problem::{Kind, Problem};

use super::shape::{Shape, whole};

/// A parameter of path, query or header.
struct Parameter {
    place: &'static str,
    name: &'static str,
    shape: Shape,
    required: bool,
}

/// A body of one media type.
struct Content {
    media: &'static str,
    shape: Shape,
    /// The schema of a line, or of an event: OpenAPI 3.1 has no word for it.
    item: Option<Value>,
}

/// An answer that is no refusal.
struct Answer {
    status: u16,
    about: &'static str,
    /// Told apart by the type of the request, where there are several.
    contents: Vec<Content>,
    headers: Map<String, Value>,
}

/// One endpoint.
pub(in crate::doors::api) struct Operation {
    summary: &'static str,
    about: Option<&'static str>,
    parameters: Vec<Parameter>,
    bodies: Vec<Content>,
    body_required: bool,
    answers: Vec<Answer>,
    refusals: Vec<Kind>,
}

impl Operation {
    /// `summary` is a line, without a full stop.
    pub(in crate::doors::api) fn new(summary: &'static str) -> Self {
        let refusals = vec![Kind::Unauthorized, Kind::Forbidden, Kind::Invalid, Kind::Internal, Kind::Unavailable];
        let (parameters, bodies, answers) = (Vec::new(), Vec::new(), Vec::new());
        Self { summary, about: None, parameters, bodies, body_required: false, answers, refusals }
    }

    /// More words; Markdown.
    pub(in crate::doors::api) fn about(self, words: &'static str) -> Self {
        Self { about: Some(words), ..self }
    }

    fn parameter(mut self, place: &'static str, name: &'static str, shape: Shape, required: bool) -> Self {
        self.parameters.push(Parameter { place, name, shape, required });
        self
    }

    /// What stands in the path.
    pub(in crate::doors::api) fn path(self, name: &'static str, shape: Shape) -> Self {
        self.refuses(&[Kind::NotFound]).parameter("path", name, shape, true)
    }

    /// A query parameter that may be left out.
    pub(in crate::doors::api) fn query(self, name: &'static str, shape: Shape) -> Self {
        self.parameter("query", name, shape, false)
    }

    /// One that may not.
    pub(in crate::doors::api) fn needs(self, name: &'static str, shape: Shape) -> Self {
        self.parameter("query", name, shape, true)
    }

    /// A header of the request.
    pub(in crate::doors::api) fn header(self, name: &'static str, shape: Shape) -> Self {
        self.parameter("header", name, shape, false)
    }

    /// A list in pages, behind a cursor of this shape.
    pub(in crate::doors::api) fn paged(self, cursor: Shape) -> Self {
        let limit = whole(1, page::MOST).eg(2).default(page::DEFAULT_LIMIT).about("How many at most");
        self.query("limit", limit).query("after", cursor.about("`next` of the page before"))
    }

    /// Holds its answer back for up to `most` seconds.
    pub(in crate::doors::api) fn waits(self, most: u64, words: &'static str) -> Self {
        self.refuses(&[Kind::TooManyRequests]).query("wait", whole(0, most).eg(0).default(0).about(words))
    }

    /// Takes a JSON body.
    pub(in crate::doors::api) fn takes(self, shape: Shape) -> Self {
        Self { body_required: true, ..self.takes_as("application/json", shape, None) }
    }

    /// Takes a JSON body, or none at all.
    pub(in crate::doors::api) fn may_take(self, shape: Shape) -> Self {
        self.takes_as("application/json", shape, None)
    }

    /// Takes a body of this type; `item`: the shape of a line.
    pub(in crate::doors::api) fn takes_as(mut self, media: &'static str, shape: Shape, item: Option<&Shape>) -> Self {
        self.bodies.push(Content { media, shape, item: item.map(|item| item.schema.clone()) });
        self.refuses(&[Kind::TooSlow, Kind::TooLarge, Kind::UnsupportedMediaType])
    }

    /// Answers JSON.
    pub(in crate::doors::api) fn answers(self, status: u16, about: &'static str, shape: Shape) -> Self {
        self.answers_as(status, about, "application/json", shape, None)
    }

    /// Answers in another type; `item`: the shape of a line, or of the data of an event.
    pub(in crate::doors::api) fn answers_as(
        mut self,
        status: u16,
        about: &'static str,
        media: &'static str,
        shape: Shape,
        item: Option<&Shape>,
    ) -> Self {
        let content = Content { media, shape, item: item.map(|item| item.schema.clone()) };
        match self.answers.iter_mut().find(|answer| answer.status == status) {
            Some(answer) => answer.contents.push(content),
            None => self.answers.push(Answer { status, about, contents: vec![content], headers: Map::new() }),
        }
        self
    }

    /// Answers 204.
    pub(in crate::doors::api) fn answers_nothing(mut self, about: &'static str) -> Self {
        self.answers.push(Answer { status: 204, about, contents: Vec::new(), headers: Map::new() });
        self
    }

    /// With a header in the answers so far.
    pub(in crate::doors::api) fn tells(mut self, name: &str, shape: Shape) -> Self {
        for answer in &mut self.answers {
            answer.headers.insert(name.into(), json!({"schema": shape.schema, "example": shape.example}));
        }
        self
    }

    /// Refuses also so.
    pub(in crate::doors::api) fn refuses(mut self, kinds: &[Kind]) -> Self {
        for kind in kinds {
            if !self.refusals.contains(kind) {
                self.refusals.push(*kind);
            }
        }
        self
    }

    /// As OpenAPI has it.
    pub(super) fn write(self, id: &str, tag: &str, scope: &str) -> Value {
        let Self { summary, about, parameters, bodies, body_required, answers, refusals } = self;
        let mut responses: Map<String, Value> =
            answers.into_iter().map(|answer| (answer.status.to_string(), answer.write())).collect();
        for status in statuses(&refusals) {
            responses.insert(status.to_string(), refusal(&refusals, status));
        }
        let mut written = json!({
            "operationId": id,
            "tags": [tag],
            "summary": summary,
            "security": [{"key": [scope]}],
            "responses": responses,
        });
        if let Some(about) = about {
            written["description"] = about.into();
        }
        if !parameters.is_empty() {
            written["parameters"] = parameters.into_iter().map(Parameter::write).collect();
        }
        if !bodies.is_empty() {
            written["requestBody"] = json!({"content": contents(bodies), "required": body_required});
        }
        written
    }
}

impl Parameter {
    fn write(self) -> Value {
        let Self { place, name, mut shape, required } = self;
        // Beside a parameter words are shown, inside its schema mostly not.
        let about = shape.schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut written =
            json!({"in": place, "name": name, "required": required, "schema": shape.schema, "example": shape.example});
        if let Some(about) = about {
            written["description"] = about;
        }
        written
    }
}

impl Answer {
    fn write(self) -> Value {
        let mut written = json!({"description": self.about});
        if !self.contents.is_empty() {
            written["content"] = contents(self.contents);
        }
        if !self.headers.is_empty() {
            written["headers"] = Value::Object(self.headers);
        }
        written
    }
}

fn contents(contents: Vec<Content>) -> Value {
    let write = |Content { media, shape, item }: Content| {
        let mut written = json!({"schema": shape.schema, "example": shape.example});
        if let Some(item) = item {
            written["x-item-schema"] = item;
        }
        (media.to_owned(), written)
    };
    Value::Object(contents.into_iter().map(write).collect())
}

fn statuses(refusals: &[Kind]) -> Vec<u16> {
    let mut statuses: Vec<u16> = refusals.iter().map(|kind| kind.status().as_u16()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// What is answered with this status: by reference if there is only one thing, else with an example of each.
fn refusal(refusals: &[Kind], status: u16) -> Value {
    let kinds: Vec<Kind> = refusals.iter().copied().filter(|kind| kind.status().as_u16() == status).collect();
    match kinds.as_slice() {
        [kind] => json!({"$ref": format!("#/components/responses/{}", kind.name())}),
        kinds => write_refusal(kinds),
    }
}

/// A response for problems of these kinds, which have one status.
pub(super) fn write_refusal(kinds: &[Kind]) -> Value {
    let example = |kind: &Kind| {
        let problem = Problem::new(*kind, "What is wrong here, in words.");
        (kind.name().to_owned(), json!({"value": problem}))
    };
    let mut written = json!({
        "description": kinds.iter().map(|kind| kind.title()).collect::<Vec<_>>().join("; or "),
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "examples": Value::Object(kinds.iter().map(example).collect()),
        }},
    });
    let header = |about: &str, schema: Value| json!({"description": about, "required": true, "schema": schema});
    if kinds.iter().any(|kind| [Kind::Unavailable, Kind::TooManyRequests].contains(kind)) {
        let seconds = json!({"type": "integer", "minimum": 1});
        written["headers"] = json!({"Retry-After": header("Seconds after which to try again", seconds)});
    }
    if kinds.contains(&Kind::Unauthorized) {
        written["headers"] = json!({"WWW-Authenticate": header("`Bearer`", json!({"type": "string"}))});
    }
    written
}
