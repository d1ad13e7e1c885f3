//! Random damage to good frames of every API and version: never a panic, and what is still decoded was counted.
//!
//! `FLOE_FUZZ_CASES` (1,000,000 requests, and a quarter as many responses) from `FLOE_FUZZ_FIRST` (0) on, by `FLOE_FUZZ_SEED` (1), on two
//! threads; a failure prints its case.

use super::{counted, encode, receive, reencode, samples, served};
use crate::{api_versions, encode_response, frame};
use bytes::Bytes;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 8] = [0, 1, 2, 0x7F, 0x80, 0x81, 0xFE, 0xFF];
        if self.below(2) == 0 { EDGES[self.below(8)] } else { self.next().to_be_bytes()[0] }
    }
}

/// One to eight changes: a byte, a run, a cut, an insertion, a copied part.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 | 1 if !bytes.is_empty() => bytes[at] = random.byte(),
            2 => {
                for byte in bytes.iter_mut().skip(at).take(1 + random.below(8)) {
                    *byte = random.byte();
                }
            }
            3 => bytes.truncate(at),
            4 => bytes.insert(at, random.byte()),
            _ => {
                let end = at + random.below(bytes.len() - at);
                let part = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, part);
            }
        }
    }
}

/// Runs all cases, every second one on a thread of its own, and adds up what each half gives.
fn run_cases(share: u64, half: impl Fn(u64, std::iter::StepBy<std::ops::Range<u64>>) -> [u64; 2] + Sync) -> (u64, [u64; 2]) {
    let (first, seed) = (setting("FLOE_FUZZ_FIRST", 0), setting("FLOE_FUZZ_SEED", 1));
    let cases = setting("FLOE_FUZZ_CASES", 1_000_000) / share;
    let range = |from: u64| (first + from..first + cases).step_by(2);
    std::thread::scope(|threads| {
        let other = threads.spawn(|| half(seed, range(1)));
        let [a, b] = half(seed, range(0));
        let [c, d] = other.join().expect("the other half holds too");
        (cases, [a + c, b + d])
    })
}

fn damaged_requests(good: &[Vec<u8>], seed: u64, cases: impl Iterator<Item = u64>) -> [u64; 2] {
    let (mut decoded, mut refused) = (0, 0);
    for case in cases {
        let mut random = Random(seed.wrapping_mul(1 << 32).wrapping_add(case));
        let mut bytes = good[random.below(good.len())].clone();
        damage(&mut bytes, &mut random);
        let bytes = Bytes::from(bytes);
        let Ok(request) = receive(bytes.clone()) else {
            refused += 1;
            continue;
        };
        decoded += 1;
        let (header, body) = frame::decode_header(bytes).unwrap();
        let context = || format!("FLOE_FUZZ_SEED={seed} FLOE_FUZZ_FIRST={case} FLOE_FUZZ_CASES=1: {} {}", header.api, header.version);
        let counted = counted(header.api, header.version, body).unwrap_or_else(|error| panic!("{}: {error:?}", context()));
        assert!(counted >= samples::elements(&request), "{}: {counted} counted, {request:?}", context());
        let again = encode(&request, header.version).unwrap_or_else(|error| panic!("{}: {error}", context()));
        // Compared as bytes: a quota may be no number, which equals nothing.
        let second = receive(again.to_bytes().slice(4..)).unwrap_or_else(|error| panic!("{}: {error}", context()));
        assert_eq!(encode(&second, header.version), Ok(again), "{}", context());
    }
    [decoded, refused]
}

#[test]
fn t41_damaged_requests_never_panic_and_no_element_escapes_the_count() {
    let good: Vec<Vec<u8>> =
        served().map(|(api, version)| encode(&samples::request(api, version), version).unwrap().to_bytes()[4..].to_vec()).collect();
    let (cases, [decoded, refused]) = run_cases(1, |seed, cases| damaged_requests(&good, seed, cases));
    let useful = cases < 1000 || decoded > cases / 100 && refused > cases / 10;
    assert!(useful, "no use: {decoded} decoded, {refused} refused of {cases}");
}

#[test]
fn t41_damaged_responses_never_panic_a_client() {
    let good: Vec<_> = served()
        .map(|(api, version)| {
            let header = frame::RequestHeader { api, version, correlation_id: 1, client_id: None };
            let response = if api == crate::Api::ApiVersions { api_versions::response().into() } else { samples::response(api) };
            (api, version, encode_response(&header, response).unwrap().to_bytes()[4..].to_vec())
        })
        .collect();
    let (cases, [read, refused]) = run_cases(4, |seed, cases| {
        let mut outcomes = [0, 0];
        for case in cases {
            let mut random = Random(seed.wrapping_mul(1 << 33).wrapping_add(case));
            let (api, version, bytes) = &good[random.below(good.len())];
            let mut bytes = bytes.clone();
            damage(&mut bytes, &mut random);
            outcomes[usize::from(reencode(*api, *version, Bytes::from(bytes)).is_err())] += 1;
        }
        outcomes
    });
    assert!(cases < 1000 || read > cases / 100 && refused > cases / 10, "no use: {read} read, {refused} refused of {cases}");
}
