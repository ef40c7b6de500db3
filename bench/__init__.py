"""Benchmarks that compare Millrace with hand-written programs in the same run."""
