//! What those who run a node work with: the record of changes, keys, backups, the shell's side of the program.

mod backup;
mod changes;
mod doctor;
mod keys;
mod migrate;
mod shell;
mod terminal;
