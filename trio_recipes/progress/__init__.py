"""What is known of a run, and what a recipe means: pure, synchronous, without trio and without a store."""
