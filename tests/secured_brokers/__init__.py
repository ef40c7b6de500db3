"""Brokers that ask for certificates and logins, for the tests of one run."""
