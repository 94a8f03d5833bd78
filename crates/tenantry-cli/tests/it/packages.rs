//! The files in `packaging/`, as far as they can be tried without a cluster, an image or a machine of its own.
//!
//! They are well-formed, and the command lines in them do what they are there for.

mod container;
mod debian;
mod kubernetes;
mod systemd;
