//! The life of folders and descriptors, through the real host and its command line: moves and what
//! they show first, histories, and everything that is refused.

#[cfg(test)]
mod deep;
#[cfg(test)]
mod history;
#[cfg(test)]
mod hypervisors;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod protection;
#[cfg(test)]
mod records;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod replace;
#[cfg(test)]
mod scale;
