//! The structures that a set of files makes, one after the other. Pure: what a replay has seen goes in.

use serde::{Deserialize, Serialize};

use super::difference::{Deviation, differences, is_other};
use super::fingerprint::{Fingerprint, Key, Objects};
use crate::tenant::Digest;

/// The structures from the empty schema on, each as what has changed since the one before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    states: Vec<HistoryState>,
    /// The newest structure; it is made again of the changes.
    #[serde(skip)]
    newest: Objects,
    /// The newest of who owns and may use what.
    #[serde(skip)]
    newest_permissions: Objects,
}

/// A structure that files have made.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct HistoryState {
    /// The version; `None` before the first file.
    version: Option<i64>,
    fingerprint: Digest,
    shape: ObjectChange,
    permissions: ObjectChange,
}

/// The objects that a version changes and removes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct ObjectChange {
    changed: Vec<(Key, Vec<String>)>,
    removed: Vec<Key>,
}

/// The structure that is nearest to one that no version has.
#[derive(Clone, Debug)]
pub(crate) struct Nearest {
    pub(crate) version: Option<i64>,
    pub(crate) differences: Vec<Deviation>,
}

impl History {
    /// Adds what the next version makes: its objects, which are `None` where they are those of the version before, and
    /// who owns and may use them.
    pub(crate) fn push(
        &mut self,
        version: Option<i64>,
        fingerprint: Fingerprint,
        objects: Option<Objects>,
        permissions: Objects,
    ) {
        let shape =
            objects.as_ref().map(|objects| ObjectChange::between(&self.newest, objects)).unwrap_or_default();
        let fingerprint = Digest::from_bytes(*fingerprint.as_bytes());
        let change = ObjectChange::between(&self.newest_permissions, &permissions);
        self.states.push(HistoryState { version, fingerprint, shape, permissions: change });
        self.newest = objects.unwrap_or_else(|| std::mem::take(&mut self.newest));
        self.newest_permissions = permissions;
    }

    /// The fingerprint of the newest structure.
    pub(crate) fn newest_fingerprint(&self) -> Option<Fingerprint> {
        self.states.last().map(|state| Fingerprint::from_bytes(*state.fingerprint.as_bytes()))
    }

    /// The versions that have this structure, the newest first: files that change rows only make no new one.
    pub(crate) fn versions_like(&self, fingerprint: Fingerprint) -> Vec<Option<i64>> {
        let is_like = |state: &&HistoryState| state.fingerprint.as_bytes() == fingerprint.as_bytes();
        self.states.iter().rev().filter(is_like).map(|state| state.version).collect()
    }

    /// The versions that have the same structure as this one, the newest first.
    pub(crate) fn versions_beside(&self, version: Option<i64>) -> Vec<Option<i64>> {
        let state = self.states.iter().find(|state| state.version == version);
        let like =
            |state: &HistoryState| self.versions_like(Fingerprint::from_bytes(*state.fingerprint.as_bytes()));
        state.map(like).unwrap_or_default()
    }

    /// The objects at a version.
    pub(crate) fn objects_at(&self, version: Option<i64>) -> Option<Objects> {
        self.made_of(version, |state| &state.shape)
    }

    /// The owners and privileges at a version, as far as no tenant has it anyhow.
    pub(crate) fn permissions_at(&self, version: Option<i64>) -> Option<Objects> {
        self.made_of(version, |state| &state.permissions)
    }

    fn made_of(&self, version: Option<i64>, of: impl Fn(&HistoryState) -> &ObjectChange) -> Option<Objects> {
        let end = self.states.iter().position(|state| state.version == version)?;
        let mut objects = Objects::default();
        self.states[..=end].iter().for_each(|state| of(state).apply(&mut objects));
        Some(objects)
    }

    /// The differences from what the files make at a version.
    pub(crate) fn differences_at(&self, version: Option<i64>, is: &Objects) -> Option<Vec<Deviation>> {
        Some(differences(is, &self.objects_at(version)?))
    }

    /// The version with the fewest differences; of several the newest.
    pub(crate) fn nearest(&self, is: &Objects) -> Option<Nearest> {
        let mut objects = Objects::default();
        let mut count = Count::of(is.0.keys(), is, &objects);
        let mut fewest: Option<(usize, Option<i64>)> = None;
        for state in &self.states {
            // Counted anew only where something has changed.
            let before = Count::of(state.shape.keys(), is, &objects);
            state.shape.apply(&mut objects);
            count = count.without(before).with(Count::of(state.shape.keys(), is, &objects));
            if fewest.is_none_or(|(least, _)| count.total() <= least) {
                fewest = Some((count.total(), state.version));
            }
        }
        let (_, version) = fewest?;
        Some(Nearest { version, differences: self.differences_at(version, is)? })
    }

    /// Returns true if the files make a table of this name, at whatever version.
    pub(crate) fn makes_relation(&self, name: &str) -> bool {
        let is_it = |key: &Key| key.0 == "relation" && key.1 == name;
        self.states.iter().any(|state| state.shape.changed.iter().any(|(key, _)| is_it(key)))
    }
}

