//! The TextSecure door of whole nodes, spoken to as the clients of 2013 and 2014 do.

mod attachments;
mod carriers;
mod directory;
mod federation;
mod keys;
mod messages;
mod operators;
mod push;
mod registration;
mod scene;
mod shown;
mod websocket;
