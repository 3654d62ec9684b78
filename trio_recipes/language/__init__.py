"""The recipe language: text -> :class:`~trio_recipes.language.model.Recipe`. Pure: no trio, no store, no network."""
