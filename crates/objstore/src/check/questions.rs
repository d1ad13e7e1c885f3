//! The questions of `check`, one function each. `Ok` and `Err` both say what was seen.

use super::said;
use crate::{Backend, BackendError, Created, ObjectInfo, Payload, probe::create_once};
use bytes::Bytes;
use floe_env::Env;
use futures::future::join_all;
use std::{sync::Arc, time::Duration};

type Answer = Result<String, String>;

const RACES: usize = 20;
const RACERS: usize = 16;
const LARGE: usize = 16 << 20;

pub(super) struct Questions<'a> {
    env: &'a Env,
    backend: &'a Arc<dyn Backend>,
    /// Without a slash at its end.
    folder: String,
}

impl<'a> Questions<'a> {
    pub(super) fn new(env: &'a Env, backend: &'a Arc<dyn Backend>) -> Self {
        Self { env, backend, folder: format!("check/{:032x}", env.random_u128()) }
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn body(&self, text: &str) -> Payload {
        Bytes::from(format!("{text} {:032x} written by floe store check; may be deleted. {}", self.env.random_u128(), "-".repeat(64)))
            .into()
    }

    async fn created(&self, key: &str, body: &Payload) -> Result<(), String> {
        match create_once(self.backend, key, body).await {
            Ok(Created::Won) => Ok(()),
            Ok(Created::Lost) => Err(format!("creating {key} was answered 'exists', but nobody else knows this name")),
            Err(error) => Err(said(&format!("creating {key}"), &error)),
        }
    }

    async fn expect(&self, key: &str, body: &Payload) -> Result<(), String> {
        match self.backend.get(key).await {
            Ok(found) if found == body.to_bytes() => Ok(()),
            Ok(found) => Err(format!("{key} holds {} other bytes than the {} written", found.len(), body.len())),
            Err(error) => Err(said(&format!("reading {key}"), &error)),
        }
    }

    pub(super) async fn create_and_read(&mut self) -> Answer {
        let mut times = Vec::new();
        for n in 0..10 {
            let (key, body) = (self.key(&format!("first/{n}")), self.body("first"));
            let began = self.env.monotonic();
            self.created(&key, &body).await?;
            times.push(self.env.monotonic().saturating_sub(began));
            self.expect(&key, &body).await?;
        }
        Ok(format!("10 small objects, median create {}", millis(median(times))))
    }

    pub(super) async fn create_only(&mut self) -> Answer {
        let key = self.key("only");
        let (first, second) = (self.body("first"), self.body("second"));
        self.created(&key, &first).await?;
        match self.backend.create(&key, second).await {
            Ok(()) => Err("a second create of the same key succeeded: this store overwrites".into()),
            Err(BackendError::Exists) => {
                self.expect(&key, &first).await?;
                Ok("a second create was refused and the first object stands".into())
            }
            Err(error) => Err(said("a second create was neither refused nor done", &error)),
        }
    }

    pub(super) async fn races(&mut self) -> Answer {
        let mut slowest = Duration::ZERO;
        for round in 0..RACES {
            let key = self.key(&format!("race/{round}"));
            let bodies: Vec<Payload> = (0..RACERS).map(|racer| self.body(&format!("racer {racer}"))).collect();
            let began = self.env.monotonic();
            let answers = join_all(bodies.iter().map(|body| create_once(self.backend, &key, body))).await;
            slowest = slowest.max(self.env.monotonic().saturating_sub(began));
            let winners: Vec<&Payload> =
                bodies.iter().zip(&answers).filter(|(_, a)| matches!(a, Ok(Created::Won))).map(|(b, _)| b).collect();
            match (winners.as_slice(), answers.iter().find_map(|answer| answer.as_ref().err())) {
                ([winner], _) => self.expect(&key, winner).await?,
                ([], Some(error)) => return Err(said(&format!("round {round}: nobody won"), error)),
                (winners, _) => return Err(format!("round {round}: {} of {RACERS} writers were told that they won", winners.len())),
            }
        }
        Ok(format!("{RACES} rounds of {RACERS} writers, slowest round {}", millis(slowest)))
    }

    pub(super) async fn read_after_write(&mut self) -> Answer {
        for n in 0..20 {
            let (key, body) = (self.key(&format!("after/{n:016x}")), self.body("after"));
            // A store may remember that a key was absent when it was first asked for.
            match self.backend.get(&key).await {
                Err(BackendError::NotFound) => {}
                Ok(_) => return Err(format!("{key} was there before it was written")),
                Err(error) => return Err(said("reading an absent key", &error)),
            }
            self.created(&key, &body).await?;
            self.expect(&key, &body).await?;
            let listed = self.backend.list(&self.key("after"), None, 100).await.map_err(|e| said("listing", &e))?;
            if listed.len() != n + 1 || listed.last() != Some(&ObjectInfo { key: key.clone(), size: body.len() }) {
                return Err(format!("a listing begun after {key} was created did not show it"));
            }
        }
        Ok("20 of 20 objects were read and listed at once".into())
    }

    pub(super) async fn absent(&mut self) -> Answer {
        let key = self.key("absent");
        let answers = [
            ("get", self.backend.get(&key).await.err()),
            ("range", self.backend.get_range(&key, 0..10).await.err()),
            ("start", self.backend.get_start(&key, 64).await.err()),
            ("tail", self.backend.get_tail(&key, 64).await.err()),
        ];
        for (what, error) in answers {
            match error {
                Some(BackendError::NotFound) => {}
                Some(other) => return Err(said(&format!("{what} of an absent object was answered otherwise"), &other)),
                None => return Err(format!("{what} of an absent object succeeded")),
            }
        }
        match self.backend.list(&key, None, 10).await {
            Ok(found) if found.is_empty() => Ok("reads say 'not there', a listing is empty".into()),
            Ok(found) => Err(format!("an empty folder lists {} objects", found.len())),
            Err(error) => Err(said("listing an empty folder", &error)),
        }
    }

    pub(super) async fn listing(&mut self) -> Answer {
        // The shapes of Floe's own keys: complemented numbers, folders of several depths.
        let mut keys = Vec::new();
        for chain in ["ffffffffffffffee", "ffffffffffffffef", "fffffffffffffff0"] {
            for name in [
                "claim/ffffffff",
                "end",
                "index/fffffffffffffffe",
                "index/ffffffffffffffff",
                "slot/0000000000000000",
                "slot/0000000000000001",
            ] {
                keys.push(self.key(&format!("list/{chain}/{name}")));
            }
        }
        let body = self.body("listed");
        for key in keys.iter().rev() {
            self.created(key, &body).await?;
        }
        let root = self.key("list");
        let all = self.backend.list(&root, None, 1000).await.map_err(|e| said("listing", &e))?;
        if !all.iter().map(|o| &o.key).eq(&keys) {
            return Err(format!("{} objects in an order of the store's own instead of {} bytewise", all.len(), keys.len()));
        }
        let mut paged: Vec<ObjectInfo> = Vec::new();
        loop {
            let after = paged.last().map(|last| last.key.clone());
            let page = self.backend.list(&root, after.as_deref(), 4).await.map_err(|e| said("listing a page", &e))?;
            let end = page.len() < 4;
            paged.extend(page);
            if end || paged.len() > keys.len() {
                break;
            }
        }
        if paged != all {
            return Err(format!("pages of 4 give {} objects, or another order, instead of {}", paged.len(), all.len()));
        }
        let folders = self.backend.list_folders(&root).await.map_err(|e| said("listing folders", &e))?;
        if folders != ["ffffffffffffffee", "ffffffffffffffef", "fffffffffffffff0"] {
            return Err(format!("the folders are listed as {folders:?}"));
        }
        Ok(format!("{} objects in 3 folders, whole, by pages of 4, and by folder", keys.len()))
    }

    pub(super) async fn ranges(&mut self) -> Answer {
        let key = self.key("ranges");
        let bytes = Bytes::from((0..100_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>());
        self.created(&key, &bytes.clone().into()).await?;
        let size = bytes.len() as u64;
        for range in [0..1, 0..size, 1000..70_000, size - 1..size] {
            let wanted = bytes.slice(range.start as usize..range.end as usize);
            match self.backend.get_range(&key, range.clone()).await {
                Ok(found) if found == wanted => {}
                Ok(found) => return Err(format!("bytes {range:?} came as {} other bytes", found.len())),
                Err(error) => return Err(said(&format!("bytes {range:?}"), &error)),
            }
        }
        match self.backend.get_tail(&key, 64).await {
            Ok((s, tail)) if s == size && tail == bytes.slice(bytes.len() - 64..) => {}
            Ok((s, tail)) => return Err(format!("the last 64 bytes came as {} of an object of {s}", tail.len())),
            Err(error) => return Err(said("the last 64 bytes", &error)),
        }
        match self.backend.get_range(&key, size - 10..size + 10).await {
            Err(BackendError::Corrupt(_)) => Ok("beginning, middle, end; a range beyond the end is told from a whole one".into()),
            Err(error) => Err(said("a range beyond the end", &error)),
            Ok(found) => Err(format!("20 bytes of which 10 exist came as {}", found.len())),
        }
    }

    pub(super) async fn large(&mut self) -> Answer {
        let key = self.key("large");
        let chunk =
            Bytes::from((0..LARGE / 32).flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).collect::<Vec<u8>>());
        let body = Payload::from(vec![chunk.clone(), chunk.clone(), chunk.clone(), chunk]);
        let began = self.env.monotonic();
        self.created(&key, &body).await?;
        let written = self.env.monotonic();
        self.expect(&key, &body).await?;
        let (wrote, read) = (written.saturating_sub(began), self.env.monotonic().saturating_sub(written));
        Ok(format!("{} MiB written in {}, read in {}", LARGE >> 20, millis(wrote), millis(read)))
    }

    /// Also cleans up after questions that failed halfway.
    pub(super) async fn clean_up(&mut self) -> Answer {
        let listed = self.backend.list(&self.folder, None, 10_000).await.map_err(|e| said("listing what was written", &e))?;
        for object in &listed {
            self.backend.delete(&object.key).await.map_err(|e| said(&format!("deleting {}", object.key), &e))?;
        }
        if let Some(object) = listed.first() {
            self.backend.delete(&object.key).await.map_err(|e| said("deleting what is gone already", &e))?;
        }
        match self.backend.list(&self.folder, None, 10_000).await {
            Ok(left) if left.is_empty() => Ok(format!("{} objects deleted", listed.len())),
            Ok(left) => Err(format!("{} of {} objects are still listed after their deletion", left.len(), listed.len())),
            Err(error) => Err(said("listing after the deletion", &error)),
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
