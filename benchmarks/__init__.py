"""What people would use instead, and this service, side by side in one run: see docs/benchmarks.md."""
