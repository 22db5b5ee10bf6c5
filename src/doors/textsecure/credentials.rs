//! Who is calling: HTTP Basic with `number` or `number.device` (specification §1.0).

use std::net::IpAddr;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use zeroize::Zeroizing;

use super::Door;
use super::answer::{Refusal, within};
use super::request::Request;
use crate::config::Bucket;
use crate::guessing::network;
use crate::limits;
use crate::phones::{self, Device, SignIn};
use crate::textsecure::Number;

const GUESSES: &str = "wrong-password-ip";

/// Base64 as clients send it: padded or not.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What the header says.
pub(super) struct Credentials {
    /// Before the colon: a number, maybe with a device; or the name of a peer.
    pub(super) user: String,
    /// Everything after the first colon.
    pub(super) password: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// None: no header, or none of this form.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, encoded) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let plain = Zeroizing::new(LENIENT.decode(encoded.trim()).ok()?);
        let colon = plain.iter().position(|byte| *byte == b':')?;
        let user = String::from_utf8(plain[..colon].to_vec()).ok()?;
        Some(Self { user, password: Zeroizing::new(plain[colon + 1..].to_vec()) })
    }

    /// Number and device; device 1 where none is named.
    pub(super) fn device(&self) -> Option<(Number, i16)> {
        device_of(&self.user)
    }
}

/// `number` or `number.device`.
pub(super) fn device_of(user: &str) -> Option<(Number, i16)> {
    let (number, device) = match user.split_once('.') {
        Some((number, device)) => (number, device.parse::<i16>().ok().filter(|device| *device > 0)?),
        None => (user, 1),
    };
    Some((number.parse().ok()?, device))
}

impl Door {
    /// The device that calls; 401 for whatever is wrong with it.
    pub(super) async fn device(&self, request: &Request) -> Result<Device, Refusal> {
        let credentials = Credentials::of(&request.headers).ok_or(Refusal::Unauthorized)?;
        let (number, device) = credentials.device().ok_or(Refusal::Unauthorized)?;
        self.sign_in(request.ip, &number, device, &credentials.password).await
    }

    /// The same, wherever the credentials stood.
    pub(super) async fn sign_in(
        &self,
        ip: IpAddr,
        number: &Number,
        device: i16,
        password: &[u8],
    ) -> Result<Device, Refusal> {
        let app = &self.app;
        let found = phones::sign_in(app, number, device).await?;
        let known = found.as_ref().is_some_and(|found| self.passwords.known(found.device.generation, password));
        let right = known || self.check(ip, found.as_ref(), password).await?;
        let Some(found) = found.filter(|_| right) else { return Err(Refusal::Unauthorized) };
        if found.first_today {
            phones::seen(app, &found.device).await?;
        }
        Ok(found.device)
    }

    /// Only what costs is counted: who is known is never kept out by a neighbour's guesses.
    async fn check(&self, ip: IpAddr, found: Option<&SignIn>, password: &[u8]) -> Result<bool, Refusal> {
        self.may_guess(ip).await?;
        let stored = found.map(|found| (found.device.generation, found.password.clone()));
        let right = self.passwords.check(stored, password).await;
        // What was right, or was not looked at, is no guess.
        if right != Ok(false) {
            self.was_right(ip).await?;
        }
        right.map_err(|_| Refusal::Unavailable)
    }

    /// Counts a guess, at a password or a code, before anything is compared; 413 after too many.
    pub(super) async fn may_guess(&self, ip: IpAddr) -> Result<(), Refusal> {
        let guesses = self.app.config.textsecure.wrong_passwords_per_ip.max(1);
        let bucket = Bucket { bucket: guesses, per_minute: f64::from(guesses) };
        within(limits::spend(&self.app, GUESSES, &network(ip), bucket, 1).await?)
    }

    /// It was none: it was right.
    pub(super) async fn was_right(&self, ip: IpAddr) -> Result<(), Refusal> {
        Ok(limits::give_back(&self.app, GUESSES, &network(ip), 1).await?)
    }
}

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(header: &str) {
    if let Some(credentials) = Credentials::parse(header) {
        assert!(!credentials.user.contains(':'));
        if let Some((number, device)) = credentials.device() {
            assert!(device > 0);
            assert!(device_of(&format!("{}.{device}", number.as_str())).is_some_and(|again| again == (number, device)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_as_clients_send_them() {
        let read = |text: &str| Credentials::parse(text).map(|c| (c.user.clone(), c.password.to_vec()));
        let good = Some((String::from("+14155550101"), b"a:b".to_vec()));
        assert_eq!(read("Basic KzE0MTU1NTUwMTAxOmE6Yg=="), good);
        assert_eq!(read("Basic KzE0MTU1NTUwMTAxOmE6Yg"), good);
        assert_eq!(read("basic  KzE0MTU1NTUwMTAxOmE6Yg=="), good);
        for bad in ["", "Basic", "Bearer KzE0MTU1NTUwMTAxOmE6Yg==", "Basic ####", "Basic KzE0MTU1NTUwMTAx"] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_user_is_a_number_and_maybe_a_device() {
        let read = |text: &str| device_of(text).map(|(number, device)| (number.as_str().to_owned(), device));
        let is = |device| Some((String::from("+14155550101"), device));
        assert_eq!(read("+14155550101"), is(1));
        assert_eq!(read("+14155550101.2"), is(2));
        for bad in [
            "+14155550101.",
            "+14155550101.x",
            "+14155550101.0",
            "+14155550101.99999",
            "+14155550101.1.2",
            "14155550101",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
