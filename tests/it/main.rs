//! The one test binary: it starts everything for real, drains the work, and fails where work is left.
mod embedded;
mod node;
mod openmsg;
mod peers;
mod people;
mod supervise;
mod support;
