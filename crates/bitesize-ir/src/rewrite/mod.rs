//! Rewrites that bring an imported network into the form that is quantized.
