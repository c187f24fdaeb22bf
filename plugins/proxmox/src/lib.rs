//! The Proxmox VE engine.
