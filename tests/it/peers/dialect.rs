//! The Openmsg dialects that have been published, as data: one row each, one column per difference on the wire.
//!
//! What no row says is the same in all of them: the `auth` request, the fields of a message, the time windows.

/// A published state of the Openmsg code (or of an independent implementation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The handshake page as published: its initiator asks for a name key that no receiver sends.
    Seed,
    /// The seed with the initiator reading the key that its own `auth` sends.
    Seed2,
    /// 20 June 2025: standard base64, the first set of response codes.
    Jun,
    /// 4 July 2025: url-safe base64, the confirmation's field renamed, still the first set of response codes.
    Jul,
    /// 29 July 2025: `error_code`, decryption failures become `SM_E006`; a re-handshake makes a new `ident_code`.
    Oct,
    /// 25 October 2025: `ident_code` is kept, and an initiator refuses a changed one.
    OctKept,
    /// The 21 minutes on 29 October 2025 in which the receiver hashed the two addresses in the wrong order.
    Swapped,
    /// "1.0", from 29 October 2025: `passcode_hash` instead of the code.
    V1,
    /// The TypeScript implementation, which is confirmed on a path of its own. It carries no messages here.
    CleanSend,
}

/// What a receiver of a handshake shows the initiator as proof that it knows the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The code itself, in `pass_code`.
    Code,
    /// SHA-256 of code, sending and receiving address, in `passcode_hash`.
    Hash,
    /// The same with the addresses exchanged.
    SwappedHash,
}

/// What happens to `ident_code` when two users shake hands again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ident {
    /// A new one each time.
    New,
    /// The receiver keeps it; the initiator refuses another one.
    Kept,
}

/// The base64 of packages and nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// `+/`, padded; decoded leniently, as PHP's `base64_decode` does.
    Standard,
    /// `-_`, no padding; anything else is an uncaught exception.
    UrlSafe,
}

/// Which meaning the response codes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    /// Before 29 July 2025: no `error_code`, decryption fails with `SM_E005`, an empty message-confirm with `SM_E003`.
    First,
    /// Since then.
    Second,
}

/// One row of the table of dialects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// The field of auth-confirm that holds the receiving address, both sent and read.
    pub(crate) confirm_address: &'static str,
    /// The proof in auth-confirm, both sent and read.
    pub(crate) proof: Proof,
    /// The key under which `auth` answers the user's name.
    pub(crate) name_sent: &'static str,
    /// The key under which the initiator looks for it.
    pub(crate) name_read: &'static str,
    pub(crate) ident: Ident,
    pub(crate) alphabet: Alphabet,
    pub(crate) codes: Codes,
    /// Whether `/openmsg/sandbox/…` is served too.
    pub(crate) sandbox: bool,
    /// Whether "cannot be blank" repeats what was sent, code included.
    pub(crate) echoes_blanks: bool,
    /// An Express application instead of PHP: other paths, other framing, JSON content type.
    pub(crate) express: bool,
}

impl Dialect {
    /// This dialect's row.
    #[rustfmt::skip]
    pub(crate) fn traits(self) -> Traits {
        use Alphabet::{Standard, UrlSafe};
        use Codes::{First, Second};
        use Ident::{Kept, New};
        use Proof::{Code, Hash, SwappedHash};
        match self {
            //                         confirm_address    proof        name_sent       name_read       ident alphabet  codes   sandbox echoes express
            Dialect::Seed      => row((ADDRESS_OTHER,     Code,        NAME_OTHER,     NAME_SELF,      New,  Standard, First,  false,  false, false)),
            Dialect::Seed2     => row((ADDRESS_OTHER,     Code,        NAME_OTHER,     NAME_OTHER,     New,  Standard, First,  false,  false, false)),
            Dialect::Jun       => row((ADDRESS_OTHER,     Code,        NAME_RECEIVING, NAME_RECEIVING, New,  Standard, First,  true,   false, false)),
            Dialect::Jul       => row((ADDRESS_RECEIVING, Code,        NAME_RECEIVING, NAME_RECEIVING, New,  UrlSafe,  First,  true,   false, false)),
            Dialect::Oct       => row((ADDRESS_RECEIVING, Code,        NAME_RECEIVING, NAME_RECEIVING, New,  UrlSafe,  Second, true,   false, false)),
            Dialect::OctKept   => row((ADDRESS_RECEIVING, Code,        NAME_RECEIVING, NAME_RECEIVING, Kept, UrlSafe,  Second, true,   false, false)),
            Dialect::Swapped   => row((ADDRESS_RECEIVING, SwappedHash, NAME_RECEIVING, NAME_RECEIVING, Kept, UrlSafe,  Second, false,  true,  false)),
            Dialect::V1        => row((ADDRESS_RECEIVING, Hash,        NAME_RECEIVING, NAME_RECEIVING, Kept, UrlSafe,  Second, false,  true,  false)),
            Dialect::CleanSend => row((ADDRESS_OTHER,     Code,        NAME_RECEIVING, NAME_RECEIVING, New,  Standard, First,  false,  false, true)),
        }
    }
}

const ADDRESS_OTHER: &str = "other_openmsg_address";
const ADDRESS_RECEIVING: &str = "receiving_openmsg_address";
const NAME_OTHER: &str = "other_openmsg_address_name";
const NAME_SELF: &str = "self_openmsg_address_name";
const NAME_RECEIVING: &str = "receiving_openmsg_address_name";

type Row = (&'static str, Proof, &'static str, &'static str, Ident, Alphabet, Codes, bool, bool, bool);

fn row(
    (confirm_address, proof, name_sent, name_read, ident, alphabet, codes, sandbox, echoes_blanks, express): Row,
) -> Traits {
    Traits { confirm_address, proof, name_sent, name_read, ident, alphabet, codes, sandbox, echoes_blanks, express }
}
