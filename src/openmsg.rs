//! (being built)
/// A domain.
pub struct Domain(String);
impl std::str::FromStr for Domain {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Ok(Domain(s.into()))
    }
}
