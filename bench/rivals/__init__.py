"""What one would write by hand, as well as one would."""
