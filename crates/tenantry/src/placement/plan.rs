use super::choice::{KnownDatabases, Placement};
use super::database_figures::DatabaseFigures;
use super::newcomer::Newcomer;
use crate::error::Result;
use crate::tenant::Alias;

/// The databases of many tenants, chosen one after the other: each finds those before it where they will be.
pub(crate) struct PlacementPlan<'a> {
    placement: &'a Placement,
    known: KnownDatabases,
    turn: u64,
    average: u64,
}

impl<'a> PlacementPlan<'a> {
    pub(crate) fn new(placement: &'a Placement, known: KnownDatabases) -> Self {
        let turn = known.figures.iter().map(|candidate| candidate.turn).max().unwrap_or_default();
        let measured = known.figures.iter().filter_map(|it| Some((it.bytes?, it.tenants)));
        let (bytes, tenants) = measured.fold((0_u64, 0), |(bytes, tenants), (more, others)| {
            (bytes.saturating_add(more), tenants + others)
        });
        Self { placement, known, turn, average: bytes.checked_div(tenants).unwrap_or(0) }
    }

    /// Chooses for the next one, which counts as one of average size.
    ///
    /// # Errors
    /// Like [`Placement::place`].
    pub(crate) fn place(&mut self, newcomer: &Newcomer<'_>) -> Result<Alias> {
        let alias = self.placement.place(newcomer, &self.known)?;
        self.turn += 1;
        let chosen = self.known.figures.iter_mut().find(|candidate| candidate.alias == alias);
        if let Some(DatabaseFigures { tenants, bytes: size, turn, .. }) = chosen {
            *tenants += 1;
            *size = size.map(|size| size.saturating_add(self.average));
            *turn = self.turn;
        }
        Ok(alias)
    }

    /// The databases as they will be.
    #[cfg(test)]
    pub(crate) fn figures(&self) -> &[DatabaseFigures] {
        &self.known.figures
    }
}
