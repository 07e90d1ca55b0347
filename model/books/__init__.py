"""The books' networks and worked examples, and the figures they give beside ours."""
