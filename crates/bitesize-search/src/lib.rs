//! bitesize-search
