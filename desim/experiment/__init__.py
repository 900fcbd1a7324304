"""One run and what came of it: its result, the journey of a message, breakpoints, files."""
