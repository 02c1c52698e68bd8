"""Parts of the page Many."""
