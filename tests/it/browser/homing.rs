//! The hub's pages, and a merchant's login through them.

mod keys;
mod pages;
mod scene;
