//! What is left when something under the host goes wrong, through the real binary.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod scene;
