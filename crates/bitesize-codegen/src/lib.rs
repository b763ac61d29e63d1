//! bitesize-codegen
