"""Measures what ``trio_recipes`` promises, each figure beside a baseline in the same run: ``python -m benchmarks``."""
