"""The endpoints: published queries, SQL of a caller's own, and the description of them all."""
