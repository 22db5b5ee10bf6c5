//! Homing Space, whole: a hub and a merchant's gateway as nodes of their own, users with the agent of `handfast homing`, and a
//! merchant that shares no line with us.

mod commands;
mod flow;
mod gateway;
mod hub;
mod merchant;
mod release;
mod scene;
mod threats;
