"""What every HTTP endpoint shares: errors as problem+json, and authentication by API key."""
