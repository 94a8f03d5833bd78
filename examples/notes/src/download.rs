//! All that a tenant has, in one file, for its own people.
//!
//! The file is written while it is sent, so that its size does not count. Whoever gets only a part of it can tell:
//! `tenantry verify` says so.

use std::io::{self, Write};
use std::process::Command;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use percent_encoding::percent_decode_str;
use tenantry::tenant::Alias;
use tenantry::{Config, Error, ExportOptions, Result, Tenancy, Tenant, TenantDb};
use tenantry_embedded::Binaries;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Bytes that are sent together, and how many of those may wait for a slow reader.
const CHUNK: usize = 64 << 10;
const WAITING: usize = 4;

/// The databases that `pg_dump` is asked about.
#[derive(Clone)]
pub(crate) struct DumpedDatabases(Arc<Config>);

impl DumpedDatabases {
    pub(crate) fn of(config: &Config) -> Self {
        Self(Arc::new(config.clone()))
    }

    /// Runs PostgreSQL's own program.
    fn dump(&self, database: &Alias, arguments: &[String]) -> io::Result<String> {
        let unknown = || io::Error::other(format!("there is no URL of database `{database}`"));
        let (url, password) = without_password(self.0.owner_url(database).ok_or_else(unknown)?);
        let program = Binaries::find().map(|binaries| binaries.directory().join("pg_dump"));
        let mut command = Command::new(program.unwrap_or_else(|_| "pg_dump".into()));
        command.args(arguments).arg("--dbname").arg(url);
        command.envs(password.map(|password| ("PGPASSWORD", password)));
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(io::Error::other(format!("pg_dump: {}", said.trim())));
        }
        String::from_utf8(output.stdout).map_err(io::Error::other)
    }
}

/// Takes the password out, because everybody on this machine sees the arguments of a program.
fn without_password(url: &str) -> (String, Option<String>) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.split_once('@')?;
        let (user, password) = login.split_once(':')?;
        let password = percent_decode_str(password).decode_utf8().ok()?;
        Some((format!("{scheme}://{user}@{place}"), Some(password.into_owned())))
    });
    parts.unwrap_or_else(|| (url.to_owned(), None))
}

/// The reason why there is no file.
#[derive(Debug)]
enum Failed {
    Export(Error),
    Dump(io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Export(error)
    }
}

/// `POST /settings/export`
pub(crate) async fn export(
    tenancy: Tenancy,
    db: TenantDb,
    Extension(databases): Extension<DumpedDatabases>,
) -> Result<Response> {
    let (chunks, mut sent) = mpsc::channel(WAITING);
    let tenant = db.tenant().clone();
    let name = format!("attachment; filename=\"{}.tar.zst\"", tenant.slug());
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(write(&tenancy, &tenant, &databases, chunks)));
    // Once it has begun, the answer can only break off.
    let first = match sent.recv().await {
        Some(Ok(first)) => first,
        Some(Err(Failed::Export(error))) => return Err(error),
        Some(Err(Failed::Dump(error))) => {
            tracing::error!(%error, "Nothing can be exported: {error}");
            let text = "This account cannot be downloaded at the moment.";
            return Ok((StatusCode::SERVICE_UNAVAILABLE, text).into_response());
        }
        None => return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    };
    let rest = stream::unfold((Some(first), sent), async |(first, mut sent)| {
        let next = match first {
            Some(first) => Ok(first),
            None => sent.recv().await?.map_err(|failed| io::Error::other(format!("{failed:?}"))),
        };
        Some((next, (None, sent)))
    });
    let headers = [(header::CONTENT_TYPE, "application/zstd"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, Body::from_stream(rest)).into_response())
}

async fn write(
    tenancy: &Tenancy,
    tenant: &Tenant,
    databases: &DumpedDatabases,
    chunks: mpsc::Sender<Result<Bytes, Failed>>,
) {
    let to = Chunks { buffer: Vec::with_capacity(CHUNK), chunks: chunks.clone() };
    let dump =
        async |arguments: &[String]| databases.dump(tenant.database(), arguments).map_err(Failed::Dump);
    if let Err(failed) = tenancy.export(tenant, to, &ExportOptions::default(), dump).await {
        tracing::warn!(tenant = %tenant.slug(), "An export failed: {failed:?}");
        // Whoever asked for it may be gone.
        let _ = chunks.send(Err(failed)).await;
    }
}

/// The way of a file to the answer.
struct Chunks {
    buffer: Vec<u8>,
    chunks: mpsc::Sender<Result<Bytes, Failed>>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.chunks.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
