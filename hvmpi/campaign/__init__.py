"""What a campaign is to do, and what became of it."""
