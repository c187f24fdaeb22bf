//! Wire types of the REST API and its client.
