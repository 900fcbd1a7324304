"""What people look at: the screen after a run, the stations of a journey, the wiring."""
