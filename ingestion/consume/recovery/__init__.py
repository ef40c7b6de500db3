"""What an earlier owner left behind: open batches, poison messages, streams that changed."""
