//! Any value of any object reads back as it was written, and is written again as the same bytes.

use crate::strategies;
use floe_formats::{Object, Writer, decode, encode, peek};
use proptest::{prelude::*, test_runner::TestCaseResult};
use std::fmt::Debug;

fn reads_back<T: Object + PartialEq + Debug>(writer: &Writer, object: &T) -> TestCaseResult {
    let bytes = encode(writer, object);
    let header = peek(&bytes).expect("what was just written");
    prop_assert_eq!((header.kind, header.version, header.writer), (T::KIND, T::VERSION, *writer));
    prop_assert_eq!(header.object_len(), bytes.len() as u64);
    let (_, read) = decode::<T>(&bytes).expect("what was just written");
    prop_assert_eq!(&read, object);
    prop_assert_eq!(encode(writer, &read), bytes);
    Ok(())
}

proptest! {
    #[test]
    fn a_cluster_reads_back(writer in strategies::writer(), object in strategies::cluster()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_claim_reads_back(writer in strategies::writer(), object in strategies::claim()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_stop_reads_back(writer in strategies::writer(), object in strategies::stop()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn an_end_reads_back(writer in strategies::writer(), object in strategies::end()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn an_index_reads_back(writer in strategies::writer(), object in strategies::index()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_catalog_version_reads_back(writer in strategies::writer(), object in strategies::catalog_version()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_manifest_reads_back(writer in strategies::writer(), object in strategies::manifest()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_manifest_page_reads_back(writer in strategies::writer(), object in strategies::manifest_page()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_disk_identity_reads_back(writer in strategies::writer(), object in strategies::disk_identity()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_seal_reads_back(writer in strategies::writer(), object in strategies::seal()) {
        reads_back(&writer, &object)?;
    }
    #[test]
    fn a_replica_reads_back(writer in strategies::writer(), object in strategies::replica()) {
        reads_back(&writer, &object)?;
    }
}
