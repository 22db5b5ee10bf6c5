//! Logins by code: the engine against a real PostgreSQL and a clock that is driven, its API, and whole nodes.

mod api;
mod backends;
mod carried;
mod engine;
mod guessing;
mod scene;
mod sessions;
