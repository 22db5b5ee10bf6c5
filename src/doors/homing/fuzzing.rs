//! Fuzz targets of requests to gateway and hub.

use super::{gateway, hub};

/// Every JSON body, and cookies.
pub(crate) fn requests(data: &[u8]) {
    hub::fuzzed(data);
    gateway::fuzzed(data);
}
