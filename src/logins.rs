//! Logins by code: applications, the codes that sign somebody in, sessions.

pub mod apps;
