"""Real servers that tests start for themselves, on loopback, and that end with the test run."""
