"""Classes that come while the service runs."""
