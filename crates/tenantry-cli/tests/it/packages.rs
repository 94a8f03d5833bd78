//! What is in `packaging/`, as far as it can be shown without a cluster, an image or a machine of its own: the files are
//! well-formed, and the command lines in them do what they are there for.

mod container;
mod debian;
mod kubernetes;
mod systemd;
