"""What can be done with saved queries. Views, admin and config-as-code call these."""
