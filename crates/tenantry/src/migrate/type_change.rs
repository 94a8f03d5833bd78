//! Compares the ledger of a schema with the files of the type that its tenant comes to be of.

use super::conflict::Conflict;
use super::plan::{Applied, Changed, Goal, plan};
use crate::migration::{Migration, MigrationSet};

/// The effects of a change of type on a ledger, and on the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerChange {
    /// Versions of the former type that are undone, the newest first.
    pub(crate) undone: Vec<i64>,
    /// Versions of the former type that leave the ledger, while what they made stays.
    pub(crate) kept: Vec<i64>,
    /// Versions of the new type that were kept, and come back.
    pub(crate) put_back: Vec<i64>,
    /// Versions that are applied.
    pub(crate) applied: Vec<i64>,
}

/// The type that a tenant leaves, by its files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaving<'a> {
    /// It had no type, or has the new one already.
    Nothing,
    /// The files of the former type.
    Files(&'a MigrationSet),
    /// This program does not know the former type: what is no file of all tenants is its own.
    Unknown,
}

/// Plans a change of type. `kept` is the files of the new type that were applied before.
///
/// # Errors
/// Everything that stands in the way: nothing is to be changed then.
pub(crate) fn plan_type_change(
    rows: &[Applied],
    leaving: Leaving<'_>,
    new: &MigrationSet,
    kept: &[Applied],
    undoes: bool,
) -> Result<LedgerChange, Vec<Conflict>> {
    let is_own = |row: &&Applied| match leaving {
        Leaving::Nothing => false,
        Leaving::Files(former) => former.get(row.version).is_some_and(Migration::is_of_type),
        Leaving::Unknown => new.get(row.version).is_none_or(Migration::is_of_type),
    };
    let (own, others): (Vec<_>, Vec<_>) = rows.iter().partition(is_own);
    let mut change = LedgerChange::default();
    match leaving {
        Leaving::Files(former) if undoes => {
            let undo = plan(Goal::without_type(former), rows)?;
            change.undone = undo.changes().collect::<Changed>().undone;
        }
        _ => {
            let interrupted: Vec<_> =
                own.iter().filter(|row| !row.success).map(|row| interrupted(row)).collect();
            if !interrupted.is_empty() {
                return Err(interrupted);
            }
            change.kept = own.iter().map(|row| row.version).collect();
        }
    }
    let after: Vec<_> = others.into_iter().chain(kept).cloned().collect();
    change.put_back = kept.iter().map(|row| row.version).collect();
    change.applied = plan(Goal::latest(new).in_order(), &after)?.changes().collect::<Changed>().applied;
    Ok(change)
}

fn interrupted(row: &Applied) -> Conflict {
    Conflict::Interrupted { version: row.version, file: format!("version {}", row.version) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::migrate::MigrationType;

    use super::*;
    use crate::migration::scripts::script_of;
    use crate::tenant::TypeName;

    fn files(versions: &[i64], has_downs: bool) -> MigrationSet {
        let kinds = [MigrationType::ReversibleUp, MigrationType::ReversibleDown];
        let kinds = &kinds[..if has_downs { 2 } else { 1 }];
        let scripts = versions.iter().flat_map(|version| kinds.iter().map(move |kind| (*version, *kind)));
        let scripts = scripts.map(|(version, kind)| script_of(version, kind, "SELECT 1").unwrap());
        MigrationSet::new(scripts.collect(), &mut Vec::new())
    }

    fn of_type(name: &str, own: &MigrationSet) -> MigrationSet {
        files(&[1, 3], false).with_type(TypeName::parse(name).unwrap(), own, &mut Vec::new())
    }

    fn rows(files: &MigrationSet, versions: &[i64]) -> Vec<Applied> {
        let row = |version: &i64| Applied {
            version: *version,
            checksum: files.get(*version).map(|file| file.checksum().to_vec()).unwrap_or_default(),
            success: true,
        };
        versions.iter().map(row).collect()
    }

    fn change(undone: &[i64], kept: &[i64], put_back: &[i64], applied: &[i64]) -> LedgerChange {
        let [undone, kept, put_back, applied] = [undone, kept, put_back, applied].map(<[i64]>::to_vec);
        LedgerChange { undone, kept, put_back, applied }
    }

    #[test]
    fn the_files_of_the_former_type_are_kept_or_undone() {
        let none = files(&[1, 3], false);
        let (pro, gold) = (of_type("pro", &files(&[2, 5], true)), of_type("gold", &files(&[2, 4], false)));
        let to = |former, new, applied: &[i64], kept: &[i64], undoes| {
            let leaving = Leaving::Files(former);
            plan_type_change(&rows(former, applied), leaving, new, &rows(new, kept), undoes).unwrap()
        };
        assert_eq!(to(&none, &pro, &[1, 3], &[], false), change(&[], &[], &[], &[2, 5]));
        assert_eq!(to(&none, &pro, &[1], &[], false), change(&[], &[], &[], &[2, 3, 5]));
        assert_eq!(to(&pro, &none, &[1, 2, 3, 5], &[], false), change(&[], &[2, 5], &[], &[]));
        assert_eq!(to(&pro, &none, &[1, 2, 3, 5], &[], true), change(&[5, 2], &[], &[], &[]));
        assert_eq!(to(&pro, &gold, &[1, 2, 3], &[], false), change(&[], &[2], &[], &[2, 4]));
        assert_eq!(to(&none, &pro, &[1, 3], &[2], false), change(&[], &[], &[2], &[5]));
        // Of a type that is unknown, what is not a file of all tenants is its own.
        let applied = rows(&none, &[1, 3, 77]);
        let lost = plan_type_change(&applied, Leaving::Unknown, &none, &[], false).unwrap();
        assert_eq!(lost, change(&[], &[77], &[], &[]));
    }

    #[test]
    fn what_stands_in_the_way_is_found_before_anything_is_done() {
        let none = files(&[1, 3], false);
        let (pro, gold) = (of_type("pro", &files(&[2, 5], true)), of_type("gold", &files(&[2, 4], false)));
        let refused = |former, new, rows: &[Applied], kept: &[Applied], undoes| {
            let conflicts = plan_type_change(rows, Leaving::Files(former), new, kept, undoes).unwrap_err();
            crate::migrate::sentence(&conflicts)
        };
        let applied = rows(&gold, &[1, 2, 3, 4]);
        assert!(refused(&gold, &none, &applied, &[], true).contains("cannot be undone"));
        let mut interrupted = rows(&pro, &[1, 2, 3]);
        interrupted[1].success = false;
        assert!(refused(&pro, &none, &interrupted, &[], false).contains("was interrupted"));
        // Versions that neither the type nor all tenants have are nobody's.
        assert!(refused(&pro, &none, &rows(&pro, &[1, 3, 77]), &[], false).contains("no file for it"));
        let kept = [Applied { version: 2, checksum: vec![7], success: true }];
        assert!(refused(&none, &pro, &rows(&none, &[1, 3]), &kept, false).contains("was changed"));
    }
}
