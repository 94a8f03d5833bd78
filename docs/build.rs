//! Lets the queries that sqlx checks be checked against `.sqlx/`, whatever `DATABASE_URL` says.

fn main() {
    println!("cargo::rustc-env=SQLX_OFFLINE=true");
    println!("cargo::rerun-if-changed=.sqlx");
}
