use super::builder::WorldBuilder;
use super::world::World;

/// The answer of a test.
pub trait TestResult {
    /// Returns true if the test has failed, so that nobody looks for leaks any more.
    fn has_failed(&self) -> bool;
}

impl TestResult for () {
    fn has_failed(&self) -> bool {
        false
    }
}

impl<T, E> TestResult for Result<T, E> {
    fn has_failed(&self) -> bool {
        self.is_err()
    }
}

/// Runs a test in a world of its own, and asserts at its end that nothing leaked.
///
/// ```no_run
/// use tenantry::testing::{World, run};
///
/// # async fn test() -> tenantry::Result<()> {
/// run(World::builder().tenants(["acme", "globex"]), async |world| {
///     sqlx::query("INSERT INTO note (title) VALUES ('Buy anvils')").execute(&world.db("acme")).await?;
///     Ok::<_, tenantry::Error>(())
/// })
/// .await
/// # }
/// ```
///
/// # Panics
/// If there is no world, if the test panics, or if it has passed and something [leaked](super#what-is-asserted).
pub async fn run<T: TestResult>(builder: WorldBuilder, test: impl AsyncFnOnce(World) -> T) -> T {
    let world = builder.create().await.unwrap_or_else(|error| panic!("{}", told(&error)));
    let result = test(world.clone()).await;
    if result.has_failed() {
        world.remove().await;
        return result;
    }
    if let Err(error) = world.finish().await {
        panic!("{}", told(&error));
    }
    result
}

/// An error with its causes and its hint, as the end of a test.
pub(super) fn told(error: &crate::Error) -> String {
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{error:#}{hint}")
}
