//! A simulated disk (see [`SimDisk`]).
