"""Campaigns against the promises of design.md section 5, and the figures of docs/reliability.md."""
