use std::path::Path;

use tenantry::Migrations;

#[test]
fn there_is_nothing_to_warn_of() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let migrations = Migrations::from_dirs(folder.join("master"), folder.join("tenant")).unwrap();
    assert_eq!(migrations.lint(), []);
}
