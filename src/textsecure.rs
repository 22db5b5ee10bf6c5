//! The TextSecure protocol's own words: what clients and servers of 2013 and 2014 say to each other. Pure: no door, no database.
//!
//! Sources are the two descriptions of the protocol, version 1 (December 2013) and version 2 (February 2014), and what the clients
//! of that time do where they differ. What an answer looks like on the wire stands with the endpoint ([`crate::doors`]).

pub mod envelope;
pub mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod number;
pub mod seal;
mod token;

pub use envelope::Envelope;
pub use number::{Number, NumberError};
pub use token::{TOKEN_BYTES, Token, TokenText};

/// Whose deliveries those of this protocol are in the books, and which service its codes speak of.
pub const SERVICE: &str = "textsecure";
