//! The one test binary: real PostgreSQL, each test with a database of its own.

mod api;
mod people;
mod support;
