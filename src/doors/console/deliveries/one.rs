//! One delivery: what it is, how it stands, and every try.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::super::call::{Answer, Call, Changed, Turned, done, page};
use super::super::words;
use super::{at, missing, rows};
use crate::books::{self, AttemptView, Cancelled, Delivery, Outcome, Replayed, State};
use crate::doors::site::pieces::{self, Table, Tone, badge, number, text, time};
use crate::senders::Scope;

/// `GET /console/deliveries/{id}`
pub(in crate::doors::console) async fn show(call: Call) -> Answer {
    let id = call.id(0, "delivery")?;
    let delivery = books::delivery(call.app(), id).await?.ok_or_else(missing)?;
    let attempts = delivery.attempts.as_deref().unwrap_or_default();
    let content = html! {
        (words::live("standing", &html! {
            p { (words::state(delivery.state)) " " (standing(&delivery, call.app().clock.now())) }
        }))
        (actions(&call, &delivery))
        h2 { "Attempts" }
        (words::live("attempts", &html! { (timing(&delivery, attempts)) (tries(&delivery, attempts)) }))
        (answers(attempts))
        h2 { "Message" }
        (facts(&call, &delivery))
    };
    page(&format!("Delivery …{}", &id.to_string()[24..]), &content)
}

/// Where it is and what comes next, in a sentence.
fn standing(delivery: &Delivery, now: Timestamp) -> Markup {
    let waits = delivery.waits_for.map(rows::waits_for);
    html! {
        @match (delivery.next_attempt_at.filter(|at| *at > now), waits) {
            (Some(at), _) => { "Its next try is at " (time(at)) ", in " (words::since(now, at)) "." }
            (None, Some(waits)) => { "It waits for " (waits) "." }
            (None, None) => {
                @match delivery.state {
                    State::Delivered => "The peer has it.",
                    State::Sending => "A worker holds it.",
                    State::Pending => "It is about to be sent.",
                    State::Retrying => "Its next try is due.",
                    State::Failed => "It was refused for good, or tried as often as it may be.",
                    State::Expired => "Its life ended before it could be delivered.",
                    State::Unconfirmed => "It was sent and asked for, and the answer was lost: it may have arrived. It is not sent again by itself.",
                    State::Cancelled => "It was withdrawn.",
                }
            }
        }
        @if let Some(reason) = &delivery.reason { " Noted on it: " span .code { (reason) } "." }
    }
}

fn actions(call: &Call, delivery: &Delivery) -> Markup {
    let path = at(delivery.id);
    let open = matches!(delivery.state, State::Pending | State::Sending | State::Retrying);
    let ended = !open && delivery.state != State::Delivered;
    html! {
        @if call.may_change(Scope::Deliveries) {
            div .actions {
                @if ended {
                    (call.confirmed(
                        &format!("{path}/replay"),
                        "Replay…",
                        &html! {
                            p { "It is sent again, with its whole schedule and the life it had." }
                            @if delivery.state == State::Unconfirmed { p { strong { "It may have arrived already: then it arrives twice." } } }
                        },
                        "Replay it",
                    ))
                }
                @if open {
                    (call.confirmed(
                        &format!("{path}/cancel"),
                        "Cancel…",
                        &html! { p { "It is not sent any more, unless it has just gone." } },
                        "Cancel it",
                    ))
                }
            }
        }
    }
}

fn facts(call: &Call, delivery: &Delivery) -> Markup {
    let destination = words::segment(&delivery.destination);
    let mut pairs = vec![
        ("Id", html! { span .code { (delivery.id) } }),
        ("Accepted", time(delivery.created_at)),
        (
            "Destination",
            linked(call, Scope::Destinations, &format!("/console/destinations/{destination}"), &delivery.destination),
        ),
        (
            "Over",
            html! { (delivery.channel.map_or_else(|| "something newer".into(), |channel| format!("{channel:?}").to_lowercase())) ", lane " (delivery.lane.name()) },
        ),
        ("Handed over by", html! { (delivery.sender) }),
        ("Given up at", time(delivery.expires_at)),
    ];
    if let Some(from) = &delivery.from {
        pairs.push((
            "From",
            linked(call, Scope::Accounts, &format!("/console/accounts/{}", words::segment(from)), from),
        ));
    }
    if let Some(to) = &delivery.to {
        pairs.push(("To", html! { (to) " " a href=(super::link("to", to)) { "what else goes there" } }));
    }
    if let Some(tag) = &delivery.tag {
        pairs.push(("Tag", html! { a href=(super::link("tag", tag)) { (tag) } }));
    }
    if let Some(campaign) = delivery.campaign {
        let text = campaign.to_string();
        pairs.push(("Campaign", linked(call, Scope::Campaigns, &format!("/console/campaigns/{text}"), &text)));
    }
    if let Some(key) = &delivery.ordering_key {
        pairs.push(("Stands in the line", html! { (key) }));
    }
    if let Some(at) = delivery.deliver_at {
        pairs.push(("Not before", time(at)));
    }
    pieces::facts(&pairs)
}

/// A link for who may follow it.
fn linked(call: &Call, scope: Scope, path: &str, words: &str) -> Markup {
    html! { @if call.may_read(scope) { a href=(path) { (words) } } @else { (words) } }
}

