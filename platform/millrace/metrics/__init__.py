"""``/metrics``: what Prometheus may scrape of the whole installation, from any web process."""
