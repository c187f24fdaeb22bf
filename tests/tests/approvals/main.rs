//! What a folder asks signatures for waits for them: through the real host and its command line, with
//! keys and signatures of the real `ssh-keygen`, and with the host killed in between.

#[cfg(test)]
mod folders;
#[cfg(test)]
mod gated;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod lowering;
#[cfg(test)]
mod people;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod stale;
