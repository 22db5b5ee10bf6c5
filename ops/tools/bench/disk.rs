//! What the disk itself costs: two `fdatasync` calls of 4 KiB, one after the other, which is the least that a durable accept and
//! a durable queue take between them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::latencies::Latencies;

const BLOCK: usize = 4096;
/// Blocks of each file, written in turn: as a log's segments are, they are there before they are written.
const BLOCKS: u64 = 1024;
/// As the load that it is compared with.
const PAUSE: Duration = Duration::from_millis(20);

/// `count` pairs, one every 20 ms, in a directory on the disk in question.
pub(crate) async fn two_syncs(dir: &Path, count: u32) -> anyhow::Result<Latencies> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || measure(&dir, count)).await?
}

fn measure(dir: &Path, count: u32) -> anyhow::Result<Latencies> {
    let paths = [dir.join("sync-probe-1"), dir.join("sync-probe-2")];
    let [first, second] = [file(&paths[0])?, file(&paths[1])?];
    let begun = Instant::now();
    let mut took = Vec::new();
    for n in 0..count {
        std::thread::sleep((PAUSE * n).saturating_sub(begun.elapsed()));
        let at = u64::from(n) % BLOCKS * BLOCK as u64;
        let one = Instant::now();
        for file in [&first, &second] {
            file.write_all_at(&[n as u8; BLOCK], at)?;
            file.sync_data()?;
        }
        took.push(one.elapsed().as_secs_f64() * 1000.0);
    }
    for path in &paths {
        std::fs::remove_file(path)?;
    }
    Ok(Latencies::of(took))
}

fn file(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
    let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    for block in 0..BLOCKS {
        file.write_all_at(&[0; BLOCK], block * BLOCK as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}
