//! Why a request brought nothing, in words for the person who typed it.

use crate::cli::problem::Problem;

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("nothing answers at {base}: is `handfast up` or `handfast serve` running? ({cause})")]
    Unreachable {
        /// The URL asked.
        base: String,
        /// The system's words.
        cause: String,
    },
    /// The connection was there, and the answer did not come: it is not known whether the request was carried out.
    #[error("{base} did not answer: {cause}")]
    Lost {
        /// The URL asked.
        base: String,
        /// The system's words.
        cause: String,
    },
    /// The node refused.
    #[error("{0}")]
    Refused(Problem),
    /// What answered does not talk like a handfast node.
    #[error("the answer of {base} was not understood ({what}): is this the private listener of a handfast node?")]
    Odd {
        /// The URL asked.
        base: String,
        /// What was strange.
        what: String,
    },
    /// The user asked to stop while this request was waiting for its next try.
    #[error("stopped while waiting: {0}")]
    Stopped(Box<ClientError>),
}

impl ClientError {
    /// The refusal's HTTP status, if it was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            _ => None,
        }
    }
}
