"""The pages and the API, a module for each subject."""
