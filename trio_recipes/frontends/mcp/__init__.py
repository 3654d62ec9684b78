"""Recipes for MCP clients: the tool, its progress, gates as questions, sessions and recipes as resources."""
