//! Folders, descriptors, definitions, inheritance and origins.
