//! In how many waves an order goes through the machines of a folder.

use enginehouse_api::{ErrorCode, OperationKind, Params, Problem, WaveSize};

use crate::orders::Order;

/// Waves that an order may have.
const WAVES_MAX: usize = 100;

/// Whether an order of this kind can go in waves.
pub(super) fn may_go_in_waves(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::Reconfigure | OperationKind::Restart | OperationKind::Rollback
    )
}

/// The parameters with what they leave unsaid: a folder is reconfigured in waves.
///
/// # Errors
/// When they are none, or too many, or of a single machine.
pub(super) fn with_waves(order: &Order, is_folder: bool) -> Result<Params, Problem> {
    let mut params = order.params.clone();
    let wrong = |detail: &str, hint: &str| {
        Err(Problem::new(ErrorCode::BadRequest, detail).with_hint(hint.to_owned()))
    };
    if !is_folder {
        if params.waves.is_some() || params.max_failures.is_some() {
            return wrong(
                "`waves` and `max_failures` are of a folder, and this is one machine",
                "leave them out, or name the folder",
            );
        }
        return Ok(params);
    }
    if params.waves.as_ref().is_some_and(Vec::is_empty) {
        return wrong("`waves` is empty", "say `rest` for all at once");
    }
    if params
        .waves
        .as_ref()
        .is_some_and(|waves| waves.len() > WAVES_MAX)
    {
        return wrong(
            &format!("an order has at most {WAVES_MAX} waves"),
            "the last of them takes all that are left",
        );
    }
    if params.max_failures == Some(0) {
        return wrong(
            "`max_failures` is 0: nothing would ever begin",
            "1 stops at the first failure",
        );
    }
    if params.waves.is_none() && order.kind == OperationKind::Reconfigure {
        params.waves = Some(WaveSize::DEFAULT.to_vec());
    }
    match (&params.waves, params.max_failures) {
        (Some(_), None) => params.max_failures = Some(1),
        (None, Some(_)) => params.waves = Some(vec![WaveSize::Rest]),
        (Some(_), Some(_)) | (None, None) => {}
    }
    Ok(params)
}

/// The wave of each of `total` machines, from 0.
pub(crate) fn waves_of(params: &Params, total: usize) -> Vec<u32> {
    let sizes = params
        .waves
        .as_deref()
        .map_or_else(|| vec![total], |waves| WaveSize::split(waves, total));
    let numbered = (0_u32..).zip(sizes);
    numbered
        .flat_map(|(wave, size)| std::iter::repeat_n(wave, size))
        .collect()
}
