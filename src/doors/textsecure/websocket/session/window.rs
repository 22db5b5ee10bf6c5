//! What one connection has sent and heard nothing of yet.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::envelopes::Stored;
use crate::textsecure::Envelope;

/// Messages that may be sent and not acknowledged.
pub(super) const WINDOW: usize = 64;
/// The same in bytes; one message goes out whatever its size.
pub(super) const WINDOW_BYTES: usize = 1 << 20;
/// When it was full, it has room again when no more than this part of it is left: few reads for much, instead of one for each.
const LOW: usize = 2;

/// Numbers what is sent, from 1.
#[derive(Default)]
pub(super) struct Window {
    last: u64,
    sent: HashMap<u64, Sent>,
    /// Bytes of these.
    bytes: usize,
    full: bool,
    acknowledged: Vec<Sent>,
    /// Everything that is stored and must not be sent over this connection again: what was sent, acknowledged, or refused, and what
    /// cannot be read.
    known: HashSet<Uuid>,
}

/// A message that was sent.
pub(super) struct Sent {
    id: Uuid,
    bytes: usize,
    /// What its sender is told when it is taken, without the message; none for what is a receipt itself.
    pub(super) envelope: Option<Envelope>,
}

impl Window {
    /// Whether something more may be sent.
    pub(super) fn has_room(&self) -> bool {
        !self.full
    }

    /// How many stored messages are not to be sent again.
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// Which these are.
    pub(super) fn known_ids(&self) -> Vec<Uuid> {
        self.known.iter().copied().collect()
    }

    /// These cannot be sent: they must not be in the way of the others.
    pub(super) fn skip(&mut self, ids: &[Uuid]) {
        self.known.extend(ids);
    }

    /// Under which number this is sent.
    pub(super) fn sent(&mut self, stored: &Stored) -> u64 {
        self.last += 1;
        let envelope = (!stored.receipt).then(|| Envelope::from_plaintext(&stored.content)).flatten();
        let envelope = envelope.map(|envelope| Envelope { message: None, ..envelope });
        let sent = Sent { id: stored.id, bytes: stored.content.len(), envelope };
        self.bytes += sent.bytes;
        self.known.insert(sent.id);
        self.sent.insert(self.last, sent);
        self.full = self.sent.len() >= WINDOW || self.bytes >= WINDOW_BYTES;
        self.last
    }

    /// The client has it. A number that was not given, or was answered already, says nothing.
    pub(super) fn taken(&mut self, number: u64) {
        let sent = self.leave(number);
        self.acknowledged.extend(sent);
    }

    /// The client does not want it now: it stays stored, for the next connection.
    pub(super) fn refused(&mut self, number: u64) {
        self.leave(number);
    }

    /// What is to be taken from the store.
    pub(super) fn to_take(&self) -> Vec<Uuid> {
        self.acknowledged.iter().map(|sent| sent.id).collect()
    }

    /// It was taken.
    pub(super) fn forget(&mut self) -> Vec<Sent> {
        let taken = std::mem::take(&mut self.acknowledged);
        for sent in &taken {
            self.known.remove(&sent.id);
        }
        taken
    }

    fn leave(&mut self, number: u64) -> Option<Sent> {
        let sent = self.sent.remove(&number)?;
        self.bytes -= sent.bytes;
        self.full &= self.sent.len() > WINDOW / LOW || self.bytes > WINDOW_BYTES / LOW;
        Some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: u128, bytes: usize) -> Stored {
        Stored {
            id: Uuid::from_u128(id),
            number: "+14155550101".parse().unwrap(),
            device: 1,
            content: zeroize::Zeroizing::new(vec![0; bytes]),
            receipt: false,
        }
    }

    #[test]
    fn so_many_are_under_way_and_no_more() {
        let mut window = Window::default();
        for id in 1..=WINDOW {
            assert!(window.has_room());
            assert_eq!(window.sent(&stored(id as u128, 1)), id as u64);
        }
        for number in 1..=WINDOW / 2 {
            assert!(!window.has_room());
            window.taken(number as u64);
        }
        assert!(window.has_room());
    }

    #[test]
    fn a_large_one_goes_out_alone() {
        let mut window = Window::default();
        let large = window.sent(&stored(1, WINDOW_BYTES));
        assert!(!window.has_room());
        window.refused(large);
        assert!(window.has_room());
    }

    #[test]
    fn what_is_acknowledged_is_taken_once() {
        let mut window = Window::default();
        let (one, two) = (window.sent(&stored(1, 1)), window.sent(&stored(2, 1)));
        for number in [one, one, 99, 0] {
            window.taken(number);
        }
        assert_eq!(window.to_take(), [Uuid::from_u128(1)]);
        assert_eq!(window.known(), 2, "it is still stored");
        assert_eq!(window.forget().len(), 1);
        assert!(window.known() == 1 && window.to_take().is_empty());
        window.refused(two);
        window.taken(two);
        assert!(window.to_take().is_empty());
        assert_eq!(window.known_ids(), [Uuid::from_u128(2)], "not again over this connection");
    }

    #[test]
    fn what_cannot_be_read_is_known_and_takes_no_room() {
        let mut window = Window::default();
        let ids: Vec<Uuid> = (1..=2 * WINDOW as u128).map(Uuid::from_u128).collect();
        window.skip(&ids);
        assert!(window.has_room() && window.to_take().is_empty());
        assert_eq!(window.known(), ids.len());
    }
}
