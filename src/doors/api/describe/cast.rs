//! Who plays in the examples: a shop, its customer elsewhere, and what belongs to them. The test that runs the examples puts its
//! own ids in place of these.

pub(in crate::doors::api) const ACCOUNT: &str = "1000*our.example";
/// An account that is still to be made.
pub(in crate::doors::api) const NEW_ACCOUNT: &str = "2000*our.example";
pub(in crate::doors::api) const PEER: &str = "0012345*other.example";
pub(in crate::doors::api) const WEBHOOK: &str = "orders";
pub(in crate::doors::api) const PHONE: &str = "+18005551234";
pub(in crate::doors::api) const APP: &str = "com.example.app";
pub(in crate::doors::api) const SITE: &str = "hst_demo";

pub(in crate::doors::api) const MOMENT: &str = "2026-11-21T09:30:00Z";
pub(in crate::doors::api) const DAY: &str = "2026-11-21";
pub(in crate::doors::api) const CURSOR: &str = "3e9-2a-1-6428a7c3f2d40";

pub(in crate::doors::api) const MESSAGE: &str = "0192f0c1-5a3e-7b11-8f00-000000000001";
pub(in crate::doors::api) const CONNECTION: &str = "0192f0c1-5a3e-7b11-8f00-000000000002";
pub(in crate::doors::api) const HANDSHAKE: &str = "0192f0c1-5a3e-7b11-8f00-000000000003";
pub(in crate::doors::api) const CAMPAIGN: &str = "0192f0c1-5a3e-7b11-8f00-000000000004";
pub(in crate::doors::api) const OPERATION: &str = "0192f0c1-5a3e-7b11-8f00-000000000005";
pub(in crate::doors::api) const ENTRY: &str = "0192f0c1-5a3e-7b11-8f00-000000000006";
pub(in crate::doors::api) const PASS_CODE: &str = "0192f0c1-5a3e-7b11-8f00-000000000007";
pub(in crate::doors::api) const SESSION: &str = "0192f0c1-5a3e-7b11-8f00-000000000008";
pub(in crate::doors::api) const KEY: &str = "0192f0c1-5a3e-7b11-8f00-000000000009";
pub(in crate::doors::api) const PERSON: &str = "0192f0c1-5a3e-7b11-8f00-00000000000a";

/// The token of a session, and what a gateway's cookie holds.
pub(in crate::doors::api) const TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// A signing secret. It signs nothing anywhere.
pub(in crate::doors::api) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
