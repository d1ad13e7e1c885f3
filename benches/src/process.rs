//! A process under measurement: its CPU time, memory and written bytes as `/proc` tells them, and its end.

use anyhow::{Context, bail};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// `sysconf(_SC_CLK_TCK)` of every Linux that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child that dies with its owner.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// Handed to the file system for writing.
    pub(crate) written_bytes: u64,
}

impl Process {
    /// Starts it with stdout thrown away.
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child })
    }

    /// Starts it and waits for its first line on stdout.
    pub(crate) fn spawn_and_read_line(command: &mut Command) -> anyhow::Result<(Self, String)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
        let out = child.stdout.take().context("stdout was not piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let mut process = Self { child };
        if line.is_empty() {
            let status = process.child.wait()?;
            bail!("{command:?} ended before it was ready: {status}");
        }
        Ok((process, line.trim().to_owned()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).context("the process ended")?;
        // The name in parentheses may hold spaces.
        let fields: Vec<&str> = stat.rsplit_once(')').context("stat has no name")?.1.split_whitespace().collect();
        let ticks = |index: usize| -> anyhow::Result<f64> { Ok(fields.get(index).context("stat is short")?.parse::<f64>()?) };
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.id())).unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).and_then(|n| n.parse().ok()).unwrap_or(0);
        Ok(Usage { cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, written_bytes: written })
    }

    /// Bytes resident now.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        resident(self.id())
    }

    /// SIGTERM, and does not wait.
    pub(crate) fn ask_to_end(&self) -> anyhow::Result<()> {
        signal(self.id(), "TERM")
    }

    /// SIGTERM, then wait; killed after a minute.
    pub(crate) fn terminate(self) -> anyhow::Result<()> {
        self.ask_to_end()?;
        self.wait()
    }

    /// Waits for the end, for a minute at most.
    pub(crate) fn wait(mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                bail!("did not end within a minute of SIGTERM");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// SIGTERM, then wait as [`Process::terminate`] does; what it had used when it was last seen alive.
    pub(crate) fn terminate_and_measure(mut self) -> anyhow::Result<Usage> {
        signal(self.id(), "TERM")?;
        let (began, mut last) = (Instant::now(), self.usage()?);
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                bail!("did not end within a minute of SIGTERM");
            }
            last = self.usage().unwrap_or(last);
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(last)
    }

    /// SIGKILL, and does not wait.
    pub(crate) fn cut_off(&self) -> anyhow::Result<()> {
        signal(self.id(), "KILL")
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        signal(self.id(), "STOP")
    }

    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        signal(self.id(), "CONT")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already: nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().context("kill")?;
    if status.success() { Ok(()) } else { bail!("kill -{name} {pid}: {status}") }
}

fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

/// Samples a process's memory in the background, every 50 ms.
#[derive(Debug)]
pub(crate) struct MemoryPeak {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl MemoryPeak {
    pub(crate) fn watch(process: &Process) -> Self {
        Self::watch_all(vec![process.id()])
    }

    /// Of several together.
    pub(crate) fn watch_all(pids: Vec<u32>) -> Self {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, highest) = (stop.clone(), peak.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let bytes = pids.iter().filter_map(|pid| resident(*pid).ok()).sum();
                highest.fetch_max(bytes, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, peak, thread: Some(thread) }
    }

    /// The highest sample.
    pub(crate) fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.peak.load(Ordering::Relaxed)
    }
}
