//! What the `shapeguard` command line is made of, subcommand by subcommand.

pub mod weights;
