//! The boards of `targets/*.toml` and the cores of `targets/cores/*.toml`, compiled in.
