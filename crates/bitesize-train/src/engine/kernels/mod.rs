//! The operators on a few images, forward and backward, each beside the other. In reading order: [`quantizer`] (between an
//! operator and what reads it), [`padded`], [`dense`], [`depthwise`], [`pool`].

pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod padded;
pub(crate) mod pool;
pub(super) mod quantizer;
