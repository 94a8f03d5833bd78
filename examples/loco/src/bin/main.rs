//! Notes of many customers, on Loco. The README beside this has commands to try.

use loco_rs::cli;
use migration::Migrator;
use notebook::app::App;

#[tokio::main]
async fn main() -> loco_rs::Result<()> {
    cli::main::<App, Migrator>().await
}
