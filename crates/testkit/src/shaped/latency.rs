//! How long a request takes: lognormal to the first byte, then the connection's bandwidth.
//!
//! The numbers are those of the benchmark's definition (GET p50 30 ms, p99 120 ms; PUT p50 60 ms, p99 300 ms; 80 MB/s per
//! connection), in the range of what is published for S3 Standard.

use crate::store_faults::StoreOp;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Standard normal quantile of 0.99.
const Z99: f64 = 2.326_347_874;

/// A lognormal distribution of durations, given by two of its quantiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    median_seconds: f64,
    sigma: f64,
}

impl LogNormal {
    /// `p99` must not be below `p50`; equal ones give a constant.
    #[must_use]
    pub fn from_quantiles(p50: Duration, p99: Duration) -> Self {
        let (p50, p99) = (p50.as_secs_f64(), p99.as_secs_f64());
        let sigma = if p50 > 0.0 { (p99 / p50).ln().max(0.0) / Z99 } else { 0.0 };
        Self { median_seconds: p50, sigma }
    }

    /// The value that a standard normal `z` stands for.
    #[must_use]
    pub fn at(&self, z: f64) -> Duration {
        Duration::from_secs_f64((self.median_seconds * (self.sigma * z).exp()).min(60.0))
    }
}

/// The shape of a store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// To the first byte of a read.
    pub read: LogNormal,
    /// Of a write, beside the transfer of its body.
    pub create: LogNormal,
    pub list: LogNormal,
    pub delete: LogNormal,
    /// Of one connection; 0 is unlimited.
    pub bytes_per_second: u64,
}

impl Shape {
    /// S3 as the benchmarks define it.
    #[must_use]
    pub fn s3() -> Self {
        let quantiles = |p50, p99| LogNormal::from_quantiles(Duration::from_millis(p50), Duration::from_millis(p99));
        Self {
            read: quantiles(30, 120),
            create: quantiles(60, 300),
            list: quantiles(40, 200),
            delete: quantiles(30, 150),
            bytes_per_second: 80_000_000,
        }
    }

    /// As fast as it goes.
    #[must_use]
    pub fn none() -> Self {
        let nothing = LogNormal::from_quantiles(Duration::ZERO, Duration::ZERO);
        Self { read: nothing, create: nothing, list: nothing, delete: nothing, bytes_per_second: 0 }
    }

    /// How long `bytes` take on one connection.
    #[must_use]
    pub fn transfer(&self, bytes: u64) -> Duration {
        match self.bytes_per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(bytes as f64 / rate as f64),
        }
    }
}

/// A shape with a seed: every request draws its latency from it.
#[derive(Debug)]
pub struct Shaper {
    shape: Mutex<Shape>,
    random: Mutex<StdRng>,
}

impl Shaper {
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        Self { shape: Mutex::new(shape), random: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        *self.shape.lock()
    }

    pub fn set_shape(&self, shape: Shape) {
        *self.shape.lock() = shape;
    }

    /// The latency of the next request, without transfer.
    pub fn latency(&self, op: StoreOp) -> Duration {
        let shape = self.shape();
        let distribution = match op {
            StoreOp::Read => shape.read,
            StoreOp::Create => shape.create,
            StoreOp::List => shape.list,
            StoreOp::Delete => shape.delete,
        };
        distribution.at(self.standard_normal())
    }

    /// Box-Muller, from two uniform numbers.
    fn standard_normal(&self) -> f64 {
        let mut random = self.random.lock();
        let (radius, angle): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(shaper: &Shaper, op: StoreOp, n: usize) -> Vec<f64> {
        let mut sample: Vec<f64> = (0..n).map(|_| shaper.latency(op).as_secs_f64() * 1000.0).collect();
        sample.sort_unstable_by(f64::total_cmp);
        sample
    }

    #[test]
    fn quantiles_are_those_of_the_definition() {
        for seed in 0..5 {
            let shaper = Shaper::new(Shape::s3(), seed);
            for (op, p50, p99) in
                [(StoreOp::Read, 30.0, 120.0), (StoreOp::Create, 60.0, 300.0), (StoreOp::List, 40.0, 200.0), (StoreOp::Delete, 30.0, 150.0)]
            {
                let sample = sorted(&shaper, op, 100_000);
                let near = |quantile: f64, wanted: f64, tolerance: f64| {
                    let found = sample[(quantile * sample.len() as f64) as usize];
                    assert!((found / wanted - 1.0).abs() < tolerance, "seed {seed}, {op:?} p{quantile}: {found} ms for {wanted}");
                };
                near(0.5, p50, 0.02);
                near(0.99, p99, 0.04);
                // Lognormal in the quantiles that were not given, too.
                near(0.01, p50 * p50 / p99, 0.04);
                near(0.841_345, p50 * ((p99 / p50).ln() / Z99).exp(), 0.02);
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let draw = |seed| sorted(&Shaper::new(Shape::s3(), seed), StoreOp::Create, 100);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn transfer_follows_the_bandwidth_and_no_shape_takes_no_time() {
        assert_eq!(Shape::s3().transfer(8_000_000), Duration::from_millis(100));
        assert_eq!(Shape::none().transfer(8_000_000), Duration::ZERO);
        assert_eq!(sorted(&Shaper::new(Shape::none(), 1), StoreOp::Read, 100), [0.0; 100]);
    }
}
