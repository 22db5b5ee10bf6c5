//! The hub's pages, and a merchant's login through them.

mod keys;
mod login;
mod pages;
mod scene;
mod spaces;
