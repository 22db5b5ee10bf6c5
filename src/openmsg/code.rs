//! Response codes of messages, and what each asks of the sender.

/// A `response_code`; meanings as published since 2025-07-29.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// `SM_S888`: accepted.
    Accepted,
    /// `SM_E000`: anything else went wrong, or fields are missing.
    Unknown,
    /// `SM_E001`: no such connection at the receiver.
    IdentInvalid,
    /// `SM_E002`: the address takes no messages.
    RejectedByUser,
    /// `SM_E003`: the sender's domain did not confirm the message.
    MessageUnknown,
    /// `SM_E004`: the hash is wrong, so the auth codes differ.
    HashInvalid,
    /// `SM_E005`: older than 60 s.
    Expired,
    /// `SM_E006`: the package does not open.
    DecryptionFailed,
    /// `SM_E007`: the nonce was used before.
    NonceUsed,
    /// `SM_E008`: not now.
    RejectedForNow,
    /// `SM_E009`: closed down, or the sender's domain is blocked.
    RejectedForGood,
}

/// What a sender does about a code. Every new try is made from the stored text: new time, new salt, new nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Delivered.
    Done,
    /// Try again after a pause, a bounded number of times.
    Retry,
    /// Try again after a pause, and tell the operator: the peer cannot reach our confirm endpoint.
    RetryAndAlarm,
    /// Try again at once, a single time (E005: also check the clock; E007: the fresh nonce mends it). The second time it has failed.
    RetryOnce,
    /// The recipient does not want it. Never again by itself; tell the user.
    Refused,
    /// The two sides no longer hold the same secrets: mark the connection broken, a new code is needed.
    Broken,
    /// The whole domain refuses us: stop everything to it.
    DomainClosed,
}

const ALL: [Code; 11] = [
    Code::Accepted,
    Code::Unknown,
    Code::IdentInvalid,
    Code::RejectedByUser,
    Code::MessageUnknown,
    Code::HashInvalid,
    Code::Expired,
    Code::DecryptionFailed,
    Code::NonceUsed,
    Code::RejectedForNow,
    Code::RejectedForGood,
];

impl Code {
    /// `response_code`, such as `SM_E001`.
    pub fn wire(self) -> &'static str {
        match self {
            Self::Accepted => "SM_S888",
            Self::Unknown => "SM_E000",
            Self::IdentInvalid => "SM_E001",
            Self::RejectedByUser => "SM_E002",
            Self::MessageUnknown => "SM_E003",
            Self::HashInvalid => "SM_E004",
            Self::Expired => "SM_E005",
            Self::DecryptionFailed => "SM_E006",
            Self::NonceUsed => "SM_E007",
            Self::RejectedForNow => "SM_E008",
            Self::RejectedForGood => "SM_E009",
        }
    }

    /// `error_code`, such as `ident_code_invalid`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Unknown => "unknown_error",
            Self::IdentInvalid => "ident_code_invalid",
            Self::RejectedByUser => "message_rejected_byuser",
            Self::MessageUnknown => "message_unknown",
            Self::HashInvalid => "message_hash_invalid",
            Self::Expired => "message_expired",
            Self::DecryptionFailed => "message_decryption_error",
            Self::NonceUsed => "message_nonce_error",
            Self::RejectedForNow => "message_rejected_temp",
            Self::RejectedForGood => "message_rejected_perm",
        }
    }

    /// Reads a `response_code`, or an `error_code` in either of its spellings.
    pub fn from_wire(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("message_data_missing") {
            return Some(Self::Unknown);
        }
        ALL.into_iter().find(|code| code.wire().eq_ignore_ascii_case(text) || code.name().eq_ignore_ascii_case(text))
    }

    /// `error_message`: one sentence for whoever reads the peer's log.
    pub fn text(self) -> &'static str {
        match self {
            Self::Accepted => "The message was accepted",
            Self::Unknown => "The message could not be processed",
            Self::IdentInvalid => "There is no connection with this ident_code for the receiving address",
            Self::RejectedByUser => "The receiving address takes no messages on this connection",
            Self::MessageUnknown => "The sending domain did not confirm the message",
            Self::HashInvalid => "The message_hash is not the one calculated here",
            Self::Expired => "The message_timestamp is more than 60 seconds from the time here",
            Self::DecryptionFailed => "The message_package could not be decrypted",
            Self::NonceUsed => "The nonce was used before on this connection",
            Self::RejectedForNow => "The message is not taken now, try again later",
            Self::RejectedForGood => "Messages from this domain are not taken",
        }
    }

    /// What the sender does about it.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Accepted => Verdict::Done,
            Self::Unknown | Self::RejectedForNow => Verdict::Retry,
            Self::MessageUnknown => Verdict::RetryAndAlarm,
            Self::Expired | Self::NonceUsed => Verdict::RetryOnce,
            Self::RejectedByUser => Verdict::Refused,
            Self::IdentInvalid | Self::HashInvalid | Self::DecryptionFailed => Verdict::Broken,
            Self::RejectedForGood => Verdict::DomainClosed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for code in ALL {
            assert_eq!(Code::from_wire(code.wire()), Some(code));
            assert_eq!(Code::from_wire(code.name()), Some(code));
        }
        assert_eq!(Code::from_wire("message_data_missing"), Some(Code::Unknown));
        assert_eq!(Code::from_wire("SM_E010"), None);
        assert_eq!(Code::from_wire(""), None);
    }

    #[test]
    fn every_code_has_its_verdict() {
        let verdicts = ALL.map(|code| (code.wire(), code.verdict()));
        assert_eq!(
            verdicts,
            [
                ("SM_S888", Verdict::Done),
                ("SM_E000", Verdict::Retry),
                ("SM_E001", Verdict::Broken),
                ("SM_E002", Verdict::Refused),
                ("SM_E003", Verdict::RetryAndAlarm),
                ("SM_E004", Verdict::Broken),
                ("SM_E005", Verdict::RetryOnce),
                ("SM_E006", Verdict::Broken),
                ("SM_E007", Verdict::RetryOnce),
                ("SM_E008", Verdict::Retry),
                ("SM_E009", Verdict::DomainClosed),
            ]
        );
    }
}
