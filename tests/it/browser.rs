//! Pages in a real browser.

mod driver;
mod form;
mod homing;
mod mailbox;
