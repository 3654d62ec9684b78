"""What each kind of leaf does: one file a kind, each a ``LeafRunner`` (:mod:`trio_recipes.runtime.ports`)."""
