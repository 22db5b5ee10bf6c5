//! Every row of the specification's table of weaknesses (§6): the attack, and that it fails. Tests are named by their row.

mod callbacks;
mod codes;
mod connections;
mod outcomes;
mod replay;
mod secrets;
mod ssrf;
