#![allow(clippy::unwrap_used)]

use std::io::Write as _;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::*;
use crate::archive::{ArchiveWriter, ArchivedTable, Ending};

fn table(name: &str) -> ArchivedTable {
    ArchivedTable {
        name: name.to_owned(),
        into: name.to_owned(),
        columns: vec!["id".to_owned()],
        rows: 0,
        bytes: 0,
        sha256: Digest::from_bytes([0; 32]),
    }
}

fn manifest() -> Manifest {
    Manifest {
        format: Manifest::FORMAT,
        written_at: OffsetDateTime::UNIX_EPOCH,
        slug: crate::Slug::parse("acme").unwrap(),
        type_name: None,
        settings: Map::new(),
        domains: Vec::new(),
        version: Some(1),
        digest: Digest::from_bytes([1; 32]),
        migrations: Vec::new(),
        fingerprint: Digest::from_bytes([2; 32]),
        server_version: 180_004,
        encoding: "UTF8".to_owned(),
        owner: "owner".to_owned(),
        extensions: Vec::new(),
        roles: Vec::new(),
        tablespaces: Vec::new(),
        has_own_role: false,
        names_in_strings: Vec::new(),
        sequences: Vec::new(),
        materialized_views: Vec::new(),
        kept_files: Vec::new(),
        tables: ["a", "empty", "b"].map(table).to_vec(),
        members: Vec::new(),
    }
}

/// The first member that the archives of these tests have, and rows of two of its three tables.
const MEMBERS: [(MemberName, &[u8]); 6] = [
    (MemberName::PreData, b"CREATE TABLE a (id int);\n"),
    (MemberName::Rows { table: 1, part: 1 }, b"1\n2\n"),
    (MemberName::Rows { table: 1, part: 2 }, b"3\n"),
    (MemberName::Rows { table: 3, part: 1 }, b"7\n"),
    (MemberName::PostData, b""),
    (MemberName::Privileges, b""),
];

fn written() -> (Vec<u8>, Manifest) {
    let mut file = Vec::new();
    let mut writer = ArchiveWriter::new(&mut file, 3, 0).unwrap();
    for (name, content) in MEMBERS {
        writer.add(name, content).unwrap();
    }
    let ending = Ending { manifest: manifest(), ledger: "SELECT 1".to_owned(), extensions: Vec::new() };
    let written = writer.finish(ending).unwrap();
    let verified = verify(&file[..]).unwrap();
    assert_eq!((written.bytes, written.sha256), (file.len() as u64, verified.sha256));
    (file, written.manifest)
}

