//! What tests stand on: servers of their own on loopback, gone when the test's process is, however it ends.
//!
//! Not here: emulated vendors (`upstreams`), anything a shipped binary needs.

pub mod cluster;
pub mod s3;

pub use cluster::Cluster;
pub use s3::S3Server;
