"""The science: pure functions and frozen dataclasses; no files, clock, network or configuration."""
