//! One object, read and checked by itself. Packs are read in pieces of a few MiB, so that what is held does not grow with
//! them, and what is wrong with a block is told of that block alone: its neighbours are checked as well.

use super::{Depth, Pack, Problem};
use bytes::Bytes;
use floe_formats::keys::Key;
use floe_formats::{Block, FormatError, Kind, PackFooter, PackTail, SlotTail, Trailer};
use floe_objstore::{ObjectInfo, Store, StoreError};
use floe_types::PartitionId;

/// Packs up to this long are read by one request, and longer ones in pieces of about as much.
const PIECE: u64 = 16 << 20;
/// Enough of a pack's end for most footers.
const TAIL: u64 = 64 << 10;
/// No stop is as long as this.
const LONGER_THAN_STOPS: u64 = 4 << 10;

/// What was read of an object.
#[derive(Debug)]
pub(super) enum Examined {
    /// Deleted since it was listed.
    Gone,
    Whole(Bytes),
    Pack(PackFindings),
}

/// What a pack says, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct PackFindings {
    /// None: its footer cannot be read.
    pub(super) pack: Option<Pack>,
    pub(super) records: u64,
    pub(super) problems: Vec<Problem>,
}

impl PackFindings {
    fn unreadable(key: &str, what: impl ToString) -> Self {
        Self { problems: vec![Problem::new(key, what.to_string())], ..Self::default() }
    }
}

/// Reads an object as deep as asked.
///
/// # Errors
/// The store did not answer.
pub(super) async fn examine(store: &Store, object: ObjectInfo, depth: Depth) -> Result<(ObjectInfo, Examined), StoreError> {
    let key = object.key.as_str();
    let is_pack = matches!(Key::parse(key), Ok(Key::Slot { .. } | Key::Recovery { .. } | Key::OwnPack { .. }));
    let read = match (is_pack, depth) {
        (false, _) => store.get(key).await.map(Examined::Whole),
        (true, Depth::Footers) => footer_only(store, key).await,
        (true, Depth::Records) if object.size <= PIECE => whole_pack(store, key).await,
        (true, Depth::Records) => pack_in_pieces(store, key).await,
    };
    match read {
        Ok(examined) => Ok((object, examined)),
        Err(StoreError::NotFound { .. }) => Ok((object, Examined::Gone)),
        // The object ends before its listing, or its own footer, said.
        Err(error @ StoreError::Corrupt { .. }) => {
            let findings = PackFindings::unreadable(key, error);
            Ok((object, Examined::Pack(findings)))
        }
        Err(error) => Err(error),
    }
}

async fn footer_only(store: &Store, key: &str) -> Result<Examined, StoreError> {
    Ok(match read_tail(store, key).await? {
        Tail::Stop(bytes) => Examined::Whole(bytes),
        Tail::Pack(trailer, footer) => {
            let records = footer.segments.iter().map(|segment| segment.records).sum();
            Examined::Pack(PackFindings { pack: Some(Pack::new(footer, &trailer)), records, problems: Vec::new() })
        }
        Tail::Unreadable(error) => Examined::Pack(PackFindings::unreadable(key, error)),
    })
}

async fn whole_pack(store: &Store, key: &str) -> Result<Examined, StoreError> {
    let bytes = store.get(key).await?;
    if (bytes.len() as u64) < LONGER_THAN_STOPS && floe_formats::peek(&bytes).is_ok_and(|header| header.kind == Kind::Stop) {
        return Ok(Examined::Whole(bytes));
    }
    let owned = key.to_owned();
    compute(store, key, move || check_whole(&owned, &bytes)).await.map(Examined::Pack)
}

fn check_whole(key: &str, bytes: &Bytes) -> PackFindings {
    let len = bytes.len() as u64;
    let (trailer, footer) = match floe_formats::decode_tail(bytes, len) {
        Ok(PackTail::Footer(trailer, footer)) => (trailer, footer),
        Ok(PackTail::Before(_)) => return PackFindings::unreadable(key, "its footer lies outside of it"),
        Err(error) => return PackFindings::unreadable(key, error),
    };
    let mut problems = Vec::new();
    for (of, block) in blocks(&footer) {
        let at = |position: u64| usize::try_from(position.min(len)).unwrap_or(usize::MAX);
        problems.extend(check_block(key, of, block, &bytes.slice(at(block.range().start)..at(block.range().end))));
    }
    // What no block covers: the header, gaps, and whether header and footer are of one write.
    if problems.is_empty()
        && let Err(error) = floe_formats::verify_pack(bytes)
    {
        problems.push(Problem::new(key, error.to_string()));
    }
    let records = footer.segments.iter().map(|segment| segment.records).sum();
    PackFindings { pack: Some(Pack::new(footer, &trailer)), records, problems }
}

