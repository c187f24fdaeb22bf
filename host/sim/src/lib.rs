//! A simulated hypervisor: an HTTP server with a durable world and knobs for faults.
