//! The commands of this checkout, as `cargo xtask help` lists them.
//!
//! * [`setup`]: the programs that the tests and `notes` need, found or installed.
//! * [`ci`]: the gate, and [`remains`]: what the tests must not leave behind.
//! * [`matrix`]: the tests on several versions of PostgreSQL.
//! * [`guards`]: shows that the tests of the invariants can fail.
//! * [`citus`]: the suite for Citus, on a cluster that is named.
//! * [`packages`]: what would be published, and [`debian`]: what a distribution packs.
//! * [`checked`]: the queries of an example, asked by the real `cargo sqlx`.
//! * [`command`]: other programs, and why one of them failed.
//!
//! It uses nothing but std and no crate beside it, so that `cargo xtask setup` builds within seconds where
//! there is only Rust.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod checked;
mod ci;
mod citus;
mod command;
mod debian;
mod guards;
mod matrix;
mod packages;
mod remains;
#[path = "../../crates/tenantry-embedded/src/search.rs"]
mod search;
mod setup;

use std::{env, process::ExitCode};

use crate::command::{Failure, Result};

const USAGE: &str = "\
usage: cargo xtask setup             install what the tests and `notes` need
       cargo xtask test [ARGUMENT…]  the same, then `cargo test --workspace` with these arguments
       cargo xtask ci                everything a change must pass
       cargo xtask ci --postgres 14..18
                                     the tests, on each of these versions of PostgreSQL
       cargo xtask citus [--url URL] the suite for Citus, on a database of a cluster that holds nothing else
       cargo xtask torture           200 tenants, a million checkouts, statements that try to reach past their tenant
       cargo xtask jobs              lint and test the example with two queues, which the gate leaves out
       cargo xtask loco              the same for the example on Loco, a workspace of its own
       cargo xtask frameworks        the same for the example with poem, salvo and warp
       cargo xtask guards [NAME…]    show that the tests of these guards, or of all, can fail
       cargo xtask checked [--prepare]
                                     ask `cargo sqlx` whether the queries of examples/checked are as prepared
       cargo xtask man FOLDER        the man pages
       cargo xtask deb               the package for Debian, unpacked and tried";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    match arguments.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        Some(("setup", [])) => setup::setup(),
        Some(("test", rest)) => test(rest),
        Some(("ci", [])) => ci::pass(),
        Some(("ci", [flag, versions])) if flag == "--postgres" => matrix::test_on(versions),
        Some(("citus", [])) => citus::skip(),
        Some(("citus", [flag, url])) if flag == "--url" => citus::conform(url),
        Some(("torture", [])) => ci::torture(),
        Some(("jobs", [])) => ci::jobs(),
        Some(("loco", [])) => ci::loco(),
        Some((folder @ "frameworks", [])) => ci::example(folder),
        Some(("checked", [])) => checked::check(false),
        Some(("checked", [flag])) if flag == "--prepare" => checked::check(true),
        Some(("man", [folder])) => debian::man(folder.as_ref()),
        Some(("deb", [])) => debian::deb(),
        Some(("guards", names)) => guards::check(names),
        Some(("help" | "--help" | "-h", [])) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::new("there is no such command").with_hint(USAGE)),
    }
}

fn test(arguments: &[String]) -> Result<()> {
    setup::setup()?;
    command::run(command::cargo("test --workspace").args(arguments))
}
