//! What a page is given, and what it answers.

use std::sync::Arc;

use http::StatusCode;
use maud::{Markup, html};
use uuid::Uuid;
use warp::reply::Response;

use super::Door;
use super::operator::Operator;
use crate::App;
use crate::doors::site::fields::Fields;
use crate::doors::site::flash::Flash;
use crate::doors::site::pieces;
use crate::doors::site::session::Session;
use crate::failure::{Failure, chain};
use crate::senders::Scope;

/// What a page that looks answers.
pub(super) type Answer = Result<View, Turned>;
/// What a change answers.
pub(super) type Changed = Result<Done, Turned>;

/// One request of somebody who is signed in and may make it.
pub(super) struct Call {
    /// What all requests share.
    pub(super) door: Arc<Door>,
    /// Who.
    pub(super) operator: Operator,
    /// Their session, for forms.
    pub(super) session: Session,
    /// The path's parameters, decoded.
    pub(super) parameters: Vec<String>,
    /// The query of a page.
    pub(super) query: Fields,
    /// The form of a change.
    pub(super) fields: Fields,
}

/// A page's content.
pub(super) struct View {
    pub(super) title: String,
    pub(super) main: Markup,
    /// The stream that keeps it up to date, where it is another than that of the strip.
    pub(super) stream: Option<&'static str>,
}

/// A change was made: the browser goes to a page, which says so.
pub(super) struct Done {
    pub(super) to: String,
    pub(super) flash: Flash,
    /// For the record: the id of what it made.
    pub(super) made: Option<Uuid>,
}

/// What is answered instead.
pub(super) enum Turned {
    /// An error page.
    Page { status: StatusCode, title: &'static str, words: String },
    /// The change was not made: the browser goes back, where it is said why. The status is for the record.
    Back { status: StatusCode, to: String, words: String },
    /// A page with another status: a form with what is wrong beside its fields, or what is shown only once, with the id of what was
    /// made.
    Shown { status: StatusCode, view: View, made: Option<Uuid> },
    /// A whole answer, such as a file.
    Whole(Box<Response>),
}

impl Call {
    pub(super) fn app(&self) -> &App {
        &self.door.serve.app
    }

    /// The path's `n`-th parameter, or nothing at all.
    pub(super) fn parameter(&self, n: usize) -> &str {
        self.parameters.get(n).map_or("", String::as_str)
    }

    /// The path's `n`-th parameter, as an id; what is none cannot exist.
    pub(super) fn id(&self, n: usize, what: &str) -> Result<Uuid, Turned> {
        self.parameter(n).parse().map_err(|_| Turned::missing(what))
    }

    /// Whether they may also change what belongs to `scope`: whether a form is offered. The routes ask again when it is sent.
    pub(super) fn may_change(&self, scope: Scope) -> bool {
        self.operator.scopes.allows(scope, true)
    }

    /// Whether they may read what belongs to `scope`: whether it is shown or linked to on a page of another scope.
    pub(super) fn may_read(&self, scope: Scope) -> bool {
        self.operator.scopes.allows(scope, false)
    }

    /// The query as it goes on behind `after`, as a link of this page.
    pub(super) fn next(&self, path: &str, after: &str) -> String {
        format!("{path}?{}", self.query.with("after", after))
    }

    /// The same from the beginning, where this is not the beginning.
    pub(super) fn first(&self, path: &str) -> Option<String> {
        self.query.filled("after").map(|_| format!("{path}?{}", self.query.with("after", "")))
    }

    /// A form that makes a change: fields, and a button.
    pub(super) fn form(&self, action: &str, fields: &Markup, button: &str) -> Markup {
        pieces::form(&self.session, action, fields, button)
    }

