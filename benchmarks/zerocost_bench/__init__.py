"""Benchmarks on which everybody can replay a search in minutes."""
