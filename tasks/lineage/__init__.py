"""What a thing was made from and what it led to, from page snapshots to scores."""
