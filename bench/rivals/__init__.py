"""Hand-written programs for comparison, as fast as their author could make them."""
