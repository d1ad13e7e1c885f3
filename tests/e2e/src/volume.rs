//! A small file system of its own: a disk in memory that can fill up and grow, or one in a file that can hang.

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

    /// Mounts one of `bytes` that lie in `image`, a file that is made: it can hang.
    ///
    /// # Errors
    /// The reason, for a SKIP line: mounting is for root, and takes mkfs.ext4 and a loop device.
    pub fn in_file(image: &Path, at: &Path, bytes: u64) -> Result<Self, String> {
        let make = || -> anyhow::Result<()> {
            std::fs::create_dir_all(at)?;
            std::fs::File::create(image)?.set_len(bytes)?;
            run(Command::new("mkfs.ext4").arg("-q").arg(image))?;
            run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))
        };
        make().map_err(|error| format!("cannot mount a file: {error:#}"))?;
        Ok(Self { at: at.to_owned() })
    }

    /// Writes to it hang until what comes back is dropped.
    ///
    /// # Errors
    /// The system refuses.
    pub fn hang(&self) -> anyhow::Result<Hanging> {
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.at))?;
        Ok(Hanging { at: self.at.clone() })
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

/// A file system whose writes hang.
#[derive(Debug)]
pub struct Hanging {
    at: PathBuf,
}

impl Drop for Hanging {
    fn drop(&mut self) {
        drop(Command::new("fsfreeze").arg("--unfreeze").arg(&self.at).status());
    }
}

fn mount(options: &str, at: &Path) -> anyhow::Result<()> {
    run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
