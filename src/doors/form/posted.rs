//! What a browser posts, into types. No error repeats a value that may be the code.

use crate::doors::site::fields::Fields;
use crate::openmsg::{Address, AddressId, PassCode};

/// What the form asks for.
pub(super) struct Wanted {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) code: PassCode,
}

/// The form's fields into types, or words for the first that is wrong; the code is not in the words.
pub(super) fn read_wanted(fields: &Fields, domain: &str) -> Result<Wanted, String> {
    let to: Address = fields
        .get("other_openmsg_address")
        .parse()
        .map_err(|error| format!("The other address is not valid: {error}."))?;
    let code = fields.get("pass_code").trim();
    let code = code.parse().map_err(|_| "The pass code is not valid: it consists of six digits.".to_owned())?;
    let from =
        read_own(fields.get("from").trim(), domain).map_err(|words| format!("Your address is not valid: {words}."))?;
    if from == to {
        return Err("Both addresses are the same.".into());
    }
    Ok(Wanted { from, to, code })
}

fn read_own(text: &str, domain: &str) -> Result<Address, String> {
    if text.contains('*') {
        let address: Address = text.parse().map_err(|error| format!("{error}"))?;
        return if address.domain().as_str() == domain { Ok(address) } else { Err(format!("it ends in *{domain}")) };
    }
    let id: AddressId = text.parse().map_err(|error| format!("{error}"))?;
    let domain = domain.parse().map_err(|error| format!("{error}"))?;
    Address::new(&id, &domain).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_form_is_read_into_types_and_the_code_is_in_no_error() {
        let read = |body: &str| read_wanted(&Fields::parse(body.as_bytes()), "our.example");
        let good = read("from=1000&other_openmsg_address=2*a.example&pass_code=042137").unwrap();
        assert_eq!((good.from.as_str(), good.code.as_str()), ("1000*our.example", "042137"));
        for wrong in [
            "",
            "from=1000&other_openmsg_address=2*a.example&pass_code=98765",
            "from=1000&other_openmsg_address=nobody&pass_code=987654",
            "from=7*b.example&other_openmsg_address=2*a.example&pass_code=987654",
            "from=2*our.example&other_openmsg_address=2*our.example&pass_code=987654",
        ] {
            let error = read(wrong).err().unwrap();
            assert!(!error.contains("9876"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body: Vec<u8>) {
            let _ = read_wanted(&Fields::parse(&body), "our.example");
        }
    }
}
