"""Executes a recipe as a tree of scopes; emits events; knows no store, no process and no front end."""
