"""Campaigns against what must always hold, and the figures of docs/reliability.md."""
