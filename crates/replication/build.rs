//! The messages and the service from their `.proto`, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/replication.proto"], ["proto"])?;
    // Bytes, so that what is received is not copied once more.
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
