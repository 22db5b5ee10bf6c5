//! A Homing Space merchant's side: attempts to sign in, accounts, sessions.