    /// The same behind a second look: `offer` opens it, `words` say what it does.
    pub(super) fn confirmed(&self, action: &str, offer: &str, words: &Markup, button: &str) -> Markup {
        pieces::confirmed(&self.session, action, offer, words, button)
    }
}

/// A page with this content under its title, which is its heading too.
pub(super) fn page(title: &str, content: &Markup) -> Answer {
    Ok(View::of(title, content))
}

impl View {
    fn of(title: &str, content: &Markup) -> Self {
        Self { title: title.to_owned(), main: html! { h1 { (title) } (content) }, stream: None }
    }
}

/// The change was made.
pub(super) fn done(to: impl Into<String>, words: impl Into<String>) -> Changed {
    Ok(Done { to: to.into(), flash: Flash { good: true, words: words.into() }, made: None })
}

/// The change was made, and with it something with an id.
pub(super) fn made(id: Uuid, to: impl Into<String>, words: impl Into<String>) -> Changed {
    done(to, words).map(|done| Done { made: Some(id), ..done })
}

/// What a change came to, for the record: a status, and the id of what it made.
pub(super) fn outcome(changed: &Changed) -> (StatusCode, Option<Uuid>) {
    match changed {
        Ok(done) => (StatusCode::OK, done.made),
        Err(Turned::Shown { status, made, .. }) => (*status, *made),
        Err(turned) => (turned.status(), None),
    }
}

impl Turned {
    /// There is no such thing.
    pub(super) fn missing(what: &str) -> Self {
        let words = format!("There is no such {what}. It may have been deleted, or its time to be kept is over.");
        Self::Page { status: StatusCode::NOT_FOUND, title: "Not found", words }
    }

    /// The form was not filled in right: back to it, with words.
    pub(super) fn invalid(to: impl Into<String>, words: impl Into<String>) -> Self {
        Self::Back { status: StatusCode::UNPROCESSABLE_ENTITY, to: to.into(), words: words.into() }
    }

    /// What is asked for does not fit what is there by now: back, with words.
    pub(super) fn conflict(to: impl Into<String>, words: impl Into<String>) -> Self {
        Self::Back { status: StatusCode::CONFLICT, to: to.into(), words: words.into() }
    }

    /// The change was made, and its page shows what is to be had only now. It must need nothing that could fail: what was made is
    /// lost to whoever asked if this is not shown.
    pub(super) fn shown(status: StatusCode, title: &str, content: &Markup) -> Self {
        Self::Shown { status, view: View::of(title, content), made: None }
    }

    /// The same, with the id of what was made.
    pub(super) fn shown_of(id: Uuid, title: &str, content: &Markup) -> Self {
        Self::Shown { status: StatusCode::CREATED, view: View::of(title, content), made: Some(id) }
    }

    /// Others do what this asks for, and it takes too much for all at once.
    pub(super) fn busy() -> Self {
        Self::Page {
            status: StatusCode::TOO_MANY_REQUESTS,
            title: "Others are counting",
            words: "So many count or search at this moment that there is no room for one more. Please try again in a moment.".into(),
        }
    }

    /// The form was not filled in right: its page again, with what is wrong beside the fields.
    pub(super) fn shown_again(view: View) -> Self {
        Self::Shown { status: StatusCode::UNPROCESSABLE_ENTITY, view, made: None }
    }

    /// For the record of changes.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Page { status, .. } | Self::Back { status, .. } | Self::Shown { status, .. } => *status,
            Self::Whole(response) => response.status(),
        }
    }

    /// A defect of ours.
    pub(super) fn defect() -> Self {
        Self::Page {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            title: "That did not work",
            words: "Something went wrong on the node's side. What it was is in the node's log.".into(),
        }
    }

    /// The database is away, or there is no room at it.
    pub(super) fn away() -> Self {
        Self::Page {
            status: StatusCode::SERVICE_UNAVAILABLE,
            title: "The database does not answer",
            words: "Without it this page has nothing to show. Messages that were accepted are safe and go on when it is back; \
                    please try again in a moment."
                .into(),
        }
    }
}

impl<E: Failure> From<E> for Turned {
    fn from(error: E) -> Self {
        tracing::error!(error = %chain(&error), "a page of the console failed");
        if error.is_passing() { Self::away() } else { Self::defect() }
    }
}
