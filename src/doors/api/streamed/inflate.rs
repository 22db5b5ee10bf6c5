//! The parts of a body, as they came or with gzip taken off.

use std::io::Write;

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

use crate::config::Period;
use crate::listen::{Body, BodyError};

/// Bytes of a gzip stream that are opened at a time.
const STEP: usize = 4 * 1024;

/// The parts of a body.
pub(in super::super) struct Parts {
    body: Body,
    gzip: Option<Gzip>,
}

impl Parts {
    pub(in super::super) fn of(body: Body, gzip: bool) -> Self {
        Self { body, gzip: gzip.then(Gzip::new) }
    }

    /// The next part, which must arrive within `timeout` from now; nothing at the end. Given up and asked again, it loses nothing.
    pub(super) async fn next(&mut self, timeout: Period) -> Result<Option<Bytes>, BodyError> {
        let Some(gzip) = &mut self.gzip else { return self.body.next(timeout).await };
        loop {
            // A few bytes can open to very many: others have their turn in between.
            tokio::task::coop::consume_budget().await;
            if let Some(part) = gzip.step()? {
                return Ok(Some(part));
            }
            if gzip.ended {
                return Ok(None);
            }
            match self.body.next(timeout).await? {
                Some(part) => gzip.closed = part,
                None => gzip.end()?,
            }
        }
    }
}

/// Opens gzip (RFC 1952, any number of members) step by step: one step gives at most what the decoder's buffer holds (32 KiB),
/// whatever the ratio, beside what the step before left.
struct Gzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    closed: Bytes,
    ended: bool,
    empty: bool,
}

impl Gzip {
    fn new() -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()), closed: Bytes::new(), ended: false, empty: true }
    }

    /// What the next bytes open to; nothing when more are needed.
    fn step(&mut self) -> Result<Option<Bytes>, BodyError> {
        while self.closed.has_remaining() {
            self.empty = false;
            let taken = self.decoder.write(&self.closed[..self.closed.len().min(STEP)]);
            self.closed.advance(taken.map_err(|_| BodyError::Broken)?);
            if !self.decoder.get_ref().is_empty() {
                break;
            }
        }
        let open = std::mem::take(self.decoder.get_mut());
        Ok((!open.is_empty()).then(|| open.into()))
    }

    /// No more will come: what was begun must be whole.
    fn end(&mut self) -> Result<(), BodyError> {
        self.ended = true;
        if self.empty { Ok(()) } else { self.decoder.try_finish().map_err(|_| BodyError::Broken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn closed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What came out, and its longest part.
    fn open(parts: &[&[u8]]) -> Result<(Vec<u8>, usize), BodyError> {
        let (mut gzip, mut text, mut longest) = (Gzip::new(), Vec::new(), 0);
        let mut steps = |gzip: &mut Gzip| {
            while let Some(part) = gzip.step()? {
                longest = longest.max(part.len());
                text.extend_from_slice(&part);
            }
            Ok(())
        };
        for part in parts {
            gzip.closed = Bytes::copy_from_slice(part);
            steps(&mut gzip)?;
        }
        gzip.end()?;
        steps(&mut gzip)?;
        Ok((text, longest))
    }

    #[test]
    fn members_are_opened_wherever_the_parts_end() {
        let both = [closed(b"one\n"), closed(b"two\n")].concat();
        for at in 0..both.len() {
            assert_eq!(open(&[&both[..at], &both[at..]]).unwrap().0, b"one\ntwo\n", "{at}");
        }
        assert_eq!(open(&[]).unwrap().0, b"");
    }

    #[test]
    fn a_bomb_comes_out_in_small_parts() {
        let bomb = closed(&vec![b'x'; 50 << 20]);
        assert!(bomb.len() < 100_000);
        let (text, longest) = open(&[&bomb]).unwrap();
        assert_eq!(text.len(), 50 << 20);
        assert!(longest <= 128 << 10, "{longest}");
    }

    #[test]
    fn what_is_no_gzip_or_ends_early_is_broken() {
        assert_eq!(open(&[b"plain text, not compressed"]), Err(BodyError::Broken));
        let whole = closed(&vec![b'y'; 10_000]);
        for length in [1, 9, 15, whole.len() - 1] {
            assert_eq!(open(&[&whole[..length]]), Err(BodyError::Broken), "{length}");
        }
    }
}