#[track_caller]
fn check(file: &[u8], says: &str) {
    let error = verify(file).expect_err(says);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let whole = format!("{error}, {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(whole.contains(says), "{whole} does not say {says}");
}

#[test]
fn what_is_written_is_read() {
    let (file, manifest) = written();
    let mut seen = Vec::new();
    let verified = read(&file[..], |name, bytes| {
        seen.push((name, bytes.to_vec()));
        Ok(())
    });
    assert_eq!(verified.unwrap().manifest, manifest);
    let expect = MEMBERS.iter().filter(|(_, bytes)| !bytes.is_empty());
    let expect: Vec<_> = expect.map(|(name, bytes)| (*name, bytes.to_vec())).collect();
    assert_eq!(seen[..expect.len()], expect);
    assert_eq!(seen[expect.len()].0, MemberName::Restore);
    let rows: Vec<_> = manifest.tables.iter().map(|table| (table.rows, table.bytes)).collect();
    assert_eq!(rows, [(3, 6), (0, 0), (1, 2)]);
    assert_eq!(manifest.rows(), 4);
}

#[test]
fn any_byte_that_is_changed_or_missing_is_noticed() {
    let (file, _) = written();
    let mut count = 0;
    for index in 0..file.len() {
        let mut damaged = file.clone();
        damaged[index] ^= 1 << (index % 8);
        assert!(verify(&damaged[..]).is_err(), "byte {index}");
        assert!(verify(&file[..index]).is_err(), "cut off at {index}");
        count += 2;
    }
    assert!(count > 500, "{count} damages");
    check(&[&file[..], b"x"].concat(), "does not end as");
    check(&[&file[..], &file[..]].concat(), "does not end as");
    check(&file[..file.len() - 40], "damaged or cut off");
    // A frame that readers skip.
    check(&[b"\x50\x2a\x4d\x18\x00\x00\x00\x00", &file[..]].concat(), "it is no archive");
    check(&[&file[..], b"\x50\x2a\x4d\x18\x00\x00\x00\x00"].concat(), "does not end as");
    check(b"", "");
    check(b"CREATE TABLE a (id int);", "it is no archive");
    let without = zstd::encode_all(&zstd::decode_all(&file[..]).unwrap()[..], 3).unwrap();
    check(&without, "it has no checksum");
}

/// Members of a tar with their kinds, in a frame of zstd.
fn packed(members: &[(&str, tar::EntryType, &[u8])], end: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, kind, content) in members {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend_from_slice(end);
    zipped(&tar)
}

fn zipped(tar: &[u8]) -> Vec<u8> {
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(tar).unwrap();
    let mut file = Digested::new(Vec::new());
    file.write_all(&zstd.finish().unwrap()).unwrap();
    seal::write(&mut file).unwrap();
    file.end().0
}

#[test]
fn what_was_repacked_is_refused() {
    let (file, manifest) = written();
    let file_kind = tar::EntryType::Regular;
    let mut all = Vec::new();
    read(&file[..], |name, bytes| {
        all.push((name.to_string(), bytes.to_vec()));
        Ok(())
    })
    .unwrap();
    let empty = |name: &str| (name.to_owned(), Vec::new());
    all.splice(4..4, [empty("post-data.sql"), empty("privileges.sql")]);
    all.push(("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap()));
    let end = [0; 1024];
    let pack = |all: &[(String, Vec<u8>)]| {
        let members: Vec<_> = all.iter().map(|(name, bytes)| (&name[..], file_kind, &bytes[..])).collect();
        packed(&members, &end)
    };
    // The manifest fits, so nobody can notice this: hence the digest in the audit.
    assert_eq!(verify(&pack(&all)[..]).unwrap().manifest, manifest);

    for name in ["../x", "/etc/passwd", "data/../../x", "data", "other.sql"] {
        let mut more = all.clone();
        more.insert(1, (name.to_owned(), b"x".to_vec()));
        check(&pack(&more), "nothing in it is called");
        more.swap(0, 1);
        check(&pack(&more), "nothing in it is called");
    }
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Directory,
        tar::EntryType::Fifo,
        tar::EntryType::Char,
        tar::EntryType::GNULongName,
        tar::EntryType::GNUSparse,
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
    ] {
        check(&packed(&[("pre-data.sql", kind, b"x")], &end), "is no plain file");
    }
    for index in 0..all.len() {
        let mut less = all.clone();
        less.remove(index);
        assert!(verify(&pack(&less)[..]).is_err(), "without member {index}");
        let mut twice = all.clone();
        twice.insert(index, all[index].clone());
        check(&pack(&twice), "is not in its place");
        let mut other = all.clone();
        other[index].1.push(b'\n');
        if index + 1 < all.len() {
            check(&pack(&other), "is not what its manifest says");
            other.swap(index, index + 1);
            assert!(verify(&pack(&other)[..]).is_err(), "member {index} out of order");
        }
    }
    let mut behind = pack(&all);
    behind = [&zstd::decode_all(&behind[..]).unwrap()[..], b"x"].concat();
    check(&zipped(&behind), "behind its last member");
}

#[test]
fn sizes_and_manifests_that_lie_are_refused() {
    let mut header = tar::Header::new_ustar();
    header.set_path("pre-data.sql").unwrap();
    header.set_size(8 << 30);
    header.set_cksum();
    check(&zipped(&[&header.as_bytes()[..], b"x"].concat()), "");
    header.set_size(u64::MAX);
    header.set_cksum();
    check(&zipped(&[&header.as_bytes()[..], b"x"].concat()), "");

    let with = |change: &dyn Fn(&mut Value)| {
        let (file, _) = written();
        let tar = zstd::decode_all(&file[..]).unwrap();
        let start = tar.windows(14).rposition(|part| part == b"manifest.json\0").unwrap();
        let mut json = serde_json::to_value(verify(&file[..]).unwrap().manifest).unwrap();
        change(&mut json);
        let json = serde_json::to_vec(&json).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("manifest.json").unwrap();
        header.set_size(json.len() as u64);
        header.set_cksum();
        let mut tar = [&tar[..start], header.as_bytes(), &json].concat();
        tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
        zipped(&tar)
    };
    assert!(verify(&with(&|_| ())[..]).is_ok());
    check(&with(&|json| json["format"] = 2.into()), "its format is 2");
    check(&with(&|json| json["slug"] = "No Slug".into()), "its manifest cannot be read");
    check(&with(&|json| json["tables"][0]["rows"] = 4.into()), "the rows of table `a`");
    check(&with(&|json| json["tables"][0]["rows"] = Value::from(-1)), "its manifest cannot be read");
    check(&with(&|json| json["tables"] = Value::Array(Vec::new())), "no table 1");
    check(&with(&|json| json["members"] = Value::Array(Vec::new())), "`pre-data.sql` is not what");
    check(&with(&|json| *json = Value::Null), "its manifest cannot be read");
}
