//! Compiles again when a migration is added, which `sqlx::migrate!` alone cannot notice.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
