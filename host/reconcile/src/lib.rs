//! Desired, deployed and observed state in, a plan out.
