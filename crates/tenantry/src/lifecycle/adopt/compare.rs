//! Compares a schema with what the files make at each version.

use sqlx::{Connection as _, PgConnection};

use super::adoptable::Adoptable;
use super::noted::Noted;
use super::noted_file::noted_file;
use crate::error::Result;
use crate::migrate::Versions;
use crate::migration::MigrationSet;
use crate::provision::Proof;
use crate::structure::{Deviation, Fingerprint, Holders, Objects, Subject, mend_in, permission_differences};

/// Differences that are told of one schema.
const MOST: usize = 20;

/// The structures that schemas are compared with.
pub(super) struct FileVersions<'a> {
    pub(super) files: &'a MigrationSet,
    /// The structure at each version, or the reason why nobody knows them; `None` if there are no files.
    pub(super) versions: Option<Result<Versions, String>>,
    /// The role of the application, which gets its privileges when a schema is adopted.
    pub(super) application: &'a str,
}

/// Finds the version that a schema is at: the one that was noted for it, if it is equal to that; or else the newest
/// that it is equal to, of those whose owners and privileges it has most of. Where it is equal to none, it tells the
/// differences to the nearest.
pub(super) async fn compare(
    connection: &mut PgConnection,
    measure: &FileVersions<'_>,
    found: &mut Adoptable,
    noted: Option<&Noted>,
) -> Result<()> {
    let versions = match &measure.versions {
        None => return Ok(()),
        Some(Err(reason)) => {
            found.unknown = Some(format!("what the files make is not known: {reason}"));
            return Ok(());
        }
        Some(Ok(versions)) => versions,
    };
    let files = measure.files.iter().map(|file| (file.version(), file.description()));
    let hint = noted.and_then(|noted| noted_file(files, noted.version.as_deref()?));
    // A ledger of ours is believed by the next run, so the schema has to be what it says.
    let is_bound = noted.is_some_and(|noted| noted.is_own);
    let schema = found.schema.clone();
    let (subject, extent) = (Subject { schema: &schema, own_role: None }, versions.extent());
    let mut tx = connection.begin().await?;
    let fingerprint = Fingerprint::within(&mut tx, subject, extent).await?;
    let (mut alike, mut objects) = (versions.history.versions_like(fingerprint), None);
    if alike.is_empty() {
        let is = Objects::within(&mut tx, subject, extent).await?.without_own_name(&schema);
        // Equal but for functions that name their own schema.
        let nearest = versions.history.nearest(&is).filter(|nearest| nearest.differences.is_empty());
        alike = nearest.map(|nearest| versions.history.versions_beside(nearest.version)).unwrap_or_default();
        objects = Some(is);
    }
    let holders = Holders { application: measure.application, maker: None };
    let permissions = Objects::permissions(&mut tx, subject, holders, versions.left_out()).await?.served();
    let likeliest = by_permissions(versions, &alike, &permissions);
    if let Some(version) = chosen(&likeliest, hint, is_bound) {
        found.version = version;
        found.also = alike.into_iter().filter(|it| *it != version).flatten().collect();
        found.proof = Some(Proof { fingerprint, left_out: versions.left_out().to_vec() });
        tell_permissions(found, &permissions_beside(versions, version, &permissions, None));
    } else {
        let objects = match objects {
            Some(objects) => objects,
            None => Objects::within(&mut tx, subject, extent).await?.without_own_name(&schema),
        };
        tell_nearest(versions, found, &objects, hint);
        if found.nearest.is_some() {
            tell_permissions(
                found,
                &permissions_beside(versions, found.nearest, &permissions, Some(&objects)),
            );
        }
    }
    Ok(tx.rollback().await?)
}

/// The version among those that are equal; `None` if it is none of them.
#[expect(
    clippy::option_option,
    reason = "before the first file there is no version, and that may be equal, too"
)]
fn chosen(alike: &[Option<i64>], hint: Option<i64>, is_bound: bool) -> Option<Option<i64>> {
    let noted = alike.iter().find(|version| hint.is_some() && **version == hint).copied();
    noted.or_else(|| alike.first().copied().filter(|_| !is_bound))
}

fn tell_nearest(versions: &Versions, found: &mut Adoptable, objects: &Objects, hint: Option<i64>) {
    let obstacle = match hint {
        Some(version) => versions.obstacle_to(version),
        None => versions.obstacle.as_ref(),
    };
    found.unknown = obstacle.map(|obstacle| {
        format!("the files from version {} on cannot be replayed: {}", obstacle.version, obstacle.reason)
    });
    let noted =
        hint.and_then(|version| Some((hint, versions.history.differences_at(Some(version), objects)?)));
    let nearest = || versions.history.nearest(objects).map(|nearest| (nearest.version, nearest.differences));
    if let Some((version, differences)) = noted.or_else(nearest) {
        found.nearest = version;
        found.differences = told(&differences);
    }
}

/// The versions with the fewest other owners and privileges first: a file may change these alone.
fn by_permissions(versions: &Versions, alike: &[Option<i64>], permissions: &Objects) -> Vec<Option<i64>> {
    let mut likeliest = alike.to_vec();
    if alike.len() > 1 {
        likeliest
            .sort_by_cached_key(|version| permissions_beside(versions, *version, permissions, None).len());
    }
    likeliest
}

/// The owners and privileges that are others than the files make at this version. Without `objects`, the schema has all
/// that they make.
fn permissions_beside(
    versions: &Versions,
    version: Option<i64>,
    permissions: &Objects,
    objects: Option<&Objects>,
) -> Vec<Deviation> {
    let history = &versions.history;
    let files = history.objects_at(version).zip(history.permissions_at(version));
    let differences = |(made, should_be): (Objects, Objects)| {
        permission_differences(permissions, &should_be, [objects.unwrap_or(&made), &made])
    };
    files.map(differences).unwrap_or_default()
}

/// Tells the differences, but for what belongs to a role for which no migration may act: that is told with the role.
fn tell_permissions(found: &mut Adoptable, differences: &[Deviation]) {
    let reachable: Vec<_> = differences.iter().filter(|it| !it.is_out_of_reach()).cloned().collect();
    found.notes = told(&reachable);
    found.mend = (!differences.is_empty()).then(|| mend_in(&found.schema, differences));
    found.is_permission_known = true;
}

fn told(differences: &[Deviation]) -> Vec<String> {
    let mut told: Vec<_> = differences.iter().take(MOST).map(ToString::to_string).collect();
    let more = differences.len().saturating_sub(told.len());
    told.extend((more > 0).then(|| format!("{more} more")));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_was_noted_goes_before_the_newest() {
        let (one, two, three) = (Some(1), Some(2), Some(3));
        for (alike, hint, is_bound, expect) in [
            (&[three, two][..], None, false, Some(three)),
            (&[three, two], two, false, Some(two)),
            (&[three, two], one, false, Some(three)),
            (&[three, two], one, true, None),
            (&[three, two], None, true, None),
            (&[None], None, false, Some(None)),
            (&[], two, false, None),
        ] {
            assert_eq!(chosen(alike, hint, is_bound), expect, "{alike:?} {hint:?} {is_bound}");
        }
    }
}
