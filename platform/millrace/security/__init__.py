"""What stands between browsers and the pages: headers, and a limit on tries to log in."""
