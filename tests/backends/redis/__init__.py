"""What only Redis can suffer: silence, failovers, lost data and lost scripts."""
