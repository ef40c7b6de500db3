"""The demo: streams real flights and weather through Millrace, with a tenant for each airline."""
