//! The program as its users meet it: built, started, asked, stopped. Nothing sleeps: everything waits for what it needs to see.

#![expect(clippy::disallowed_methods, reason = "these tests run processes, outside of every simulation")]

mod activator;
mod bench;
mod commands;
mod console;
mod credentials;
mod export;
mod groups;
mod idle;
mod process;
mod refusals;
mod serving;
mod settings;
