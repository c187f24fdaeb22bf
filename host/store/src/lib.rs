//! What must last: SQLite behind one commit.