async fn pack_in_pieces(store: &Store, key: &str) -> Result<Examined, StoreError> {
    let (trailer, footer) = match read_tail(store, key).await? {
        Tail::Stop(bytes) => return Ok(Examined::Whole(bytes)),
        Tail::Pack(trailer, footer) => (trailer, footer),
        Tail::Unreadable(error) => return Ok(Examined::Pack(PackFindings::unreadable(key, error))),
    };
    let mut problems = Vec::new();
    let (_, start) = store.get_start(key, floe_objstore::IDENTITY_LEN as u64).await?;
    match floe_formats::peek(&start) {
        Ok(header) if header.kind == Kind::Pack && header.writer.write_id == footer.write_id => {}
        Ok(_) => problems.push(Problem::new(key, "header and footer are of different writes")),
        Err(error) => problems.push(Problem::new(key, error.to_string())),
    }
    let all: Vec<(Of, Block)> = blocks(&footer).map(|(of, block)| (of, block.clone())).collect();
    for piece in pieces(&all) {
        let range = piece.first().map_or(0, |(_, block)| block.position)..piece.last().map_or(0, |(_, block)| block.range().end);
        let bytes = store.get_range(key, range.clone()).await?;
        let (owned, piece) = (key.to_owned(), piece.to_vec());
        let found = compute(store, key, move || {
            let at = |position: u64| usize::try_from(position.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let checked = piece
                .iter()
                .flat_map(|(of, block)| check_block(&owned, *of, block, &bytes.slice(at(block.range().start)..at(block.range().end))));
            checked.collect::<Vec<_>>()
        });
        problems.extend(found.await?);
    }
    let records = footer.segments.iter().map(|segment| segment.records).sum();
    Ok(Examined::Pack(PackFindings { pack: Some(Pack::new(footer, &trailer)), records, problems }))
}

/// Blocks, as they lie, in runs of one piece at most, but of one block at least.
fn pieces(all: &[(Of, Block)]) -> impl Iterator<Item = &[(Of, Block)]> {
    let mut start = all.first().map_or(0, |(_, block)| block.position);
    all.chunk_by(move |_, (_, next)| {
        let fits = next.range().end.saturating_sub(start) <= PIECE;
        if !fits {
            start = next.position;
        }
        fits
    })
}

/// Of which segment a block is.
#[derive(Debug, Clone, Copy)]
struct Of {
    partition: PartitionId,
    /// It has a record at each of its offsets: nothing was compacted away, so that no offset may be left out.
    is_dense: bool,
}

fn blocks(footer: &PackFooter) -> impl Iterator<Item = (Of, &Block)> {
    footer.segments.iter().flat_map(|segment| {
        let offsets = u64::try_from(segment.end_offset.saturating_sub(segment.base_offset)).unwrap_or(0);
        let of = Of { partition: segment.partition, is_dense: segment.records == offsets };
        segment.blocks.iter().map(move |block| (of, block))
    })
}

enum Tail {
    Stop(Bytes),
    Pack(Trailer, PackFooter),
    Unreadable(FormatError),
}

async fn read_tail(store: &Store, key: &str) -> Result<Tail, StoreError> {
    let (len, tail) = store.get_tail(key, TAIL).await?;
    let trailer = match floe_formats::decode_slot_tail(&tail, len) {
        Ok(SlotTail::Stop(..)) => return Ok(Tail::Stop(tail)),
        Ok(SlotTail::Pack(PackTail::Footer(trailer, footer))) => return Ok(Tail::Pack(trailer, footer)),
        Ok(SlotTail::Pack(PackTail::Before(trailer))) => trailer,
        Err(error) => return Ok(Tail::Unreadable(error)),
    };
    let bytes = store.get_range(key, trailer.footer_range()).await?;
    Ok(match floe_formats::decode_footer(&bytes) {
        Ok(footer) => Tail::Pack(trailer, footer),
        Err(error) => Tail::Unreadable(error),
    })
}

async fn compute<T: Send + 'static>(store: &Store, key: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let failed = |error: floe_env::TaskFailed| StoreError::Corrupt { key: key.to_owned(), detail: error.to_string() };
    store.env().compute("verify", work).await.map_err(failed)
}

/// Every batch of a block: its checksum, and that offsets follow one another from the block's first to its last; with gaps
/// only where records were compacted away.
fn check_block(key: &str, of: Of, block: &Block, stored: &Bytes) -> Option<Problem> {
    let problem = |what: String| Some(Problem::of_records(key, of.partition, (block.base_offset, block.end_offset), what));
    let raw = match floe_formats::open_block(block, stored) {
        Ok(raw) => raw,
        Err(error) => return problem(error.to_string()),
    };
    let mut next = block.base_offset;
    for batch in floe_records::Batches::new(raw) {
        let checked = batch.and_then(|(_, bytes)| floe_records::verify(&bytes));
        match checked {
            Ok(header) if header.base_offset == next || (header.base_offset > next && !of.is_dense) => next = header.end_offset(),
            Ok(header) => return problem(format!("a batch starts at {} where {next} is next", header.base_offset)),
            Err(error) => return problem(format!("the batch at {next}: {error}")),
        }
    }
    let ends_there = next == block.end_offset || (next < block.end_offset && !of.is_dense);
    (!ends_there).then(|| problem(format!("its batches end at {next}")))?
}

impl Pack {
    fn new(footer: PackFooter, trailer: &Trailer) -> Self {
        Self { len: trailer.pack_len, footer_len: trailer.footer_len, footer }
    }
}
