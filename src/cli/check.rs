//! `mingshi check`: what is wrong on this machine, in words.
