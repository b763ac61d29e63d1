//! The operators on a few images, forward and backward, each beside the other. In reading order: [`quantizer`] (between an
//! operator and what reads it), [`padded`], [`dense`], [`depthwise`], [`pool`].

pub(super) mod dense;
pub(super) mod depthwise;
pub(super) mod padded;
pub(super) mod pool;
pub(super) mod quantizer;
