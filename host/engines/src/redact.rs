//! Takes secrets out of texts.
