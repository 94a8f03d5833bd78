//! Sessions: each belongs to the tenant at which it began, whatever host its cookie is sent to.
//!
//! Run with
//!
//! ```sh
//! cargo run -p sessions
//! ```
//!
//! Then
//!
//! ```sh
//! curl -c jar http://acme.localhost:3000/login -d name=jane
//! curl -b jar http://acme.localhost:3000/me
//! curl -H "Cookie: id=$(awk '/id/ { print $7 }' jar)" http://globex.localhost:3000/me
//! ```
//!
//! The database is thrown away at the end.

use tenantry_embedded::ScratchDatabase;
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the address is what this program has to say")]
async fn main() -> anyhow::Result<()> {
    let database = ScratchDatabase::create().await?;
    let tenancy = sessions::open(database.url()).await?;
    let listener = TcpListener::bind(("127.0.0.1", 3000)).await?;
    println!("curl -c jar http://acme.localhost:3000/login -d name=jane");
    Ok(axum::serve(listener, sessions::app(&tenancy, None)).await?)
}
