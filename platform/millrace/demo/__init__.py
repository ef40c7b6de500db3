"""The demo: real flights and weather through all of Millrace, each airline a tenant."""
