"""Sample data: a small shop to read, and a generator for one of any size."""
