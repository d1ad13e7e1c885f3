//! Tests of path rules and of both disks.
