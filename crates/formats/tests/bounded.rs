//! Whatever the bytes say, decoders neither panic nor allocate more than a small multiple of what they were given.
//!
//! Mutated goldens: `FLOE_FUZZ_CASES` (1,000,000) of them, numbered from `FLOE_FUZZ_FIRST` (0), by `FLOE_FUZZ_SEED` (1), on two threads. Most have their checksums made right again, so that
//! the mutation gets past them. A failure prints the seed, the case and the bytes.

#[path = "formats/samples.rs"]
#[expect(dead_code, reason = "the other test program uses all of it")]
mod samples;

use bytes::Bytes;
use floe_formats::{
    CatalogVersion, Claim, Cluster, DiskIdentity, ENTRY_PREFIX_LEN, End, EntryHeader, Index, Manifest, ManifestPage, Mark, Object,
    PackTail, Replica, Seal, Stop, TRAILER_LEN, WAL_FILE_HEADER_LEN, WalFileHeader, checksum::crc32c, decode, decode_footer,
    decode_slot_tail, decode_tail, inspect, keys, open_block, peek, verify_pack, wal_entry::decode_entry,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Bytes that a decoder may allocate for each byte of input: elements in memory are larger than stored, and vectors grow by doubling.
const PER_BYTE: usize = 64;
/// What `inspect` may: it makes a tree of names and values out of every field.
const PER_BYTE_INSPECTED: usize = 8192;
/// Bytes that a decoder may allocate besides: a first tree node, an error.
const BESIDES: usize = 8 << 10;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counters any more, and nobody who reads them.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

fn signed(size: usize) -> isize {
    isize::try_from(size).expect("layouts are no larger")
}

#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
// SAFETY: every call is passed on to `System` unchanged; counting touches thread-local cells only and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `f` had allocated at once, beyond what there was before.
fn peak_of<R>(f: impl FnOnce() -> R) -> usize {
    let before = LIVE.get();
    PEAK.set(before);
    black_box(f());
    usize::try_from(PEAK.get() - before).unwrap_or(0)
}

type Parser = (&'static str, fn(&Bytes));

fn parse<T: Object>(bytes: &Bytes) {
    black_box(decode::<T>(bytes)).ok();
}

fn parse_tail(bytes: &Bytes) {
    let tail = decode_tail(bytes, bytes.len() as u64);
    black_box(decode_slot_tail(bytes, bytes.len() as u64)).ok();
    let Ok(PackTail::Footer(_, footer)) = tail else { return };
    for block in footer.segments.iter().flat_map(|segment| &segment.blocks) {
        let range = block.range();
        let stored = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
        black_box(open_block(block, &bytes.slice_ref(stored))).ok();
    }
}

fn parse_wal(bytes: &Bytes) {
    black_box(WalFileHeader::parse(bytes)).ok();
    let entries = bytes.get(WAL_FILE_HEADER_LEN..).unwrap_or_default();
    black_box(EntryHeader::parse(entries)).ok();
    black_box(decode_entry(entries)).ok();
    black_box(decode_entry(bytes)).ok();
}

fn parse_key(bytes: &Bytes) {
    black_box(keys::Key::parse(&String::from_utf8_lossy(bytes))).ok();
}

const PARSERS: [Parser; 18] = [
    ("header", |bytes| drop(black_box(peek(bytes)))),
    ("cluster", parse::<Cluster>),
    ("catalog version", parse::<CatalogVersion>),
    ("claim", parse::<Claim>),
    ("stop", parse::<Stop>),
    ("end", parse::<End>),
    ("index", parse::<Index>),
    ("manifest", parse::<Manifest>),
    ("manifest page", parse::<ManifestPage>),
    ("disk identity", parse::<DiskIdentity>),
    ("seal", parse::<Seal>),
    ("mark", parse::<Mark>),
    ("replica", parse::<Replica>),
    ("footer", |bytes| drop(black_box(decode_footer(bytes)))),
    ("pack", |bytes| drop(black_box(verify_pack(bytes)))),
    ("pack tail", parse_tail),
    ("WAL", parse_wal),
    ("key", parse_key),
];

/// What came of one parser, which must neither panic nor allocate more than `per_byte` allows.
fn bounded<R>(name: &str, bytes: &Bytes, per_byte: usize, parser: impl FnOnce(&Bytes) -> R) -> Result<R, String> {
    let mut result = None;
    let run = catch_unwind(AssertUnwindSafe(|| peak_of(|| result = Some(parser(bytes))))).map_err(|_| format!("{name} panics"))?;
    if run > bytes.len() * per_byte + BESIDES {
        return Err(format!("{name} allocates {run} bytes for {}", bytes.len()));
    }
    Ok(result.expect("it has not panicked"))
}

/// Runs every parser over `bytes`: whether they could be described, or which parser broke which rule.
fn check(bytes: &Bytes) -> Result<bool, String> {
    for (name, parser) in PARSERS {
        bounded(name, bytes, PER_BYTE, parser)?;
    }
    bounded("inspect", bytes, PER_BYTE_INSPECTED, |bytes| black_box(inspect::describe(bytes, "x")).is_ok())
}

/// xorshift64*: seeded, the same everywhere.
struct Random(u64);

impl Random {
    /// One of its own for each case, so that a case can be had alone.
    fn of_case(seed: u64, case: u64) -> Self {
        let mixed = (seed.wrapping_mul(1 << 40) ^ case).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self((mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).expect("smaller than n")
    }
    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 5];
        if self.below(2) == 0 { TELLING[self.below(TELLING.len())] } else { self.next().to_le_bytes()[0] }
    }
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0..3 if !bytes.is_empty() => bytes[at] = random.byte(),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            // A length or count far beyond what is there.
            4 => drop(bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f].into_iter().take(1 + random.below(5)))),
            5 => bytes.truncate(at),
            6 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                let len = random.below(other.len() - from).min(64);
                let end = at + random.below(len).min(bytes.len() - at);
                drop(bytes.splice(at..end, other[from..from + len].iter().copied()));
            }
            _ => {
                let fill = random.byte();
                let len = random.below(40);
                drop(bytes.splice(at..at, std::iter::repeat_n(fill, len)));
            }
        }
    }
}

