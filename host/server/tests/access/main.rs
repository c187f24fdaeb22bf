//! Who may do what, over the REST API of a real host.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod protection;
#[cfg(test)]
mod site;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod walk;
