"""What each stage takes: cost profiles, their files, and those that come with desim."""