fn tries(delivery: &Delivery, attempts: &[AttemptView]) -> Markup {
    let columns =
        [number("No."), text("Began"), text("After"), text("Took"), text("Outcome"), number("Status"), text("Code")];
    let longest = attempts.iter().map(|attempt| attempt.ms).max().unwrap_or(1).max(1);
    let row = |attempt: &AttemptView| {
        vec![
            html! { (attempt.no) },
            time(attempt.at),
            html! { (words::since(delivery.created_at, attempt.at)) },
            html! { (bar(attempt.ms, longest)) " " (words::took(attempt.ms)) },
            html! { (outcome(attempt.outcome)) @if attempt.late { " " (badge(Tone::Warn, "late")) } },
            html! { (words::maybe(attempt.status.map(|status| status.to_string()).as_deref())) },
            html! { span .code { (words::maybe(attempt.code.as_deref())) } },
        ]
    };
    let rows = attempts.iter().map(row).collect();
    Table { caption: "Attempts, oldest first", columns: &columns, rows, empty: "It has not been tried yet." }.render()
}

/// How long it took beside the others; the number stands next to it.
fn bar(ms: i32, longest: i32) -> Markup {
    let width = (f64::from(ms.max(0)) / f64::from(longest) * 80.0).max(1.0);
    html! {
        svg .bar width="80" height="8" viewBox="0 0 80 8" aria-hidden="true" {
            rect width="80" height="8" rx="2" class="rest" {}
            rect width=(format!("{width:.1}")) height="8" rx="2" {}
        }
    }
}

/// From when it was accepted until now or its end, with a mark where each try began; the table says the same.
fn timing(delivery: &Delivery, attempts: &[AttemptView]) -> Markup {
    let (Some(first), Some(last)) = (attempts.first(), attempts.last()) else { return html! {} };
    let begin = delivery.created_at.as_millisecond().min(first.at.as_millisecond());
    let end_of = |attempt: &AttemptView| attempt.at.as_millisecond() + i64::from(attempt.ms.max(0));
    let end = delivery.next_attempt_at.map_or(0, Timestamp::as_millisecond).max(end_of(last));
    let whole = (end - begin).max(1) as f64;
    let place = |at: i64| ((at - begin) as f64 / whole * 994.0).clamp(0.0, 994.0);
    let label = format!("{} tries within {}", attempts.len(), words::lasting((end - begin) / 1000));
    html! {
        svg .timing viewBox="0 0 1000 28" preserveAspectRatio="none" role="img" aria-labelledby="timing-title timing-about" {
            title #timing-title { (label) }
            desc #timing-about { "From when it was accepted on, with a mark where each try began; the table below says the same." }
            rect .rest y="12" width="1000" height="4" rx="2" {}
            @for attempt in attempts {
                @let x = place(attempt.at.as_millisecond());
                @let width = (place(end_of(attempt)) - x).max(6.0);
                rect class=(if attempt.outcome == Outcome::Delivered { "good" } else { "bad" })
                    x=(format!("{x:.1}")) y="4" width=(format!("{width:.1}")) height="20" rx="2" {}
            }
            @if let Some(next) = delivery.next_attempt_at {
                rect .next x=(format!("{:.1}", place(next.as_millisecond()))) y="4" width="6" height="20" rx="2" {}
            }
        }
    }
}

fn answers(attempts: &[AttemptView]) -> Markup {
    let told: Vec<(i16, &str)> =
        attempts.iter().filter_map(|attempt| Some((attempt.no, attempt.answer.as_deref()?))).collect();
    html! {
        @if !told.is_empty() {
            h2 { "What was answered" }
            @for (n, (no, answer)) in told.iter().enumerate() {
                details #{ "answer-" (no) } open[n + 1 == told.len()] {
                    summary { "Attempt " (no) ", its first bytes" }
                    pre tabindex="0" { (answer) }
                }
            }
        }
    }
}

fn outcome(outcome: Outcome) -> Markup {
    match outcome {
        Outcome::Delivered => badge(Tone::Good, "delivered"),
        Outcome::RefusedForNow => badge(Tone::Warn, "refused for now"),
        Outcome::RefusedForGood => badge(Tone::Bad, "refused for good"),
        Outcome::NotSent => badge(Tone::Warn, "not sent"),
        Outcome::Unknown => badge(Tone::Warn, "outcome unknown"),
    }
}

/// `POST /console/deliveries/{id}/replay`
pub(in crate::doors::console) async fn replay(call: Call) -> Changed {
    let id = call.id(0, "delivery")?;
    let replayed = books::replay(call.app(), &[id]).await?.pop().unwrap_or(Replayed::Unknown);
    let no = |words: &str| Err(Turned::conflict(at(id), words));
    match replayed {
        Replayed::Replayed => done(at(id), "It is due now, as if it had just been accepted."),
        Replayed::Delivered => no("It had arrived: it is not sent again."),
        Replayed::Open => no("It is under way anyway."),
        Replayed::Busy => {
            no("It was cancelled a moment ago, and a worker may still be sending it. Please try again in a minute.")
        }
        Replayed::Unknown => Err(missing()),
    }
}

/// `POST /console/deliveries/{id}/cancel`
pub(in crate::doors::console) async fn cancel(call: Call) -> Changed {
    let id = call.id(0, "delivery")?;
    match books::cancel(call.app(), id).await?.ok_or_else(missing)? {
        Cancelled::Stopped => done(at(id), "It will not be sent."),
        Cancelled::Stopping => {
            done(at(id), "A worker holds it: it is dropped within a second, unless it has just gone.")
        }
        Cancelled::Gone => Err(Turned::conflict(at(id), "It is too late: it has gone, or had ended before.")),
    }
}
