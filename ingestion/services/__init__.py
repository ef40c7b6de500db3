"""What can be done with sources and tables. Admin, commands and config-as-code call these."""
