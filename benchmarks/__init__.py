"""Benchmarks of this service and of its alternatives, in one run: see docs/benchmarks.md."""
