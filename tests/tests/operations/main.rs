//! The queue as people meet it: what comes before what, what takes another's place, what waits for a
//! hypervisor, and what is taken back.

#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod places;
#[cfg(test)]
mod rollback;
#[cfg(test)]
mod waves;
