//! In how many waves an order goes through the machines of a folder.

use enginehouse_model::OperationId;

use crate::ledger::InWaves;
use crate::orders::{Kind, Order};
use crate::settings::Fault;

/// Waves, and when to stop.
pub(crate) struct Rollout {
    /// The wave of each machine, in the order in which they come.
    waves: Vec<u32>,
    max_failures: u32,
}

impl Rollout {
    /// None: all at once.
    pub(crate) fn of(order: &Order, is_folder: bool, total: usize) -> Option<Self> {
        let params = &order.params;
        if !is_folder || order.kind != Kind::Reconfigure || params.waves.is_empty() {
            return None;
        }
        let sizes = params.waves.iter().copied().chain([total]);
        let waves = (0_u32..).zip(sizes);
        let waves = waves.flat_map(|(wave, size)| std::iter::repeat_n(wave, size));
        Some(Self {
            waves: waves.take(total).collect(),
            max_failures: params.max_failures.max(1),
        })
    }

    pub(crate) fn wave_of(&self, at: usize) -> u32 {
        self.waves.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn stop_after(&self, fault: Option<Fault>) -> u32 {
        match fault {
            Some(Fault::NeverStopsWaves) => u32::MAX,
            _ => self.max_failures,
        }
    }

    /// What is promised, were these its parts.
    pub(crate) fn promise(&self, parts: &[OperationId]) -> InWaves {
        let mut waves: Vec<Vec<OperationId>> = Vec::new();
        for (wave, part) in self.waves.iter().zip(parts) {
            waves.resize_with(waves.len().max(*wave as usize + 1), Vec::new);
            if let Some(wave) = waves.get_mut(*wave as usize) {
                wave.push(*part);
            }
        }
        InWaves {
            waves,
            max_failures: usize::try_from(self.max_failures).unwrap_or(usize::MAX),
        }
    }
}