fn put_crc(bytes: &mut [u8], covered: std::ops::Range<usize>, at: usize) {
    if covered.end <= bytes.len() && covered.start <= covered.end && at + 4 <= bytes.len() {
        let crc = crc32c(&bytes[covered]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Makes the checksums (and an object's lengths) right for whatever the bytes now are.
fn reseal(bytes: &mut [u8]) {
    let len = bytes.len();
    match bytes.first_chunk::<4>() {
        Some(b"FLOE") if len >= 64 => {
            if let Some(trailer_at) = bytes.windows(4).rposition(|magic| magic == b"FLPT").filter(|at| at + TRAILER_LEN == len) {
                bytes[trailer_at + 8..trailer_at + 16].copy_from_slice(&(len as u64).to_le_bytes());
                if let Some(footer_at) = bytes.windows(4).rposition(|magic| magic == b"FLPF").filter(|at| at + 12 <= trailer_at) {
                    let footer_len = u32::try_from(trailer_at - footer_at).expect("samples are small");
                    bytes[trailer_at + 16..trailer_at + 20].copy_from_slice(&footer_len.to_le_bytes());
                    put_crc(bytes, footer_at..trailer_at - 4, trailer_at - 4);
                }
                put_crc(bytes, trailer_at..len - 4, len - 4);
            }
            bytes[40..48].copy_from_slice(&(len as u64 - 64).to_le_bytes());
            put_crc(bytes, 64..len, 48);
            put_crc(bytes, 0..60, 60);
        }
        Some(b"FLPF") if len >= 12 => put_crc(bytes, 0..len - 4, len - 4),
        Some(b"FLWF") => {
            put_crc(bytes, 0..60, 60);
            put_crc(bytes, WAL_FILE_HEADER_LEN + 8..WAL_FILE_HEADER_LEN + ENTRY_PREFIX_LEN, WAL_FILE_HEADER_LEN + 4);
        }
        Some(b"FLWE") => put_crc(bytes, 8..ENTRY_PREFIX_LEN, 4),
        _ => {}
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = samples::all().iter().map(|sample| sample.bytes.to_vec()).collect();
    let pack = samples::shared_pack();
    let whole = samples::whole(&pack);
    corpus.push(whole[whole.len() - TRAILER_LEN - pack.footer_len as usize..whole.len() - TRAILER_LEN].to_vec());
    corpus.push(samples::wal_file().1[WAL_FILE_HEADER_LEN..].to_vec());
    corpus.push(keys::slot(floe_types::Incarnation(7), floe_types::SlotNumber(1)).into_bytes());
    corpus
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// Every second case from `first` on; how many got past all checks.
fn run_cases(corpus: &[Vec<u8>], seed: u64, cases: std::ops::Range<u64>, first: u64) -> u64 {
    let mut accepted = 0;
    for case in (cases.start + first..cases.end).step_by(2) {
        let mut random = Random::of_case(seed, case);
        let mut bytes = corpus[random.below(corpus.len())].clone();
        mutate(&mut random, &mut bytes, corpus);
        if random.below(8) != 0 {
            reseal(&mut bytes);
        }
        let bytes = Bytes::from(bytes);
        match check(&bytes) {
            Ok(described) => accepted += u64::from(described),
            Err(problem) => panic!("FLOE_FUZZ_SEED={seed} FLOE_FUZZ_FIRST={case} FLOE_FUZZ_CASES=1: {problem}: {bytes:02x?}"),
        }
    }
    accepted
}

#[test]
fn t30_mutated_bytes_neither_panic_nor_fill_memory() {
    let (first, seed) = (setting("FLOE_FUZZ_FIRST", 0), setting("FLOE_FUZZ_SEED", 1));
    let cases = first..first + setting("FLOE_FUZZ_CASES", 1_000_000);
    let corpus = corpus();
    let accepted = std::thread::scope(|threads| {
        let other = threads.spawn(|| run_cases(&corpus, seed, cases.clone(), 1));
        run_cases(&corpus, seed, cases.clone(), 0) + other.join().expect("the other half holds too")
    });
    let cases = cases.end - cases.start;
    assert!(
        cases < 1000 || accepted * 50 > cases,
        "only {accepted} of {cases} got past all checks: the mutations no longer reach what lies behind them"
    );
}

/// An object of `kind` with a body that was never checked for sense.
fn object(kind: floe_formats::Kind, version: u8, body: &[u8]) -> Bytes {
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(b"FLOE");
    bytes[4..6].copy_from_slice(&kind.number().to_le_bytes());
    bytes[6] = version;
    bytes.extend_from_slice(body);
    reseal(&mut bytes);
    bytes.into()
}

#[test]
fn t30_a_count_of_elements_is_not_believed() {
    use floe_formats::Kind;
    // Everything up to the first count, then a count; behind it zeros, which many elements can be read from.
    let before: [(Kind, u8, &[u8]); 8] = [
        (Kind::Index, 1, &[7, 9, 2, 12, 0]),
        (Kind::End, 1, &[7, 8, 12]),
        (Kind::Catalog, 1, &[1, 0]),
        (Kind::Catalog, 2, &[1, 0]),
        (Kind::Catalog, 2, &[1, 1, 0, 0]),
        (Kind::Catalog, 2, &[1, 1, 0, 0, 0]),
        (Kind::Manifest, 1, &[0; 21]),
        (Kind::ManifestPage, 1, &[0; 35]),
    ];
    let counts: [&[u8]; 4] = [&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &[0xff, 0xff, 0x3f], &[0xff, 0x1f], &[0x7f]];
    for (kind, version, before) in before {
        for count in counts {
            for zeros in [0, 100, 10_000, 300_000] {
                let body = [before, count, &vec![0; zeros]].concat();
                check(&object(kind, version, &body))
                    .unwrap_or_else(|problem| panic!("{kind}, count {count:02x?}, {zeros} zeros: {problem}"));
            }
        }
    }
}

#[test]
fn the_counter_counts() {
    let one = peak_of(|| vec![0u8; 100_000]);
    assert!((100_000..101_000).contains(&one), "{one}");
    let freed = peak_of(|| (0..10).for_each(|_| drop(black_box(vec![0u8; 1000]))));
    assert!((1000..2000).contains(&freed), "{freed}");
}
