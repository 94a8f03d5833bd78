use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tenantry_embedded::Binaries;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    bench::{Folder, ask, is_root, set_mode},
    helper::Helper,
};

const VERSION: &str = "18.6.0";

/// A server with a few files, as a mirror within a company would be.
async fn serve(files: HashMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let files = Arc::new(files);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer(client, Arc::clone(&files)));
        }
    });
    url
}

async fn answer(mut client: TcpStream, files: Arc<HashMap<String, Vec<u8>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    let (status, body) = files.get(path).map_or(("404 Not Found", &[][..]), |file| ("200 OK", file));
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(body).await.unwrap();
}

fn target() -> String {
    let system = if cfg!(target_os = "macos") {
        "apple-darwin"
    } else if cfg!(target_env = "musl") {
        "unknown-linux-musl"
    } else {
        "unknown-linux-gnu"
    };
    format!("{}-{system}", std::env::consts::ARCH)
}

fn path(extension: &str) -> String {
    format!("/{VERSION}/postgresql-{VERSION}-{}.tar.gz{extension}", target())
}

/// An archive of the shape of the real ones, whose programs hand over to the installed ones.
fn archive() -> Vec<u8> {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for program in ["initdb", "postgres"] {
        let installed = Binaries::find().unwrap().directory().join(program);
        let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", installed.display());
        let mut header = tar::Header::new_gnu();
        header.set_size(script.len() as u64);
        header.set_mode(0o755);
        let inside = format!("postgresql-{VERSION}-{}/bin/{program}", target());
        archive.append_data(&mut header, inside, script.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn digest(archive: &[u8]) -> Vec<u8> {
    let digits: Vec<_> = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}  postgresql.tar.gz\n", digits.concat()).into_bytes()
}

/// Lets a process download from a server; gives what it says.
fn download(url: &str, cache: &Path) -> String {
    let mut helper = Helper::start(&format!("download {url}"), cache);
    let said = helper.says();
    helper.end();
    said
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_downloaded_and_checked_runs_and_is_found_again() {
    let (folder, archive) = (Folder::new(), archive());
    let files = HashMap::from([(path(""), archive.clone()), (path(".sha256"), digest(&archive))]);
    let url = serve(files).await;
    let cache = folder.0.join("cache");
    let bin = cache.join(format!("postgresql-{VERSION}-{}/bin", target()));
    assert_eq!(download(&url, &cache), bin.to_str().unwrap());
    assert_eq!(entries(&cache).len(), 1, "nothing half done is left");
    // Nobody listens there: it is found without asking.
    assert_eq!(download("http://127.0.0.1:9", &cache), bin.to_str().unwrap());

    let mut owner = Helper::start("scratch", &bin);
    assert_eq!(ask::<i32>(&owner.says(), "SELECT 1").await, 1);
    owner.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_refused_and_not_kept() {
    let (folder, archive) = (Folder::new(), archive());
    let files = HashMap::from([(path(""), archive), (path(".sha256"), digest(b"something else"))]);
    let said = download(&serve(files).await, &folder.0);
    assert!(
        said.starts_with("Download: ") && said.contains("is damaged") && said.contains("install"),
        "{said}"
    );
    assert!(entries(&folder.0).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_without_a_digest_or_without_programs_is_refused() {
    let folder = Folder::new();
    let said = download(&serve(HashMap::from([(path(""), archive())])).await, &folder.0);
    assert!(said.contains(".sha256` cannot be downloaded") && said.contains("404"), "{said}");

    let mut empty = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    empty.finish().unwrap();
    let empty = empty.into_inner().unwrap().finish().unwrap();
    let files = HashMap::from([(path(""), empty.clone()), (path(".sha256"), digest(&empty))]);
    let said = download(&serve(files).await, &folder.0);
    assert!(said.contains("does not contain `bin/postgres`"), "{said}");
    assert!(entries(&folder.0).is_empty());
}

#[test]
fn without_network_the_error_tells_what_to_install() {
    let folder = Folder::new();
    let said = download("http://127.0.0.1:9", &folder.0);
    assert!(said.starts_with("Download: no PostgreSQL on this machine, and"), "{said}");
    assert!(said.contains("hint: install PostgreSQL (`"), "{said}");
    assert!(said.contains("TENANTRY_PG_BIN"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_closed_to_the_servers_user_is_replaced() {
    if !is_root() {
        eprintln!("not applicable: only root runs the server as another user");
        return;
    }
    let (folder, archive) = (Folder::new(), archive());
    set_mode(&folder.0, 0o700);
    let files = HashMap::from([(path(""), archive.clone()), (path(".sha256"), digest(&archive))]);
    let said = download(&serve(files).await, &folder.0);
    assert!(said.starts_with("/var/lib/tenantry/binaries/"), "{said}");
    fs::remove_dir_all(Path::new(&said).parent().unwrap()).unwrap();
    let _ = fs::remove_dir("/var/lib/tenantry/binaries");
    let _ = fs::remove_dir("/var/lib/tenantry");
}
