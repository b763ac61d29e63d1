//! bitesize-import
