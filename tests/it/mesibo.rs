//! The mesibo door, as the applications that were shipped use it, with a back end of mesibo's kind behind it.

mod backend;
mod clients;
mod errors;
mod failures;
mod hostile;
mod modes;
mod scene;
mod verifier;
