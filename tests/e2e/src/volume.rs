//! A small file system of its own, in memory: a disk that can fill up and grow.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system. Dropped: unmounted.
#[derive(Debug)]
pub struct Volume {
    at: PathBuf,
}

impl Volume {
    /// Mounts one of `bytes` at `at`, which is made.
    ///
    /// # Errors
    /// The reason, for a SKIP line: mounting is for root.
    pub fn mount(at: &Path, bytes: u64) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        mount(&format!("size={bytes}"), at).map_err(|error| format!("cannot mount a tmpfs: {error:#}"))?;
        Ok(Self { at: at.to_owned() })
    }

    /// # Errors
    /// The system refuses.
    pub fn resize(&self, bytes: u64) -> anyhow::Result<()> {
        mount(&format!("remount,size={bytes}"), &self.at)
    }

    /// Bytes that are free.
    ///
    /// # Errors
    /// The system does not say.
    pub fn free(&self) -> anyhow::Result<u64> {
        let stat = rustix::fs::statvfs(&self.at)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a broker that a failed test left may still be ending.
        drop(Command::new("umount").arg("--lazy").arg(&self.at).status());
    }
}

fn mount(options: &str, at: &Path) -> anyhow::Result<()> {
    let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output().context("mount")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
