"""Benchmarks: each module measures one thing and says what it found, as a table for people and figures for programs."""
