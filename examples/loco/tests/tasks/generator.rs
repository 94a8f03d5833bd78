//! Loco's generator finds its way in this application.

use std::fs;
use std::path::{Path, PathBuf};

use tenantry_embedded::ScratchDatabase;

use crate::requests::loco;

/// A copy of the application, gone at the end.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let copy = std::env::temp_dir().join(format!("notebook-{}", uuid::Uuid::new_v4().simple()));
        for folder in ["config", "migration", "src", "tests"] {
            copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &copy.join(folder));
        }
        Self(copy)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path() {
            folder if folder.is_dir() => copy_folder(&folder, &to),
            file => drop(fs::copy(file, to).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_controller_a_task_and_a_migration_are_generated_and_wired() {
    let (database, copy) = (ScratchDatabase::create().await.unwrap(), Copy::new());
    for arguments in [
        &["controller", "reports", "latest"][..],
        &["task", "report"],
        &["migration", "CreatePlans", "name:string"],
    ] {
        loco(copy.0.to_str().unwrap(), &database, &[&["generate"], arguments].concat());
    }
    for (file, line) in [
        ("src/controllers/mod.rs", "pub mod reports;"),
        ("src/app.rs", ".add_route(controllers::reports::routes())"),
        ("src/tasks/mod.rs", "pub mod report;"),
        ("src/app.rs", "tasks.register(tasks::report::Report);"),
        ("migration/src/lib.rs", "_plans::Migration)"),
        ("tests/requests/mod.rs", "pub mod reports;"),
    ] {
        let (before, after) = (fs::read_to_string(file).unwrap(), copy.read(file));
        assert!(!before.contains(line) && after.contains(line), "{file}:\n{after}");
    }
}
