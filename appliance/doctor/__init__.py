"""Every check a person would make, and the report to send to somebody who helps."""
