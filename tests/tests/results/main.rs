//! Orders that are sent again, results, and the executed log, through the real binary.

#[cfg(test)]
mod again;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod events;