/// A number of differences.
///
/// From 18 on, that a column has to have a value is a constraint as well, and mostly a difference of the column
/// already. So such constraints count where there is nothing else.
#[derive(Clone, Copy, Debug)]
struct Count {
    most: usize,
    not_null: usize,
}

impl Count {
    fn of<'a>(keys: impl Iterator<Item = &'a Key>, is: &Objects, should_be: &Objects) -> Self {
        let others = keys.filter(|key| is_other(is, should_be, key));
        let mut count = Self { most: 0, not_null: 0 };
        for key in others {
            let definition = is.0.get(key).or(should_be.0.get(key));
            if key.0 == "constraint"
                && definition.is_some_and(|it| it.iter().all(|it| it.starts_with("[\"n\"")))
            {
                count.not_null += 1;
            } else {
                count.most += 1;
            }
        }
        count
    }

    fn total(self) -> usize {
        if self.most > 0 { self.most } else { self.not_null }
    }

    fn with(self, other: Self) -> Self {
        Self { most: self.most + other.most, not_null: self.not_null + other.not_null }
    }

    fn without(self, other: Self) -> Self {
        Self { most: self.most - other.most, not_null: self.not_null - other.not_null }
    }
}

impl ObjectChange {
    fn between(before: &Objects, after: &Objects) -> Self {
        let changed = after.0.iter().filter(|(key, _)| is_other(before, after, key));
        let changed = changed.map(|(key, is)| (key.clone(), is.clone())).collect();
        let removed = before.0.keys().filter(|key| !after.0.contains_key(*key)).cloned().collect();
        Self { changed, removed }
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.changed.iter().map(|(key, _)| key).chain(&self.removed)
    }

    fn apply(&self, objects: &mut Objects) {
        for (key, is) in &self.changed {
            objects.0.insert(key.clone(), is.clone());
        }
        for key in &self.removed {
            objects.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(columns: &[&str]) -> Objects {
        let entry = |name: &&str| (("column".to_owned(), format!("note.{name}")), vec!["[]".to_owned()]);
        Objects(columns.iter().map(entry).collect())
    }

    fn history() -> History {
        let mut history = History::default();
        let states: [(u8, &[&str]); 5] =
            [(0, &[]), (1, &["a"]), (2, &["a", "b"]), (2, &["a", "b"]), (3, &["b", "c"])];
        for (version, (hash, columns)) in (0..).zip(states) {
            history.push(
                (version > 0).then_some(version),
                Fingerprint::from_bytes([hash; 32]),
                Some(objects(columns)),
                objects(columns.get(1..).unwrap_or_default()),
            );
        }
        history
    }

    #[test]
    fn what_was_kept_tells_what_a_version_makes() -> Result<(), serde_json::Error> {
        let history: History = serde_json::from_str(&serde_json::to_string(&history())?)?;
        for (version, columns) in
            [(None, &[][..]), (Some(1), &["a"]), (Some(3), &["a", "b"]), (Some(4), &["b", "c"])]
        {
            assert_eq!(history.objects_at(version), Some(objects(columns)), "{version:?}");
            let permissions = objects(columns.get(1..).unwrap_or_default());
            assert_eq!(history.permissions_at(version), Some(permissions), "{version:?}");
        }
        assert_eq!(history.objects_at(Some(5)), None);
        assert_eq!(
            history.versions_like(Fingerprint::from_bytes([2; 32])),
            [Some(3), Some(2)],
            "the newest first"
        );
        assert_eq!(history.versions_like(Fingerprint::from_bytes([9; 32])), []);
        Ok(())
    }

    #[test]
    fn a_column_that_need_not_have_a_value_is_one_difference() {
        let mut history = History::default();
        let of = |entries: &[(&str, &str, &str)]| {
            let entry = |(kind, name, is): &(&str, &str, &str)| {
                (((*kind).to_owned(), (*name).to_owned()), vec![(*is).to_owned()])
            };
            Objects(entries.iter().map(entry).collect())
        };
        let table = ("relation", "note", "[]");
        history.push(None, Fingerprint::from_bytes([0; 32]), Some(of(&[])), of(&[]));
        let made = [
            table,
            ("column", "note.id", "[true]"),
            ("constraint", "note.note_pkey", "[\"p\"]"),
            ("constraint", "note.note_id_not_null", "[\"n\"]"),
        ];
        history.push(Some(1), Fingerprint::from_bytes([1; 32]), Some(of(&made)), of(&[]));
        let is = of(&[table, ("column", "note.id", "[false]")]);
        assert_eq!(history.nearest(&is).map(|nearest| nearest.version), Some(Some(1)));
        assert_eq!(history.nearest(&of(&made)).map(|nearest| nearest.differences.len()), Some(0));
    }

    #[test]
    fn the_nearest_version_has_the_fewest_differences_and_is_the_newest_of_these() {
        for (columns, version, differences) in [
            (&["a", "b"][..], 3, 0),
            (&["a", "x"], 1, 1),
            (&["b", "c", "x"], 4, 1),
            (&["x"], 0, 1),
            (&["a"], 1, 0),
        ] {
            let is = objects(columns);
            let nearest = history().nearest(&is).map(|nearest| (nearest.version, nearest.differences.len()));
            let version = (version > 0).then_some(version);
            assert_eq!(nearest, Some((version, differences)), "{columns:?}");
        }
    }
}
