//! Memory that a burst of work leaves behind.

/// Gives memory that nobody uses back to the system. May take some milliseconds, in which other threads
/// wait that allocate: for a thread that may block, after a burst of work.
///
/// glibc keeps what is freed in the middle of its arenas until somebody asks. After engines were compiled,
/// or after thousands of operations were planned at once, that is more than all that is in use. Elsewhere
/// it does nothing.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, may be called by any thread at any time (it locks each arena), and
    // gives back only whole pages of which nothing is allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}
