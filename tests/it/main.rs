//! The one test binary: everything for real. Each test has a database and a broker prefix of its own; `ops/test` starts the servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod attachments;
mod broker;
mod browser;
mod campaigns;
mod chaos;
mod clients;
mod clocks;
mod deliveries;
mod destinations;
mod embedded;
mod events;
mod growth;
mod guide;
mod homing;
mod hostile;
mod house;
mod logins;
mod mesibo;
mod node;
mod observe;
mod openmsg;
mod operators;
mod peers;
mod people;
mod secrets;
mod supervise;
mod supply;
mod support;
mod textsecure;
mod webhooks;
