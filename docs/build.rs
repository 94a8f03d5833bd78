//! Has queries checked against `.sqlx/`, whatever `DATABASE_URL` says, unless `SQLX_OFFLINE` says otherwise:
//! `cargo sqlx prepare -- --tests` sets it.

fn main() {
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE");
    println!("cargo::rerun-if-changed=.sqlx");
    if std::env::var_os("SQLX_OFFLINE").is_none() {
        println!("cargo::rustc-env=SQLX_OFFLINE=true");
    }
}
