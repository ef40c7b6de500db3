"""Benchmarks: Millrace beside what one would write by hand, both sides in the same run."""
