//! Rounds, medians and percentiles.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::BoxFuture;

/// The length and number of measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The time for which each side plays in one round.
    pub(crate) round: Duration,
    pub(crate) rounds: u32,
    pub(crate) scale: Scale,
    pub(crate) moves: u32,
    /// The size of a tenant that moves.
    pub(crate) megabytes: u32,
}

/// The number of tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// The number that the case names.
    Full,
    /// A few, to see that the case runs.
    Smoke,
}

impl Plan {
    pub(crate) fn new(round: Duration, rounds: u32) -> Self {
        Self { round, rounds, scale: Scale::Full, moves: rounds, megabytes: 100 }
    }

    pub(crate) fn smoke() -> Self {
        let round = Duration::from_millis(50);
        Self { round, rounds: 1, scale: Scale::Smoke, moves: 1, megabytes: 2 }
    }

    /// This many tenants, or a fiftieth of them.
    pub(crate) fn tenants(&self, full: usize) -> usize {
        match self.scale {
            Scale::Full => full,
            Scale::Smoke => (full / 50).max(1),
        }
    }
}

/// One task's work: the same step over and over.
pub(crate) trait Worker: Send + 'static {
    fn step(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// One of those who are compared.
pub(crate) trait Side: Send {
    /// Works for so long, and answers with how many steps it made per second.
    fn play(&mut self, length: Duration) -> BoxFuture<'_, Result<f64>>;
}

/// Tasks that work at the same time.
pub(crate) struct Team<W> {
    workers: Vec<W>,
    /// All steps ever made.
    pub(crate) steps: u32,
}

impl<W: Worker> Team<W> {
    pub(crate) fn new(workers: impl IntoIterator<Item = W>) -> Self {
        Self { workers: workers.into_iter().collect(), steps: 0 }
    }

    async fn work(&mut self, length: Duration) -> Result<f64> {
        let start = Instant::now();
        let end = start + length;
        let tasks: Vec<_> =
            self.workers.drain(..).map(|worker| tokio::spawn(work_until(end, worker))).collect();
        let mut steps = 0;
        for task in tasks {
            let (worker, made) = task.await.context("a task panicked")??;
            self.workers.push(worker);
            steps += made;
        }
        self.steps += steps;
        Ok(f64::from(steps) / start.elapsed().as_secs_f64())
    }
}

impl<W: Worker> Side for Team<W> {
    fn play(&mut self, length: Duration) -> BoxFuture<'_, Result<f64>> {
        Box::pin(self.work(length))
    }
}

async fn work_until<W: Worker>(end: Instant, mut worker: W) -> Result<(W, u32)> {
    let mut steps = 0;
    while Instant::now() < end {
        worker.step().await?;
        steps += 1;
    }
    Ok((worker, steps))
}

/// Opens every connection and prepares every statement, outside of what is measured.
pub(crate) async fn warm_up<const N: usize>(plan: &Plan, sides: [&mut dyn Side; N]) -> Result<()> {
    for side in sides {
        side.play(plan.round.min(Duration::from_secs(1))).await?;
    }
    Ok(())
}

/// Lets all sides play in turns. Answers with the rates of each round.
pub(crate) async fn interleave<const N: usize>(
    plan: &Plan,
    mut sides: [&mut dyn Side; N],
) -> Result<Vec<[f64; N]>> {
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let mut rates = [0.0; N];
        for (rate, side) in rates.iter_mut().zip(&mut sides) {
            *rate = side.play(plan.round).await?;
        }
        rounds.push(rates);
    }
    Ok(rounds)
}

/// Measures how long each step of one task takes, with a pause after each.
pub(crate) async fn latencies(
    worker: &mut impl Worker,
    length: Duration,
    pause: Duration,
) -> Result<Vec<Duration>> {
    let end = Instant::now() + length;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        worker.step().await?;
        latencies.push(start.elapsed());
        tokio::time::sleep(pause).await;
    }
    Ok(latencies)
}

/// The value below which this many percent of the others are.
pub(crate) fn percentile(mut values: Vec<Duration>, percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The milliseconds since then for each of so many that were served one after the other.
pub(crate) fn milliseconds_each(started: Instant, count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = count.max(1) as f64;
    started.elapsed().as_secs_f64() * 1e3 / count
}

/// A figure that was taken once per round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { median, lowest: at(0), highest: at(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, lowest: 1.0, highest: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median.to_bits(), 2.5_f64.to_bits());
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, lowest: 7.0, highest: 7.0 });
    }

    #[test]
    fn one_in_a_hundred_is_above_the_99th_percentile() {
        let values: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(values, 99), Duration::from_millis(198));
        assert_eq!(percentile(vec![Duration::from_millis(5)], 99), Duration::from_millis(5));
    }
}
