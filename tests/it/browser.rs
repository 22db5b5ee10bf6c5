//! Pages in a real browser.

mod console;
mod driver;
mod form;
mod homing;
mod looks;
mod mailbox;
