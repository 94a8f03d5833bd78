//! The place where archives are kept: a folder of this machine, or a part of a bucket of an S3-compatible store.
//!
//! ```text
//! PLACE/04ec0e69-6b78-4a76-af7d-d9b2d888802b/20261130T013000Z-acme-5f0c2a91.tar.zst   the archive
//!                                            20261130T013000Z-acme-5f0c2a91.json      its entry in the catalogue
//!                                            20261201T013000Z-acme-77b1e0d4.failed.json
//! ```
//!
//! A folder is a tenant's, by its id: a slug changes hands, an id never. An archive appears under its name when it is
//! whole, and its entry follows, so what has no entry is not known to be good. The catalogue is nothing but those
//! entries: no file is ever written twice, by two operators or after a `kill -9`.
//!
//! Nothing here knows a database, or what is in an archive.
//!
//! | file | what it does |
//! | --- | --- |
//! | `place` | reads a place as it is typed |
//! | `s3` | opens a bucket; `no_s3` says that this program cannot |
//! | `objects` | opens a place, and names what is in it |
//! | `stem` | names the files of an export |
//! | `entry` | keeps the outcome of an export |
//! | `catalogue` | enters exports, and lists them |
//! | `retention` | decides what is removed |
//! | `upload` | writes an archive, which is there when it is whole |
//! | `download` | reads an archive |

mod catalogue;
mod download;
mod entry;
#[cfg(not(feature = "s3"))]
mod no_s3;
mod objects;
mod place;
mod retention;
#[cfg(feature = "s3")]
mod s3;
mod stem;
mod upload;

pub(crate) use self::download::{Download, open_file};
pub(crate) use self::entry::{Entry, Outcome};
pub(crate) use self::objects::Store;
pub(crate) use self::place::Place;
pub(crate) use self::retention::{Newest, retired};
pub(crate) use self::stem::{Kind, Stem, StoredFile, new_run};
pub(crate) use self::upload::Upload;
