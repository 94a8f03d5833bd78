//! Databases that are copies of a template, which is made once for all processes.
//!
//! A template is found by a key, which its maker derives from whatever goes into it. The first to need one makes it,
//! under a lock that the server gives back when its process is killed; all others wait for it, and get a copy of its
//! files. What the makers note of a template is kept with it, for everybody who gets a copy.
//!
//! The server is the one in `TENANTRY_TEST_URL`, or else the throw-away server that all processes of a test run share.
//!
//! * [`host`]: the server, and the role that owns what is made there.
//! * [`name`]: names of databases, which say whose they are.
//! * [`office`]: the thread on which the connections live.
//! * [`database`]: a copy, and how one is got.
//! * [`ahead`]: copies for those who come next.
//! * [`draft`]: a template while it is made.
//! * [`comment`]: what is kept with a template.
//! * [`leftovers`]: what killed processes and edited migrations leave behind.
//!
//! | name of a database | it is |
//! | --- | --- |
//! | `tenantry_template_<scope>_<key>` | a template, which lets nobody in |
//! | `tenantry_draft_<scope>_<key>` | one that is being made, or was when its maker was killed |
//! | `tenantry_test_<scope>_<process>_<number>` | a copy |
mod ahead;
mod comment;
mod database;
mod draft;
mod host;
mod leftovers;
mod name;
mod office;

pub use self::database::CopiedDatabase;
