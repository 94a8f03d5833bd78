//! The tenant that the next of many requests is for.

use std::sync::Arc;

/// The way in which requests are spread over tenants.
#[derive(Clone, Debug)]
pub(crate) enum Traffic {
    /// This many tenants, all alike.
    Uniform(usize),
    /// Few tenants make most of the requests.
    Zipf(Arc<Zipf>),
}

/// Zipf's law: the tenant of rank `r` makes `1 / r^exponent` of what the first one makes.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// The share of each rank and all before it.
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(tenants: u32, exponent: f64) -> Self {
        let weights = (1..=tenants).map(|rank| f64::from(rank).powf(-exponent));
        let total: f64 = weights.clone().sum();
        let cumulative = weights.scan(0.0, |sum, weight| {
            *sum += weight / total;
            Some(*sum)
        });
        Self { cumulative: cumulative.collect() }
    }

    /// The tenant at this point between 0 and 1.
    fn at(&self, point: f64) -> usize {
        let index = self.cumulative.partition_point(|share| *share <= point);
        index.min(self.cumulative.len() - 1)
    }
}

/// One task's dice. The same seed draws the same tenants on every side.
pub(crate) struct Draw {
    traffic: Traffic,
    random: fastrand::Rng,
}

impl Draw {
    pub(crate) fn new(traffic: &Traffic, seed: usize) -> Self {
        Self { traffic: traffic.clone(), random: fastrand::Rng::with_seed(seed as u64) }
    }

    pub(crate) fn tenant(&mut self) -> usize {
        match &self.traffic {
            Traffic::Uniform(tenants) => self.random.usize(..*tenants),
            Traffic::Zipf(zipf) => zipf.at(self.random.f64()),
        }
    }

    /// One of the rows that each tenant has.
    pub(crate) fn note(&mut self) -> i32 {
        self.random.i32(1..=20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_thousand_makes_an_eighth_of_the_requests() {
        let traffic = Traffic::Zipf(Arc::new(Zipf::new(1_000, 1.0)));
        let mut draw = Draw::new(&traffic, 1);
        let mut drawn = [0; 1_000];
        for _ in 0..100_000 {
            drawn[draw.tenant()] += 1;
        }
        assert!((12_900..13_900).contains(&drawn[0]), "{}", drawn[0]);
        assert!((6_300..7_100).contains(&drawn[1]), "{}", drawn[1]);
    }

    #[test]
    fn every_point_is_some_tenant() {
        let zipf = Zipf::new(3, 1.0);
        assert_eq!([0.0, 0.54, 0.55, 0.999, 1.0].map(|point| zipf.at(point)), [0, 0, 1, 2, 2]);
    }
}
