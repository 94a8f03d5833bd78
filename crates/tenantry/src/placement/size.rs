//! The size of a database between two measurements.
//!
//! To measure one takes the server a look at each of its files, so it is done rarely. Until the next time, each tenant
//! that came since counts as one of the fleet's average size: otherwise all of them would come to the database that
//! was the smallest once.

/// A database at the moment when it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) bytes: u64,
    pub(crate) tenants: u64,
}

/// Says how large databases are by now, by their tenants now and what was measured of each.
pub(crate) fn estimate(databases: &[(u64, Option<Measured>)]) -> Vec<Option<u64>> {
    let measured = || databases.iter().filter_map(|(_, measured)| *measured);
    let tenants: u64 = measured().map(|it| it.tenants).sum();
    let bytes: u64 = measured().map(|it| it.bytes).sum();
    let average = bytes.checked_div(tenants).unwrap_or(0);
    let now = |(tenants, measured): &(u64, Option<Measured>)| {
        let measured = (*measured)?;
        let came = average.saturating_mul(tenants.saturating_sub(measured.tenants));
        let went = average.saturating_mul(measured.tenants.saturating_sub(*tenants));
        Some(measured.bytes.saturating_add(came).saturating_sub(went))
    };
    databases.iter().map(now).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_that_came_or_went_count_as_average_ones() {
        let measured = |bytes, tenants| Some(Measured { bytes, tenants });
        for (databases, expect) in [
            (vec![(10, measured(1_000, 10)), (10, measured(3_000, 10))], vec![Some(1_000), Some(3_000)]),
            (vec![(12, measured(1_000, 10)), (5, measured(3_000, 10))], vec![Some(1_400), Some(2_000)]),
            (vec![(4, measured(8, 0)), (10, measured(1_000, 10))], vec![Some(408), Some(1_000)]),
            (vec![(4, measured(8, 0)), (1, None)], vec![Some(8), None]),
            (vec![(0, measured(5, 10))], vec![Some(5)]),
            (vec![], vec![]),
        ] {
            assert_eq!(estimate(&databases), expect, "{databases:?}");
        }
    }
}
