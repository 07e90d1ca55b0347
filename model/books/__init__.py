"""The books' networks and worked examples, and their figures beside ours."""
