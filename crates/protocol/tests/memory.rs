//! What hostile frames cost: the process's address space, read from the kernel, so that even memory that was reserved
//! and never touched counts (T41). One test, alone in its process, so that nothing else moves the numbers.

use bytes::Bytes;
use floe_protocol::{Api, decode_request, frame::RequestHeader, messages::StrBytes, shape::MAX_ELEMENTS};

/// Most address space the process has had, in bytes; `None` where the kernel does not tell.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<usize>().ok()? * 1024)
}

fn decode(api: Api, version: i16, body: &[u8]) -> bool {
    let header = RequestHeader { api, version, correlation_id: 1, client_id: Some(StrBytes::from("x")) };
    decode_request(&header, Bytes::copy_from_slice(body)).is_ok()
}

#[test]
fn t41_lengths_from_the_wire_allocate_nothing_and_full_frames_stay_within_the_budget() {
    let Some(before) = peak() else { return };
    // A 15-byte Produce request that says it holds two thousand million topics, and the like for every array and blob.
    let lie = [255, 255, 255, 255, 15];
    assert!(!decode(Api::Produce, 9, &[&[0, 255, 255, 0, 0, 0, 0][..], &lie].concat()));
    assert!(!decode(Api::Produce, 9, &[&[0, 255, 255, 0, 0, 0, 0, 2, 2, b't'][..], &lie].concat()));
    assert!(!decode(Api::Produce, 9, &[&[0, 255, 255, 0, 0, 0, 0, 2, 2, b't', 2, 0, 0, 0, 0][..], &lie].concat()));
    assert!(!decode(Api::Metadata, 1, &[0x7F, 255, 255, 255, 0, 0]));
    assert!(!decode(Api::Metadata, 9, &[&[2, 1][..], &lie].concat()));
    assert!(!decode(Api::FindCoordinator, 4, &[&[0][..], &lie].concat()));
    assert!(!decode(Api::CreateTopics, 2, &[0x7F, 255, 255, 255]));
    assert!(!decode(Api::DescribeConfigs, 4, &[&[2, 2, 2, b't'][..], &lie].concat()));
    let lies = peak().expect("it was told before") - before;
    assert!(lies < 1 << 20, "lies cost {lies} bytes of address space");

    // 16 MiB of topics without a name, really there: a decoder alone would make 1.2 GB of them.
    let mut body = vec![0, 128, 0, 0];
    body.resize(16 << 20, 0);
    assert!(!decode(Api::Metadata, 1, &body));
    // The largest that is taken.
    let count = u32::try_from(MAX_ELEMENTS).expect("it is small");
    let mut body = count.to_be_bytes().to_vec();
    body.resize(4 + 2 * MAX_ELEMENTS, 0);
    assert!(decode(Api::Metadata, 1, &body));
    let full = peak().expect("it was told before") - before;
    assert!(full < 80 << 20, "full frames cost {full} bytes of address space");
}
