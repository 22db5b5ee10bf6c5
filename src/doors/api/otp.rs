//! Logins by code, for applications that speak this API instead of mesibo's: begin, verify, look a token up, sign out.
//!
//! Whoever calls here is an application's own server: it passes on where its user is, if it wants limits per network to hold. The
//! answer to a beginning says nothing of the address but what the caller has typed.

pub(super) mod describe;

use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::logins::sessions::Session;
use crate::logins::{self, Address, Application, Logins, Origin, Started, Verified, apps, parse};

use super::call::{Answer, Call, json as answer, nothing, ok};
use super::fields::Fields;
use super::problem::{Kind, Problem};
use super::values;

/// Longest text of any field.
const LONGEST: usize = 1024;

impl Call {
    pub(super) fn logins(&self) -> Logins {
        let serve = &self.shared.serve;
        Logins::new(&serve.app, &serve.acceptor, &serve.asker)
    }
}

/// What both steps say.
struct Step {
    app: String,
    address: (&'static str, Option<Address>),
    origin: Origin,
}

impl Step {
    fn read(fields: &mut Fields) -> Option<Self> {
        let app = fields.required("app", text);
        let phone = fields.optional("phone", text).map(|text| ("phone", parse::phone(&text)));
        let email = fields.optional("email", text).map(|text| ("email", parse::mail(&text)));
        let user = fields.optional("user", text).map(|text| ("user", parse::user(&text)));
        let ip = fields.optional("ip", ip);
        let device = fields.optional("device", text).unwrap_or_default();
        let device_type = fields.optional("device_type", text).unwrap_or_default();
        let mut given = [phone, email, user].into_iter().flatten();
        let (Some(address), None) = (given.next(), given.next()) else {
            if !fields.has_mistakes() {
                fields.mistake("phone", "one of phone, email and user is needed, and no more");
            }
            return None;
        };
        Some(Self { app: app?, address, origin: Origin::new(ip, &device, &device_type) })
    }

    /// The application, and the address as far as it is one.
    async fn find(&self, call: &Call) -> Result<(Application, Address), Problem> {
        let found = apps::find(call.app(), &self.app).await?.filter(|application| application.enabled);
        let application = found.ok_or_else(|| Problem::not_found("application"))?;
        let address = self.address.1.clone().ok_or_else(|| self.bad_address())?;
        Ok((application, address))
    }

    fn bad_address(&self) -> Problem {
        Problem::field(self.address.0, "is nothing that this application lets sign in")
    }
}

/// `POST /otp/start`
pub(super) async fn start(mut call: Call) -> Answer {
    call.no_query()?;
    call.unbound()?;
    let mut fields = call.fields().await?;
    let step = Step::read(&mut fields);
    let step = fields.finish(step)?;
    let (application, address) = step.find(&call).await?;
    let (logins, origin) = (call.logins(), step.origin.clone());
    let work = async move { logins.start(&application, &address, &origin).await };
    match to_its_end(work).await? {
        Started::Accepted => answer(StatusCode::ACCEPTED, &json!({"state": "started"})),
        Started::Limited { after } => Err(limited(after)),
        Started::BadAddress => Err(step.bad_address()),
        Started::Unavailable => Err(away()),
        Started::Refused(word) => Err(refused(&word)),
    }
}

/// `POST /otp/verify`
pub(super) async fn verify(mut call: Call) -> Answer {
    call.no_query()?;
    call.unbound()?;
    let mut fields = call.fields().await?;
    let step = Step::read(&mut fields);
    let code = fields.required("code", text).map(Zeroizing::new);
    let name = fields.optional("name", text).unwrap_or_default();
    let (step, code) = fields.finish(step.zip(code))?;
    let (application, address) = step.find(&call).await?;
    let (logins, origin) = (call.logins(), step.origin.clone());
    let work = async move { logins.verify(&application, &address, &code, &name, &origin).await };
    match to_its_end(work).await? {
        Verified::Token { token, address, name, expires_at, session, uid } => ok(&json!({
            "token": token.as_str(), "address": address, "name": name, "expires_at": expires_at, "session": session,
            "uid": uid,
        })),
        Verified::Wrong => Err(Problem::new(Kind::WrongCode, "Ask for a new code if it was not a slip.")),
        Verified::Limited { after } => Err(limited(after)),
        Verified::BadAddress => Err(step.bad_address()),
        Verified::Unavailable => Err(away()),
        Verified::Refused(word) => Err(refused(&word)),
    }
}

/// A caller that leaves drops its request; what is counted and asked by then must still be brought to its end.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, logins::Error>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(_) => {
            tracing::error!("a login panicked");
            Err(Problem::new(Kind::Internal, "The failure is in the node's log."))
        }
    }
}

/// `POST /otp/introspect`: the shape of RFC 7662.
pub(super) async fn introspect(mut call: Call) -> Answer {
    let token = token(&mut call).await?;
    match call.logins().introspect(&token).await? {
        Some(session) => ok(&active(&session)),
        None => ok(&json!({"active": false})),
    }
}

/// `DELETE /otp/session`: the same whether or not there was one.
pub(super) async fn sign_out(mut call: Call) -> Answer {
    let token = token(&mut call).await?;
    call.logins().sign_out(&token).await?;
    nothing()
}

fn active(session: &Session) -> Value {
    json!({
        "active": true,
        "app": session.appid,
        "sub": session.who.address,
        "kind": session.who.kind,
        "name": session.who.name,
        "device": session.who.device,
        "sid": session.id,
        "iat": session.created_at.as_second(),
        "exp": session.ends_at.as_second(),
    })
}

async fn token(call: &mut Call) -> Result<Zeroizing<String>, Problem> {
    call.no_query()?;
    call.unbound()?;
    let mut fields = call.fields().await?;
    let token = fields.required("token", text);
    Ok(Zeroizing::new(fields.finish(token)?))
}

fn limited(after: Duration) -> Problem {
    Problem::new(Kind::TooManyRequests, "Too many logins or codes; see Retry-After.").after(after)
}

fn away() -> Problem {
    Problem::new(Kind::Unavailable, "What this login needs is away for now. A code that was right can be tried again.")
}

fn refused(word: &str) -> Problem {
    Problem::new(Kind::Conflict, format!("The application's back end refused: {word}."))
}

/// Text of bounded length, whatever is in it.
fn text(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    if text.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} bytes"));
    }
    Ok(text)
}

fn ip(value: Value) -> Result<IpAddr, String> {
    values::text(value)?.parse().map_err(|_| "is not an IP address".into())
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(mut fields: Fields) -> Result<(), Problem> {
    let step = Step::read(&mut fields);
    fields.finish(step).map(drop)
}
