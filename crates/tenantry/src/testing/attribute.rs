//! The part of [`#[tenantry::test]`](crate::test) that is no macro. Nothing for anybody else.

use super::builder::WorldBuilder;
use super::run::{self, TestResult, told};
use super::world::World;

/// The runtime of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// All in the thread of the test.
    CurrentThread,
    /// Several threads.
    MultiThread,
}

/// The end that a test is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEnd {
    /// It is to return.
    ShouldReturn,
    /// It is to panic, so that a panic would tell nobody of a leak.
    ShouldPanic,
}

/// Runs a test on a runtime of its own.
///
/// # Panics
/// Like [`super::run`]. One that should panic and returns does not panic for its leaks: it has failed already.
pub fn run<T: TestResult>(
    builder: WorldBuilder,
    runtime: Runtime,
    outcome: TestEnd,
    test: impl AsyncFnOnce(World) -> T,
) -> T {
    let mut threads = match runtime {
        Runtime::CurrentThread => tokio::runtime::Builder::new_current_thread(),
        Runtime::MultiThread => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = threads.enable_all().build().expect("a runtime for this test");
    match outcome {
        TestEnd::ShouldReturn => runtime.block_on(run::run(builder, test)),
        TestEnd::ShouldPanic => runtime.block_on(run_to_panic(builder, test)),
    }
}

/// Without a world there is no test: a panic would pass for the one that is expected.
async fn run_to_panic<T: TestResult>(builder: WorldBuilder, test: impl AsyncFnOnce(World) -> T) -> T {
    match builder.create().await {
        Ok(world) => {
            let result = test(world.clone()).await;
            world.remove().await;
            result
        }
        Err(error) => abort(&error),
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests reads here why they end")]
fn abort(error: &crate::Error) -> ! {
    eprintln!("{}", told(error));
    std::process::abort()
}
