//! The cost of tenancy, as ratios: each case runs ours and a baseline side by side, in turns.
//!
//! Run with
//!
//! ```sh
//! cargo run -p bench --release                     # everything
//! cargo run -p bench --release -- checkout zipf    # one case
//! cargo run -p bench --release -- http --json
//! ```
//!
//! The numbers of one run are comparable with each other, not with those of another machine or
//! another hour. So a ratio is the median over rounds, each round plays all sides one after the
//! other, and the lowest and the highest ratio stand beside the median. Verification and hygiene stay
//! on: the pool differs from its defaults only in sizes.
//!
//! * [`checkout`], [`transaction`], [`statements`], [`noisy`], [`replica`], [`http`], [`lookup`], [`create`],
//!   [`adopt`], [`clone`], [`export`], [`relocate`], [`purge`], [`suspend`], [`migrate`], [`memory`],
//!   [`doctor`], [`many`], [`orm`], [`by_client`], [`testing`]: the cases.
//! * [`server`]: a PostgreSQL of our own; [`fleet`]: the tenants in it; [`side`]: the two sides of a comparison.
//! * [`measure`] and [`report`]: rounds and medians, table and JSON.
//! * [`pg_programs`]: `pg_dump` and `pg_restore`, which others use.
//! * [`zipf`] says whose turn it is, [`proxy`] makes a network slow and counts round trips.

mod adopt;
mod bench;
mod by_client;
mod case;
mod checkout;
mod clone;
mod cost;
mod create;
mod doctor;
mod export;
mod fleet;
mod http;
mod lookup;
mod many;
mod measure;
mod memory;
mod migrate;
mod noisy;
mod orm;
mod pg_programs;
mod proxy;
mod purge;
mod relocate;
mod replica;
mod report;
mod server;
mod side;
mod statements;
mod suspend;
mod testing;
mod transaction;
mod zipf;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;

use self::bench::Bench;
use self::case::Case;
use self::fleet::Fleet;
use self::measure::Plan;
use self::report::Report;

/// Measures what tenancy costs, side by side with what is used without it.
#[derive(Parser)]
struct Options {
    /// The cases to run: `checkout` is all of its cases, `checkout zipf` and `checkout/zipf` are one.
    /// Everything when left out.
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
    /// Prints one JSON object per line instead of a table.
    #[arg(long)]
    json: bool,
    /// The time for which each side plays in one round.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// The number of rounds.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The number of moves that `move` measures.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    moves: u32,
    /// The size of the tenant that moves.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    megabytes: u32,
    /// Runs every case for a moment and on few tenants, to see that it runs. The figures mean nothing.
    #[arg(long, conflicts_with_all = ["seconds", "rounds", "moves", "megabytes"])]
    smoke: bool,
    /// The tenants of the small fleet of `fleet/cost`.
    #[arg(long, default_value_t = 100, value_name = "N")]
    few: usize,
    /// The tenants of the large one.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    many: usize,
    /// Runs nothing but `migrate/rss`'s migration of the database there, and prints the memory it took.
    #[arg(long, hide = true, value_name = "URL")]
    memory_of_run: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    if let Some(url) = &options.memory_of_run {
        return memory::print(url).await;
    }
    let cases = case::chosen(&options.cases)?;
    let plan = if options.smoke { Plan::smoke() } else { Plan::new(options.seconds, options.rounds) };
    let plan = if options.smoke {
        plan
    } else {
        Plan { moves: options.moves, megabytes: options.megabytes, ..plan }
    };
    let fleet = Fleet::start().await.context("cannot prepare a PostgreSQL")?;
    let mut bench = Bench { fleet, plan, report: Report::new(options.json) };
    for case in cases {
        run_case(&mut bench, case, [options.few, options.many])
            .await
            .with_context(|| format!("`{case}` failed"))?;
    }
    Ok(())
}

async fn run_case(bench: &mut Bench, case: Case, sizes: [usize; 2]) -> Result<()> {
    match case {
        Case::Hot => checkout::hot(bench).await,
        Case::Limit => checkout::limit(bench).await,
        Case::Zipf => checkout::zipf(bench).await,
        Case::Uniform => checkout::uniform(bench).await,
        Case::SwitchTokio => checkout::switch_tokio(bench).await,
        Case::HotTokio => by_client::hot(bench).await,
        Case::ZipfTokio => by_client::zipf(bench).await,
        Case::DieselFind => by_client::find(bench).await,
        Case::Own => checkout::own(bench).await,
        Case::TransactionDrop => transaction::drop_it(bench).await,
        Case::Statements => statements::switch(bench).await,
        Case::NoisyOne => noisy::one(bench).await,
        Case::NoisyAll => noisy::all(bench).await,
        Case::ReplicaHot => replica::hot(bench).await,
        Case::SeaOrmFind => orm::find(bench).await,
        Case::Http => http::get(bench).await,
        Case::Lookup => lookup::find(bench).await,
        Case::Create => create::create(bench).await,
        Case::Adopt => adopt::per_schema(bench).await,
        Case::Clone => clone::clone(bench).await,
        Case::Export => export::export(bench).await,
        Case::MoveOffline => relocate::offline(bench).await,
        Case::MoveOnline => relocate::online(bench).await,
        Case::Purge => purge::purge(bench).await,
        Case::SuspendFelt => suspend::felt(bench).await,
        Case::MigrateNoop => migrate::noop(bench).await,
        Case::MigrateAddColumn => migrate::add_column(bench).await,
        Case::MigrateRss => memory::compare(bench).await,
        Case::Doctor => doctor::per_tenant(bench).await,
        Case::ManyZipf => many::zipf(bench).await,
        Case::FleetCost => {
            let [few, many] = sizes;
            cost::per_tenant(bench, few, many).await
        }
        Case::FleetDown => many::down(bench).await,
        Case::Testing => testing::two_tenants(bench).await,
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "this is not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("this is not a time to wait".to_owned()),
    }
}
