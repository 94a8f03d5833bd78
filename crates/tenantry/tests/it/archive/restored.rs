//! Archives that are restored without Tenantry.

use std::path::Path;
use std::process::{Command, Output};

use tenantry_embedded::{Binaries, ScratchDatabase};

use super::{Folder, export};
use crate::clone::{Nasty, lines_of};
use crate::support::Client;

/// Unpacks an archive with the programs that everybody has.
fn unpack(archive: &[u8], folder: &Path) {
    let file = folder.join("acme.tar.zst");
    std::fs::write(&file, archive).unwrap();
    let done = Command::new("tar").args(["--zstd", "-x", "-f", "acme.tar.zst"]).current_dir(folder).status();
    assert!(done.unwrap().success());
}

fn psql(database: &ScratchDatabase, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(Binaries::find().unwrap().directory().join("psql"));
    command.args(["-X", "-f", "restore.sql"]).args(arguments).arg(database.url());
    command.current_dir(folder).output().unwrap()
}

#[tokio::test]
async fn psql_alone_restores_everything_under_any_name() {
    let nasty = Nasty::new().await;
    let Nasty { database, tenancy, acme, app } = &nasty;
    let (exported, archive) = export(database, tenancy, acme).await.unwrap();
    let folder = Folder::new("restored");
    unpack(&archive, &folder.0);
    let done = psql(database, &folder.0, &["-v", "schema=Other \"Name"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.is_empty(), "{said}");
    let (is, should_be) = (lines_of(database, "Other \"Name"), lines_of(database, acme.schema().as_str()));
    let other: Vec<_> = is.iter().filter(|line| !should_be.contains(line)).collect();
    let missing: Vec<_> = should_be.iter().filter(|line| !is.contains(line)).collect();
    assert!(is == should_be, "other: {other:#?}\nmissing: {missing:#?}");
    let mut owner = Client::owner(database).await;
    let casts = "pg_cast AS c WHERE obj_description(c.oid, 'pg_cast') = 'loud'";
    assert_eq!(owner.count(casts).await, 2);
    assert!(exported.rows > 300, "{}", exported.rows);

    // There already, no name, a role that is not there: nothing is made.
    let schemas = "pg_namespace WHERE nspname LIKE 'Other%' OR nspname = 'third'";
    assert!(!psql(database, &folder.0, &["-v", "schema=Other \"Name"]).status.success());
    assert!(!psql(database, &folder.0, &[]).status.success());
    let privileges = std::fs::read_to_string(folder.0.join("privileges.sql")).unwrap();
    std::fs::write(folder.0.join("privileges.sql"), privileges.replace(app, "nobody_there")).unwrap();
    assert!(!psql(database, &folder.0, &["-v", "schema=third"]).status.success());
    assert_eq!(owner.count(schemas).await, 1);
    let done = psql(database, &folder.0, &["-v", "schema=third", "-v", "privileges=off"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(owner.count("third.customer").await, 41);
    // Without the policies that name a role, rows are hidden and not shown.
    let hidden = "pg_class WHERE oid = 'third.guarded'::regclass AND relrowsecurity";
    assert_eq!(owner.count(hidden).await, 1);

    // Rows that are not all there.
    let rows = std::fs::read_dir(folder.0.join("data")).unwrap();
    let longest = rows.map(|file| file.unwrap().path()).max_by_key(|path| path.metadata().unwrap().len());
    let longest = longest.unwrap();
    let text = std::fs::read_to_string(&longest).unwrap();
    std::fs::write(&longest, &text[..=text[..text.len() - 1].rfind('\n').unwrap()]).unwrap();
    let done = psql(database, &folder.0, &["-v", "schema=fourth", "-v", "privileges=off"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("rows and should have"), "{said}");
    nasty.end().await;
}
