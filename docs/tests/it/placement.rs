use serde_json::Value;
use tenantry::Tenancy;
use tenantry::placement::{DatabaseFigures, Newcomer};
use tenantry::tenant::Alias;

/// Large customers share a server with few others.
fn by_seats(newcomer: &Newcomer<'_>, candidates: &[DatabaseFigures]) -> Option<Alias> {
    let seats = newcomer.setting("seats").and_then(Value::as_u64);
    let most = if seats > Some(1_000) { 10 } else { u64::MAX };
    let fits = candidates.iter().filter(|candidate| candidate.tenants < most);
    fits.min_by_key(|candidate| candidate.tenants).map(|candidate| candidate.alias.clone())
}

fn builder() -> tenantry::Builder {
    Tenancy::builder().placement(by_seats)
}

use docs::blocks_of;
use serde_json::json;
use tenantry::Config;
use tenantry::tenant::Slug;

const PAGE: &str = "docs/placement.md";

#[test]
fn the_function_sends_large_customers_where_few_are() {
    assert!(format!("{:?}", builder()).contains("Builder"));
    let candidates = [("default", 300), ("large", 9), ("small", 20)];
    let candidates =
        candidates.map(|(alias, tenants)| DatabaseFigures::new(Alias::parse(alias).unwrap(), tenants));
    let (slug, large, small) =
        (Slug::parse("acme").unwrap(), json!({ "seats": 5_000 }), json!({ "seats": 5 }));
    let choose = |settings, candidates: &[DatabaseFigures]| {
        by_seats(&Newcomer::new(&slug).with_settings(settings), candidates).map(|alias| alias.to_string())
    };
    assert_eq!(choose(&large, &candidates).as_deref(), Some("large"));
    assert_eq!(choose(&small, &candidates[..1]).as_deref(), Some("default"));
    assert_eq!(choose(&large, &candidates[..1]), None);
}

#[test]
fn the_configuration_of_the_page_is_valid() {
    let [text] = blocks_of(PAGE, "toml");
    let file = std::env::temp_dir().join(format!("tenantry-placement-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let read = Config::load(&file);
    std::fs::remove_file(&file).unwrap();
    let config = read.unwrap();
    assert_eq!(config.databases().unwrap().len(), 3);
    Tenancy::builder().config(&config).unwrap();
}
