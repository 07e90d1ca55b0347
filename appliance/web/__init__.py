"""The page and the API: a Flask application around the objects that it is given."""
