//! The engine of the simulated hypervisor.
