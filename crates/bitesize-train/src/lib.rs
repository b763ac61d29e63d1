//! bitesize-train
