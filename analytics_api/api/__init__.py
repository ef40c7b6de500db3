"""The query endpoints: published queries, SQL sent by the caller, and their OpenAPI description."""
