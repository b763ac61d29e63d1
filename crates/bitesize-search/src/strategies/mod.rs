//! The strategies, one file each: what [`crate::strategy`] lists, run in a [`crate::session`].

pub(crate) mod ddpg;
pub(crate) mod evolution;
pub(crate) mod exact;
pub(crate) mod greedy;
pub(crate) mod random;
pub(crate) mod rules;
