//! What becomes of orders and of operations that are over, over the REST API of a real host.

#[cfg(test)]
mod events;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod results;
#[cfg(test)]
#[path = "../access/site.rs"]
mod site;
#[cfg(test)]
mod stalled;
