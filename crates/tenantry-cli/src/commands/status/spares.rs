//! The schemas built ahead of time, on the screen of `status`.
use std::collections::BTreeMap;

use serde::Serialize;
use tenantry::tenant::TypeName;
use tenantry::{Config, Tenancy};

#[derive(Serialize)]
pub(super) struct Spares {
    up_to_date: usize,
    behind: usize,
    /// The spares of each type among those that are up to date, where there are any, or are to be some.
    types: BTreeMap<TypeName, TypeSpares>,
}

/// The spares of a type.
#[derive(Clone, Copy, Default, Serialize)]
struct TypeSpares {
    up_to_date: usize,
    /// The number to keep, by tenantry.toml.
    wanted: Option<u32>,
}

impl Spares {
    pub(super) async fn of(config: &Config, tenancy: &Tenancy) -> tenantry::Result<Self> {
        let wanted = config.type_spares().into_iter();
        let wanted = wanted.map(|(name, wanted)| (name, TypeSpares { up_to_date: 0, wanted: Some(wanted) }));
        let mut types: BTreeMap<_, _> = wanted.collect();
        let all = tenancy.spares().await?;
        let up_to_date = all.iter().filter(|spare| spare.is_current).count();
        for type_name in all.iter().filter_map(|spare| spare.type_name.clone()) {
            types.entry(type_name).or_default().up_to_date += 1;
        }
        Ok(Self { up_to_date, behind: all.len() - up_to_date, types })
    }

    /// All of them, and how many of each type: `5 up to date, 1 behind; of type pro 2 of 3`.
    pub(super) fn told(&self) -> Option<String> {
        if self.up_to_date + self.behind == 0 && self.types.is_empty() {
            return None;
        }
        let of_types = self.types.iter().map(|(name, TypeSpares { up_to_date, wanted })| match wanted {
            Some(wanted) => format!("; of type {name} {up_to_date} of {wanted}"),
            None => format!("; of type {name} {up_to_date}"),
        });
        let all = format!("{} up to date, {} behind", self.up_to_date, self.behind);
        Some(std::iter::once(all).chain(of_types).collect())
    }
}
