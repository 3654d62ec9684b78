"""Recipes as one tool of any agent loop: :class:`~trio_recipes.frontends.tool.tool.RecipesTool`."""
