//! The end of what was sent to the server in one pipeline.

use super::driver::ClientDriver;
use super::pipeline::PipelineError;
use crate::error::Result;
use crate::pool::lease::{Exchange, Lease, SwitchAhead};

/// Ends an exchange. A connection whose query failed goes on; around it, nobody knows where the session is.
pub(super) fn conclude<T>(
    exchange: Exchange<'_, ClientDriver>,
    answer: Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    match answer {
        Ok(answer) => {
            exchange.finish();
            Ok(answer)
        }
        Err(PipelineError::Before(error)) => Err(PipelineError::Before(exchange.give_up(error))),
        Err(PipelineError::Query(error)) => Err(PipelineError::Query(exchange.fail(error))),
        Err(PipelineError::After(error)) => Err(PipelineError::After(exchange.give_up(error))),
    }
}

/// Notes what the answer says of the switch ahead, if there was one.
pub(super) fn note_switch<T>(
    lease: &mut Lease<ClientDriver>,
    switch_ahead: Option<&SwitchAhead>,
    answer: Result<T, PipelineError>,
) -> Result<T> {
    let Some(switch_ahead) = switch_ahead else { return answer.map_err(PipelineError::into_error) };
    match answer {
        Ok(answer) => {
            lease.switch_ahead_succeeded(switch_ahead);
            Ok(answer)
        }
        Err(PipelineError::Before(error)) => Err(switch_ahead.judge(error)),
        Err(PipelineError::Query(error)) => {
            lease.switch_ahead_failed(switch_ahead);
            Err(error)
        }
        Err(PipelineError::After(error)) => Err(error),
    }
}
