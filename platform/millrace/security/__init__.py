"""Protection of the pages: security headers, the login limit, session age, error reports."""
