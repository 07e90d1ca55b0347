"""Pictures and plots for the page."""
