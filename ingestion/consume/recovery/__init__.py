"""Recovery from what earlier owners left: open batches, poison messages, streams created again."""
