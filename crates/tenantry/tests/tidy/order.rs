//! The modules of the library use each other one way only.

use std::collections::BTreeSet;

use super::paths::{Use, uses};
use super::source::Source;
use super::{assert_none, sources_of_library};

/// The modules of the library, by level. A module uses its own level and those before it.
const ORDER: &[&[&str]] = &[
    &["tenant"],
    &["error", "fail_point", "guard", "sql", "observe"],
    &["resolve", "database"],
    &["pool"],
    &["registry"],
    &["migrate"],
    &["provision"],
    &["lifecycle", "doctor"],
    &["tenancy", "for_each"],
    &["http"],
];

/// The only files that are used against the order. One that is not used any more is reported.
const EXCEPTIONS: &[Exception] = &[Exception {
    from: "tenancy",
    to: "http/layer",
    reason: "`tenancy.layer()` is where people look for the layer",
}];

struct Exception {
    from: &'static str,
    to: &'static str,
    reason: &'static str,
}

fn exception(it: &Use) -> Option<&'static Exception> {
    let to = it.to.join("/");
    EXCEPTIONS
        .iter()
        .find(|exception| it.from.first().is_some_and(|from| from == exception.from) && to == exception.to)
}

fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|level| level.contains(&module))
}

fn against_the_order(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for it in uses(sources) {
        let (Some(from), Some(to)) = (it.from.first(), it.to.first()) else { continue };
        if let Some(exception) = exception(&it) {
            used.insert(exception.to);
            continue;
        }
        match (level(from), level(to)) {
            (Some(here), Some(there)) if there <= here => {}
            (Some(_), Some(_)) => findings.push(format!("{}: `{from}` may not use `{to}`", it.at)),
            _ => findings.push(format!("{}: `{from}` or `{to}` has no place in the order", it.at)),
        }
    }
    let unused = EXCEPTIONS.iter().filter(|exception| !used.contains(exception.to));
    findings.extend(unused.map(|it| format!("the exception `{}` is not needed ({})", it.to, it.reason)));
    findings
}

#[test]
fn the_library_imports_one_way() {
    assert_none(&against_the_order(sources_of_library()));
}

#[test]
fn a_use_against_the_order_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, expect: &str) {
        let sources: Vec<_> =
            ORDER.iter().flat_map(|level| *level).map(|it| format!("src/{it}/mod.rs")).collect();
        let mut sources: Vec<_> = sources.iter().map(|path| Source::new(path, "")).collect();
        sources.push(Source::new("src/lib.rs", "pub use self::tenancy::{Builder, Tenancy};"));
        sources.push(Source::new("src/metrics.rs", ""));
        sources.push(Source::new(path, text));
        let findings = against_the_order(&sources);
        let findings: Vec<_> = findings.iter().filter(|it| !it.contains("not needed")).collect();
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

#[test]
fn an_exception_nobody_needs_is_found() {
    let findings = against_the_order(&[]);
    assert_eq!(findings.len(), EXCEPTIONS.len(), "{findings:?}");
}
