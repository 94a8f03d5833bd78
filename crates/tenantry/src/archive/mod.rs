//! A tenant in one file, which can be verified anywhere, imported by [`Tenancy::import`](crate::Tenancy::import), and
//! restored with nothing but `tar` and `psql`.
//!
//! The file is a tar in one zstd frame with a checksum, and behind that a frame that readers skip, with the SHA-256
//! of all before it. The members, in this order:
//!
//! | member | what it is |
//! | --- | --- |
//! | `pre-data.sql` | makes types, functions, tables and views |
//! | `data/0001.001.copy` … | the rows of a table as `COPY` writes them, in parts of at most 4 MB, or of one row |
//! | `post-data.sql` | makes indexes, keys, triggers and policies |
//! | `privileges.sql` | makes what names other roles: privileges and policies |
//! | `restore.sql` | does all of it, in one transaction, for `psql -v schema=NAME` |
//! | `manifest.json` | the [`Manifest`]: whose it is, what it needs, and what there has to be in every other member |
//!
//! A file that is cut off has no manifest, and one that was changed does not agree with it. **Whoever can write an
//! archive can have the owner run SQL**: a manifest that was made to fit is not noticed here. The audit keeps the
//! digest of each file that was written.
//!
//! Nothing here knows a database. `lifecycle` fills archives and reads them.
//!
//! | file | what it does |
//! | --- | --- |
//! | `manifest` | says what an archive holds |
//! | `member` | names members, and knows which one follows which |
//! | `writer` | writes an archive, member by member |
//! | `reader` | reads one, and refuses what is not as it was written |
//! | `restore` | renders `restore.sql` |
//! | `file` | writes a file beside its place, and puts it there when it is whole |
//! | `seal` | ends the file with its own hash |
//! | `digested` | counts and hashes what passes through |

mod digested;
mod file;
mod manifest;
mod member;
mod reader;
mod restore;
mod seal;
mod writer;

pub use self::file::ArchiveFile;
pub use self::manifest::{
    ArchivedExtension, ArchivedKeptFile, ArchivedMember, ArchivedMigration, ArchivedSequence, ArchivedTable,
    Manifest,
};
pub(crate) use self::member::MemberName;
pub(crate) use self::reader::read;
pub use self::reader::{Verified, verify};
pub(crate) use self::restore::listed;
pub(crate) use self::writer::{ArchiveWriter, Ending, LARGEST_MEMBER, WrittenArchive};
