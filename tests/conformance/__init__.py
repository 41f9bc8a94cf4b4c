"""One suite for each plane, which every backend of the plane passes. No test in here knows which backend it runs on."""
