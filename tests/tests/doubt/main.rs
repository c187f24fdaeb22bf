//! What becomes of a request is not known: what a person is shown, what each verdict does, and what is
//! found out without a person.

#[cfg(test)]
mod forgotten;
#[cfg(test)]
mod people;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod verdicts;
