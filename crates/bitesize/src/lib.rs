//! bitesize
