//! The modules of the library use each other one way only.

use super::paths::uses;
use super::source::Source;
use super::{assert_none, sources_of_library};

/// The modules of the library, by level. A module uses its own level and those before it.
const ORDER: &[&[&str]] = &[
    &["tenant"],
    &["error", "fail_point", "guard", "sql", "observe"],
    &["resolve", "placement"],
    &["database"],
    &["pool"],
    &["registry", "migration"],
    &["context"],
    &["structure", "archive"],
    &["migrate"],
    &["provision"],
    &["lifecycle", "doctor"],
    &["tenancy"],
    &["http"],
    &["testing"],
];

fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|level| level.contains(&module))
}

fn against_the_order(sources: &[Source]) -> Vec<String> {
    let against = uses(sources).into_iter().filter_map(|it| {
        let (from, to) = (it.from.first()?, it.to.first()?);
        match (level(from), level(to)) {
            (Some(here), Some(there)) if there <= here => None,
            (Some(_), Some(_)) => Some(format!("{}: `{from}` may not use `{to}`", it.at)),
            _ => Some(format!("{}: `{from}` or `{to}` has no place in the order", it.at)),
        }
    });
    against.collect()
}

#[test]
fn the_library_imports_one_way() {
    assert_none(&against_the_order(sources_of_library()));
}

#[test]
fn a_use_against_the_order_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, expect: &str) {
        let modules = ORDER.iter().flat_map(|level| *level);
        let mut sources: Vec<_> = modules.map(|it| Source::new(format!("src/{it}/mod.rs"), "")).collect();
        sources.push(Source::new("src/lib.rs", "pub use self::tenancy::{Builder, Tenancy};"));
        sources.push(Source::new("src/metrics.rs", ""));
        sources.push(Source::new(path, text));
        let findings = against_the_order(&sources);
        assert_eq!(findings.iter().any(|it| it.contains(expect)), !expect.is_empty(), "{findings:?}");
        assert_eq!(findings.is_empty(), expect.is_empty(), "{findings:?}");
    }
    check(
        "src/tenant/slug.rs",
        "\nuse crate::error::Error;",
        "slug.rs:2: `crate::error::Error`: `tenant` may not",
    );
    check("src/pool/db.rs", "use crate::{error::Error, registry::{store, x}};", "may not use `registry`");
    check("src/pool/db.rs", "fn f() -> super::super::migrate::Fleet {}", "may not use `migrate`");
    check("src/error.rs", "use super::pool::Pool;", "`error` may not use `pool`");
    check("src/pool/db.rs", "use crate::Tenancy;", "may not use `tenancy`");
    check("src/error.rs", "impl From<crate::migrate::Refusal> for Error {}", "may not use `migrate`");
    check("src/pool/db.rs", "use crate::metrics::Counter;", "has no place in the order");
    check("src/pool/db.rs", "use super::lease::Lease; use crate::tenant::Slug;", "");
    check("src/pool/db.rs", "#[cfg(test)]\nmod tests { use crate::tenancy::Tenancy; }", "");
    check("src/http/layer.rs", "use crate::tenancy::Tenancy;", "");
}
